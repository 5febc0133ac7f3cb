"""How long a search may go on: wall-clock time across resumes, and the user's wish to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

__all__ = ["Budget", "terminated_as_interrupted"]

_STOPS = (signal.SIGINT, signal.SIGTERM)


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

    @contextlib.contextmanager
    def stops_on_signal(self, on_stop: Callable[[], None]) -> Iterator[None]:
        """The first Ctrl-C asks for a stop, a second one raises KeyboardInterrupt.

        SIGTERM, which job schedulers and containers send, is the same.

        Outside the main thread signals cannot be caught, and this does nothing.
        """

        def handler(_number: int, _frame: FrameType | None) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupt()
            on_stop()

        with _handled(_STOPS, handler):
            yield


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does; Ray would answer it with stack traces.

    To be entered after Ray has started. Outside the main thread this does nothing.
    """
    with _handled((signal.SIGTERM,), signal.default_int_handler):
        yield


@contextlib.contextmanager
def _handled(
    numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """While it lasts, signals are answered by a handler, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
