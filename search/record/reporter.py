"""Stands between searcher and observer: pictures, TensorBoard, a tidy disk, the study's clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial

from covertune.models import ProgressMetrics, Recipe
from covertune.search.events import SearchObserver
from covertune.search.record.pictures import TrialPictures
from covertune.search.record.published_copy import PublishedCopy
from covertune.search.record.retention import Retention
from covertune.search.record.study import ELAPSED_S
from covertune.search.record.tensorboard import TensorBoard
from covertune.search.record.trial_record import TrialRecord

__all__ = ["Reporter"]

_log = logging.getLogger(__name__)
_CLOCK_EVERY_S = 5.0


class Reporter(SearchObserver):
    """Hears what the searcher tells, and passes it on."""

    def __init__(
        self,
        study: optuna.Study,
        spent_s: Callable[[], float],
        pictures: TrialPictures,
        tensorboard: TensorBoard,
        retention: Retention,
        copy: PublishedCopy,
        observer: SearchObserver,
    ) -> None:
        """Pass on to an observer.

        Args:
            study: Is told the time spent.
            spent_s: Tells how many seconds the search has taken so far.
            pictures: Are drawn anew after each epoch.
            tensorboard: Is told each epoch and each end.
            retention: Tidies checkpoints after each end.
            copy: Is published anew after each end.
            observer: Hears everything.
        """
        self._study = study
        self._spent_s = spent_s
        self._pictures = pictures
        self._tensorboard = tensorboard
        self._retention = retention
        self._copy = copy
        self._observer = observer
        self._clock_written = float("-inf")

    def keep_clock(self) -> None:
        """Write the clock every few seconds: a search may be killed long before its next epoch."""
        if time.monotonic() - self._clock_written > _CLOCK_EVERY_S:
            self.write_clock()

    def write_clock(self) -> None:
        """Keep the time spent in the study, so that a resumed search counts on from it."""
        self._clock_written = time.monotonic()
        self._study.set_user_attr(ELAPSED_S, round(self._spent_s(), 1))

    def keep_copy(self) -> None:
        """Publish the study again where it is time to."""
        self._copy.keep()

    def _tell(self, tell: Callable[..., None], *what: Any) -> None:
        """Pass on; whoever looks on must not be able to cost a trial."""
        try:
            tell(*what)
        except Exception:
            _log.exception("an observer failed")

    def warn(self, text: str) -> None:
        """Pass on something the user must not miss."""
        self._tell(self._observer.warn, text)

    def trial_started(self, number: int, role: str, recipe: Recipe) -> None:
        """Pass on that a trial begins."""
        self._tell(self._observer.trial_started, number, role, recipe)

    def epoch(self, trial: Trial, progress: ProgressMetrics, confusion_KK: list[list[int]]) -> None:
        """Pass on that an epoch was measured."""
        history = TrialRecord(trial).history
        self._tell(self._look_at_disk, self._retention.look)
        self._tell(self._observer.epoch, trial, progress, confusion_KK)
        self._tell(self._tensorboard.measured, trial, progress)
        # Last, for the thread that draws slows this one.
        self._tell(self._pictures.draw, trial, history, confusion_KK)

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Pass on that a trial ended: the study holds it, so what it made superfluous can go."""
        self._copy.changed()
        self._tell(self._look_at_disk, self._retention.tidy)
        self._tell(self._observer.trial_ended, trial)
        self._tell(self._tensorboard.ended, trial)

    def _look_at_disk(self, look: Callable[[], object]) -> None:
        look()
        self._observer.checkpoints(self._retention.now_bytes, self._retention.peak_bytes)
