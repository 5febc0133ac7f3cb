"""Ctrl-C, and what job schedulers and containers send instead."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from covertune.search.schedule.budget import Budget

__all__ = ["stopped_by_signals", "terminated_as_interrupted"]

_STOPS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopped_by_signals(budget: Budget, on_stop: Callable[[], None]) -> Iterator[None]:
    """Ask for a stop at the first Ctrl-C; raise KeyboardInterrupt at the second.

    SIGTERM is the same. Outside the main thread signals cannot be caught, and this does nothing.

    Args:
        budget: Is interrupted.
        on_stop: Called at the first signal, from its handler.
    """

    def handler(_number: int, _frame: FrameType | None) -> None:
        if budget.interrupted:
            raise KeyboardInterrupt
        budget.interrupt()
        on_stop()

    with _handled(_STOPS, handler):
        yield


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM, as Ctrl-C does; Ray would answer it with stack traces.

    To be entered after Ray has started. Outside the main thread this does nothing.
    """
    with _handled((signal.SIGTERM,), signal.default_int_handler):
        yield


@contextlib.contextmanager
def _handled(
    numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Answer signals by a handler while it lasts, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
