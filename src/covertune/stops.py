"""Ctrl-C, and what comes in its place: SIGTERM of job schedulers and containers, SIGHUP of a
terminal that closes or a connection that is lost.

A signal that whoever started this process has it ignore, as `nohup` does with SIGHUP, stays
ignored. Outside the main thread signals cannot be caught, and nothing here does anything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = [
    "EXIT_INTERRUPTED",
    "answered_stops",
    "interrupted_by_stops",
    "is_stop_swallowed",
    "stop_came_since",
    "stops_end_the_process",
    "tell_of_a_stop",
]

EXIT_INTERRUPTED = 130
"""What a program ends with that was stopped: 128 and the number of SIGINT, as in shells."""

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END_BY_DEFAULT = (signal.SIGTERM, signal.SIGHUP)  # in Python, which makes an error of SIGINT
_came_at = float("-inf")
_raised = False


def stop_came_since(moment: float) -> bool:
    """Return whether a signal has asked for a stop since a moment of `time.monotonic`."""
    return _came_at >= moment


@contextlib.contextmanager
def answered_stops(answer: Callable[[], None]) -> Iterator[None]:
    """Call something at whatever asks for a stop while the block runs; between two bytecodes."""

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


@contextlib.contextmanager
def interrupted_by_stops() -> Iterator[None]:
    """Raise KeyboardInterrupt at whatever asks for a stop.

    Library code that makes another error of it, as an import of torch may, is overruled.
    """

    def answer() -> None:
        global _raised
        _raised = True
        raise KeyboardInterrupt

    global _raised
    try:
        with answered_stops(answer):
            yield
    except Exception as error:
        if _raised and _comes_of_an_interrupt(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        _raised = False


def is_stop_swallowed() -> bool:
    """Return whether `interrupted_by_stops` has raised, and its block goes on nevertheless."""
    return _raised


def _comes_of_an_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def tell_of_a_stop() -> None:
    """Say what the command line says of a stop that leaves nothing to go on with."""
    print("stopped: interrupted", file=sys.stderr, flush=True)


@contextlib.contextmanager
def stops_end_the_process(*last: Callable[[], None]) -> Iterator[None]:
    """End the process at SIGTERM and SIGHUP at once, while the block runs.

    For library code that does not come back for seconds, and that ends the process with a code of
    its own where a process it works with dies: systemd and Slurm send a stop to every process of a
    job. Nothing is unwound. Without handlers these signals would end a Python process as well.

    Args:
        last: Called one after the other just before the end, on a thread of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while number := os.read(reader, 1)[0]:
            if number in _END_BY_DEFAULT:
                for call in last:
                    with contextlib.suppress(Exception):
                        call()
                os._exit(EXIT_INTERRUPTED)

    watcher = threading.Thread(target=watch, name="stop-watch", daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writer, b"\0")
        watcher.join()
        os.close(reader)
        os.close(writer)
