"""What ONNX cannot express is found beside the search, and only told."""

import time

import pytest
from torch import nn

import covertune.search.setup.graph_check
from covertune.search.setup.graph_check import GraphCheck, _why_no_graphs

PATIENCE_S = 120


def wait_for(check):
    """The warnings, once the process has ended."""
    for _ in range(PATIENCE_S * 10):
        told = check.warnings()
        if told or not check._work.is_pending:
            return told
        time.sleep(0.1)
    raise AssertionError("no answer")


def test_nothing_is_said_of_what_works(local_ray):
    check = GraphCheck({"small_cnn": 32}, 3)
    assert wait_for(check) == []
    assert check.warnings() == []


@pytest.fixture
def unwritable(monkeypatch):
    """A backbone whose forward pass depends on the values of a cover."""

    class Unwritable(nn.Module):
        def __init__(self):
            super().__init__()
            self.classifier = nn.Linear(3, 3)

        def forward(self, pixel_values):
            means = pixel_values.mean(dim=(2, 3))
            return self.classifier(means * (2 if float(means.sum()) > 0 else 1))

    class Backbone:
        input = covertune.search.setup.graph_check.get_backbone("small_cnn").input

        def build(self, num_genres, **_options):
            return Unwritable()

    monkeypatch.setattr(covertune.search.setup.graph_check, "get_backbone", lambda name: Backbone())


def test_what_cannot_be_written_has_a_reason(unwritable):
    [reason] = _why_no_graphs({"some": 32}, 3).values()
    assert reason.startswith("torch cannot write this model as ONNX: ")


def test_it_is_a_warning(local_ray, monkeypatch):
    def told(image_px, num_genres):
        return {"vit": "torch cannot write this model as ONNX: no"}

    monkeypatch.setattr(covertune.search.setup.graph_check, "_why_no_graphs", told)
    assert wait_for(GraphCheck({"vit": 32}, 3)) == [
        "a model of vit will have no model.onnx: torch cannot write this model as ONNX: no"
    ]


def test_a_process_that_dies_costs_nothing(local_ray, monkeypatch, caplog):
    def dies(image_px, num_genres):
        import os

        os._exit(1)

    monkeypatch.setattr(covertune.search.setup.graph_check, "_why_no_graphs", dies)
    assert wait_for(GraphCheck({"vit": 32}, 3)) == []


def test_given_up_it_says_nothing(local_ray):
    check = GraphCheck({"small_cnn": 32}, 3)
    check.cancel()
    assert check.warnings() == []
