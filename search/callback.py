"""Hears every result on the driver: feeds the observer, the pictures and the clock in the study."""

from __future__ import annotations

import time
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from ray.tune import Callback

from models import Recipe
from search.budget import Budget
from search.constants import METRIC, NUMBER
from search.observer import SearchObserver
from search.pictures import TrialPictures
from search.study import ELAPSED_S

__all__ = ["Reporter"]

_CLOCK_EVERY_S = 5.0


class Reporter(Callback, SearchObserver):  # type: ignore[misc]  # Ray is untyped
    """Ray calls it per result, the searcher per start and end of a trial."""

    def __init__(
        self,
        study: optuna.Study,
        budget: Budget,
        pictures: TrialPictures,
        observer: SearchObserver,
    ) -> None:
        """Pass on to `observer` what Ray and the searcher tell."""
        self._study = study
        self._budget = budget
        self._pictures = pictures
        self._observer = observer
        self._confusions: dict[int, list[list[int]]] = {}
        self._clock_written = 0.0

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch, or a failure."""
        number = trial.config[NUMBER]
        if METRIC in result:
            self._confusions[number] = result["confusion"]
            self._observer.epoch(number, result)
        if time.monotonic() - self._clock_written > _CLOCK_EVERY_S:
            self.write_clock()

    def write_clock(self) -> None:
        """Keep the time spent in the study, so that a resumed search counts on from it."""
        self._clock_written = time.monotonic()
        self._study.set_user_attr(ELAPSED_S, round(self._budget.spent_s, 1))

    def trial_started(self, number: int, role: str, recipe: Recipe) -> None:
        """Told by the searcher."""
        self._observer.trial_started(number, role, recipe)

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Told by the searcher."""
        self._pictures.add(trial, self._confusions.pop(trial.number, None))
        self._observer.trial_ended(trial)
