"""Ctrl-C, and what comes in its place: SIGTERM of job schedulers and containers, SIGHUP of a
terminal that closes or a connection that is lost.

A signal that whoever started this process has it ignore, as `nohup` does with SIGHUP, stays
ignored. Outside the main thread signals cannot be caught, and nothing here does anything.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = [
    "EXIT_INTERRUPTED",
    "answered_stops",
    "deferred_stops",
    "interrupted_by_stops",
    "is_stop_swallowed",
    "stop_came_since",
]

EXIT_INTERRUPTED = 130
"""What a program ends with that was stopped: 128 and the number of SIGINT, as in shells."""

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TOGETHER_S = 0.2  # `timeout` sends one to the program, and one to its group
_came_at = float("-inf")
_raised = False


def stop_came_since(moment: float) -> bool:
    """Return whether a signal has asked for a stop since a moment of `time.monotonic`."""
    return _came_at >= moment


@contextlib.contextmanager
def answered_stops(answer: Callable[[], None]) -> Iterator[None]:
    """Call something at whatever asks for a stop while the block runs; between two bytecodes."""

    def handler(_number: int) -> None:
        global _came_at
        _came_at = time.monotonic()
        answer()

    with _handled(handler):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[int], None]) -> Iterator[None]:
    """Handle stops while the block runs, those that come together once."""
    last = float("-inf")

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last >= before + _TOGETHER_S:
            handler(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _STOPS}
    ours = [number for number in _STOPS if before[number] is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextlib.contextmanager
def interrupted_by_stops() -> Iterator[None]:
    """Raise KeyboardInterrupt at whatever asks for a stop.

    Library code that makes another error of it, as an import of torch may, is overruled. Python
    drops what is raised in a destructor or a callback; `is_stop_swallowed` tells.
    """

    def answer() -> None:
        global _raised
        _raised = True
        raise KeyboardInterrupt

    before = sys.unraisablehook

    def tell(what: sys.UnraisableHookArgs) -> None:
        if not (_raised and what.exc_type is KeyboardInterrupt):
            before(what)

    global _raised
    sys.unraisablehook = tell
    try:
        with answered_stops(answer):
            yield
    except Exception as error:
        if _raised and _comes_of_an_interrupt(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        _raised = False
        sys.unraisablehook = before


@contextlib.contextmanager
def deferred_stops() -> Iterator[None]:
    """Have stops answered when the block has ended, in whatever way they are answered then.

    For library code that leaves things in pieces where it is interrupted. A second signal does.
    """
    came: list[int] = []

    def handler(number: int) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    with _handled(handler):
        yield
    for number in came:
        signal.raise_signal(number)


def is_stop_swallowed() -> bool:
    """Return whether `interrupted_by_stops` has raised, and its block goes on nevertheless."""
    return _raised


def _comes_of_an_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
