"""How maps lie in memory, where planning takes long. The checks themselves run in test_runner."""

import pytest
import torch

from covertune.models import Recipe
from covertune.search.setup import backbone_check
from covertune.search.setup.backbone_check import _fastest, _Trained, _warm_seconds

RECIPE = Recipe(backbone="small_cnn", image_px=32, epochs=1, lr_head=1e-3, lr_backbone=1e-3)
STEPS = 100


@pytest.fixture
def fastest(monkeypatch):
    """The layout taken and the layouts tried, where each takes so many seconds."""

    def of(device, last, first):
        tried = []

        def trained(recipe, **_):
            tried.append("last" if recipe.channels_last else "first")
            return _Trained(tried[-1], *(last if recipe.channels_last else first))

        monkeypatch.setattr(backbone_check, "_trained", trained)
        return _fastest(RECIPE, 2, torch.device(device), (), STEPS).tuner, tried

    return of


@pytest.mark.parametrize(
    ("device", "last", "first", "taken", "tried"),
    [
        ("cuda", (0.3, 0.02), (9.0, 0.02), "last", ["last"]),
        ("cpu", (9.0, 0.02), (0.3, 0.02), "last", ["last"]),
        ("cuda", (9.0, 0.02), (0.3, 0.02), "first", ["last", "first"]),
        ("cuda", (9.0, 0.02), (0.3, 0.15), "first", ["last", "first"]),
        ("cuda", (9.0, 0.02), (0.3, 0.25), "last", ["last", "first", "last"]),
    ],
)
def test_the_layout_with_which_a_trial_is_over_sooner(fastest, device, last, first, taken, tried):
    assert fastest(device, last, first) == (taken, tried)


@pytest.mark.parametrize(
    ("took", "warm", "asked"),
    [
        ([1.0, 1.0], 1.0, 2),
        ([3.0, 2.0, 1.2, 1.0, 0.99], 0.99, 5),  # a cold machine
        ([1.0, 1.5], 1.0, 2),  # something else ran meanwhile
        ([64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0], 1.0, 7),  # and no more
    ],
)
def test_what_is_timed_is_warm(monkeypatch, took, warm, asked):
    times = iter(took)
    monkeypatch.setattr(backbone_check, "_seconds", lambda work, device: next(times))
    assert _warm_seconds(lambda: None, torch.device("cpu")) == warm
    assert len(took) - len(list(times)) == asked
