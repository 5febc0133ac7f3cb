"""Which trial was exported, as the study and its dashboard tell it."""

import warnings

import optuna
import pytest
from optuna_dashboard import get_note

from covertune.search.record.compat import running_trial
from covertune.search.record.exported import name_value, note_exported


@pytest.fixture
def study(tmp_path):
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", direction="maximize")
    for value in (0.25, 0.5, 0.75):
        study.tell(study.ask(), value)
    return study


def noted(study):
    """Numbers of the trials that have a note."""
    return [t.number for t in study.trials if get_note(running_trial(study, t))]


def test_study_and_trials_say_what_the_model_is(study):
    note_exported(study, "the average of trial 2 (2 times), trial 1", (2, 1))
    assert study.user_attrs["model"] == "the average of trial 2 (2 times), trial 1"
    assert get_note(study).endswith("`model/`, is the average of trial 2 (2 times), trial 1.")
    assert noted(study) == [1, 2]


def test_a_later_end_takes_back_what_an_earlier_one_said(study):
    note_exported(study, "trial 0", (0,))
    note_exported(study, "trial 2", (2,))
    assert noted(study) == [2]
    assert study.user_attrs["model"] == "trial 2"


def test_the_value_has_its_name_and_nobody_is_warned(study):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        name_value(study)
        name_value(study)
    assert study.metric_names == ["top-1 accuracy"]
