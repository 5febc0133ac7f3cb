"""Ctrl-C, and what comes in its place: SIGTERM of job schedulers and containers, SIGHUP of a
terminal that closes or a connection that is lost.

A signal that whoever started this process has it ignore, as `nohup` does with SIGHUP, stays
ignored. Outside the main thread signals cannot be caught, and nothing here does anything.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from covertune.search.schedule.budget import Budget

__all__ = ["interrupted_by_signals", "stop_came_since", "stopped_by_signals"]

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_came_at = float("-inf")


def stop_came_since(moment: float) -> bool:
    """Return whether a signal has asked for a stop since a moment of `time.monotonic`."""
    return _came_at >= moment


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt at whatever asks for a stop."""

    def handler() -> None:
        raise KeyboardInterrupt

    with _handled(handler):
        yield


@contextlib.contextmanager
def stopped_by_signals(budget: Budget, on_stop: Callable[[], None]) -> Iterator[None]:
    """Ask for a stop at the first signal; raise KeyboardInterrupt at the second.

    Args:
        budget: Is interrupted.
        on_stop: Called at the first signal, from its handler.
    """

    def handler() -> None:
        if budget.interrupted:
            raise KeyboardInterrupt
        budget.interrupt()
        on_stop()

    with _handled(handler):
        yield


@contextlib.contextmanager
def _handled(answer: Callable[[], None]) -> Iterator[None]:
    """Answer the signals while the block runs."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        global _came_at
        _came_at = time.monotonic()
        answer()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _STOPS}
    ours = [number for number in _STOPS if before[number] is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
