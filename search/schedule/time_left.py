"""How long the trials of a search still take, by what trials have taken so far.

The preflight tells what an epoch of each backbone and size takes if all of it is trained. Trials
freeze stages, share the machine and write checkpoints. What their epochs took in all over what the
preflight told of the same epochs is the factor by which it is off, in this search and on this
machine. Before the first epoch is measured nothing is told. What workers take to start is no part
of it: that is paid once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["TimeLeft"]

_PRIOR_TRIALS = 4
"""How many trials it takes until their epochs weigh as much as those the rungs let expect."""


@dataclass
class _Running:
    """A trial that has not ended: what it has behind it, and since when it trains its epoch."""

    epochs: float
    since: float
    expected_epochs: float | None
    max_epochs: int
    epoch_s: float


class TimeLeft:
    """Hears what trials do, and tells when they will be done."""

    def __init__(
        self,
        *,
        trials: int,
        slots: int,
        mean_epochs: float,
        epoch_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin, with nothing measured.

        Args:
            trials: That are still to begin.
            slots: Trials side by side.
            mean_epochs: Of a trial, as the rungs let expect; see `SuccessiveHalving`.
            epoch_s: What the preflight told of an epoch, on the mean.
            clock: Seconds from any origin, never going back.
        """
        self._to_come = trials
        self._slots = slots
        self._epochs_told, self._trials_told = _PRIOR_TRIALS * mean_epochs, float(_PRIOR_TRIALS)
        self._epoch_s = epoch_s
        self._clock = clock
        self._running: dict[int, _Running] = {}
        self._took_s = 0.0
        self._told_s = 0.0

    def measured_before(self, epochs: float, seconds: float, epoch_s: float) -> None:
        """Learn from a trial of an earlier process.

        Args:
            epochs: It had.
            seconds: They took.
            epoch_s: What the preflight tells of one.
        """
        self._took_s += seconds
        self._told_s += epochs * epoch_s

    def began(
        self,
        number: int,
        *,
        epochs: float,
        max_epochs: int,
        epoch_s: float,
        is_judged: bool,
        is_new: bool,
    ) -> None:
        """Hear that a trial begins, or is taken up again.

        Args:
            number: Its number.
            epochs: It has behind it.
            max_epochs: It comes to unless it is stopped.
            epoch_s: What the preflight told of its backbone and size.
            is_judged: Whether it may be stopped early.
            is_new: Whether it is one of those that were to begin.
        """
        self._to_come -= is_new
        expected = None if is_judged else float(max_epochs)
        self._running[number] = _Running(epochs, self._clock(), expected, max_epochs, epoch_s)

    def measured(self, number: int, epochs: float, seconds: float) -> None:
        """Hear that a trial has so many epochs behind it; since the last it took so long."""
        trial = self._running[number]
        self.measured_before(epochs - trial.epochs, seconds, trial.epoch_s)
        trial.epochs, trial.since = epochs, self._clock()

    def ended(self, number: int) -> None:
        """Hear that a trial has ended; how far it came tells what to expect of the next."""
        trial = self._running.pop(number)
        if trial.expected_epochs is None:
            self._epochs_told += trial.epochs
            self._trials_told += 1

    @property
    def left_s(self) -> float | None:
        """Seconds until the last trial ends; None before an epoch was measured."""
        if not self._told_s:
            return None
        mean_epochs = self._epochs_told / self._trials_told
        factor = self._took_s / self._told_s
        now = self._clock()
        running_s = 0.0
        for trial in list(self._running.values()):  # another thread may ask
            expected = min(trial.expected_epochs or mean_epochs, trial.max_epochs)
            epochs = max(expected - trial.epochs, min(1.0, trial.max_epochs - trial.epochs))
            this = min(epochs, 1.0)  # an epoch that is overdue is about to end
            epoch_s = trial.epoch_s * factor
            running_s += max(this * epoch_s - (now - trial.since), 0.0) + (epochs - this) * epoch_s
        to_come = max(self._to_come, 0)
        side_by_side = min(self._slots, max(len(self._running) + to_come, 1))
        return (running_s + to_come * mean_epochs * self._epoch_s * factor) / side_by_side
