"""How long a search may go on: wall-clock time across resumes, and the user's wish to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Budget"]


class Budget:
    """The clock of a search."""

    def __init__(
        self,
        limit_s: float | None,
        *,
        spent_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start counting.

        Args:
            limit_s: Seconds in all; None: no limit.
            spent_s: Seconds used before this process.
            clock: Seconds from any origin, never going back.
        """
        self.limit_s = limit_s
        self._spent_before_s = spent_s
        self._clock = clock
        self._started = clock()
        self.interrupted = False
        """Whether the user asked for a stop."""
        self.broken_off: str | None = None
        """Why no trial can go on before somebody has mended it."""
        self.shortest_epoch_s = 0.0
        """Seconds of the cheapest first epoch so far: a trial that cannot even have that is not
        begun."""

    @property
    def spent_s(self) -> float:
        """Seconds used so far, earlier processes included."""
        return self._spent_before_s + self._clock() - self._started

    @property
    def left_s(self) -> float:
        """Seconds left; infinite without a limit."""
        return float("inf") if self.limit_s is None else self.limit_s - self.spent_s

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.left_s <= 0

    @property
    def admits_a_trial(self) -> bool:
        """Whether a new trial would get as far as one measured epoch."""
        return self.left_s > self.shortest_epoch_s and not self.is_halted

    @property
    def is_halted(self) -> bool:
        """Whether the search stops before its time; what runs is taken up by a later process."""
        return self.interrupted or self.broken_off is not None

    def first_epoch_took(self, seconds: float) -> None:
        """Learn what a trial takes to its first measurement."""
        self.shortest_epoch_s = min(self.shortest_epoch_s or seconds, seconds)

    def interrupt(self) -> None:
        """Ask for a stop."""
        self.interrupted = True
