"""Which trial leaves as the run's model, told where people look: in the study and its dashboard.

The study has it as its user attribute `model`, in words; the dashboard shows that, and a note on
the study and on each trial the model is made of. Nothing here is read again by covertune.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import optuna

from covertune.models import Metrics
from covertune.search.record.compat import name_metric, running_trial
from covertune.search.record.constants import METRIC

__all__ = ["EXPORTED", "name_value", "note_exported"]

EXPORTED: Final = "model"
"""User attribute of the study."""

_NOTED: Final = "model_trials"
"""User attribute of the study: numbers of the trials that have a note of ours."""


def name_value(study: optuna.Study) -> None:
    """Give the value of trials its name, where a dashboard would call it `Objective 0`."""
    name_metric(study, Metrics.titles()[METRIC])


def note_exported(study: optuna.Study, in_words: str, numbers: Collection[int]) -> None:
    """Tell which trials RUN/model is made of; what was told at an earlier end goes.

    Args:
        study: Of the run, with all its trials ended.
        in_words: What the model is.
        numbers: Of the trials that are in it.
    """
    from optuna_dashboard import save_note  # half a second that need not pass before

    trials = study.get_trials(deepcopy=False)
    earlier: list[int] = study.user_attrs.get(_NOTED, [])
    study.set_user_attr(EXPORTED, in_words)
    study.set_user_attr(_NOTED, sorted(numbers))
    save_note(study, f"The model that this search exported, `model/`, is {in_words}.")
    for number in {*earlier, *numbers}:
        told = f"Exported: `model/` is {in_words}." if number in numbers else ""
        save_note(running_trial(study, trials[number]), told)
