"""Which trials the model of a run is made of, read from its folder."""

import json

import pytest

from covertune.search.finish.announced import AnnouncedModel, announced_model
from covertune.search.record.run_folder import RunFolder


@pytest.fixture
def told(tmp_path):
    def of(text):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "config.json").write_text(text)
        return announced_model(RunFolder(tmp_path))

    return of


@pytest.mark.parametrize(
    ("provenance", "model"),
    [
        ({"trial": 0}, AnnouncedModel("trial 0", (0,))),
        (
            {"average_of": "trial 3 (2 times), frozen probe", "trials": [3]},
            AnnouncedModel("the average of trial 3 (2 times), frozen probe", (3,)),
        ),
        ({"average_of": "trial 3, trial 5"}, AnnouncedModel("the average of trial 3, trial 5", ())),
        ({}, None),
    ],
)
@pytest.mark.parametrize("file_format", [1, 2])
def test_the_model_says_what_it_is(told, provenance, model, file_format):
    ours = {"provenance": provenance}
    assert told(json.dumps(ours if file_format == 1 else {"covertune": ours})) == model


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"covertune": 3}', '{"provenance": 3}'])
def test_a_damaged_one_says_nothing(told, text):
    assert told(text) is None


def test_a_run_without_a_model_says_nothing(tmp_path):
    assert announced_model(RunFolder(tmp_path)) is None
