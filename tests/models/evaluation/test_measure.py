import numpy as np
import pytest
import torch

from covertune.models import (
    InputSpec,
    ModelError,
    get_backbone,
    inference_batch_size,
    measure_model,
    measure_probabilities,
)

PROBS = np.array([[0.7, 0.2, 0.05, 0.05], [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])


def test_by_hand():
    found = measure_probabilities(PROBS, np.array([0, 1, 0]))
    assert (found.n, found.top1, found.top3) == (3, pytest.approx(1 / 3), pytest.approx(2 / 3))
    low, high = found.top1_interval
    assert low < 1 / 3 < high
    assert found.macro_f1 == pytest.approx((0.5 + 0 + 0) / 3)


def test_a_core_takes_fewer_large_covers_at_once(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert [inference_batch_size(px, cpu) for px in (32, 64, 96, 160, 600)] == [64, 64, 32, 16, 8]
    assert [inference_batch_size(px, gpu) for px in (32, 600)] == [64, 64]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert inference_batch_size(96, cpu) == 128


def test_two_genres_are_always_among_three():
    assert measure_probabilities(np.array([[0.9, 0.1]]), np.array([1])).top3 == 1.0


def test_labels_of_other_widths():
    assert measure_probabilities(PROBS, np.array([0, 0, 3], dtype=np.int32)).top1 == 1.0


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1], "one label per cover"), ([0, 1, 4], "0 to 3, got 0 to 4"), ([-1, 0, 0], "got -1")],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ModelError, match=message):
        measure_probabilities(PROBS, np.array(labels))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(value):
    broken = PROBS.copy()
    broken[1, 2] = value
    with pytest.raises(ModelError, match="must be finite, those of 1 of 3 covers are not"):
        measure_probabilities(broken, np.array([0, 1, 0]))


def test_a_model(val):
    model = get_backbone("small_cnn").build(4, image_px=32)
    found = measure_model(model, InputSpec(32), val)
    with torch.inference_mode():
        told = model(InputSpec(32).normalise(val.images_NHWC)).argmax(dim=1)
    assert found.n == 48
    assert found.top1 == pytest.approx(float((told == val.labels_N).float().mean()), abs=0.03)
    with pytest.raises(ModelError, match="needs at least one cover"):
        measure_model(model, InputSpec(32), [])
