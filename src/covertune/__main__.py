"""The command `covertune`, and `python -m covertune`."""

import os
import signal
import sys
from types import FrameType

from covertune.stops import EXIT_INTERRUPTED

__all__ = ["main"]


def main() -> None:
    """Run the command line, and be ready for a stop before anything is imported."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        print("stopped: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)

    _open_standard_streams()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)

    from covertune.search.cli import main as run

    try:
        run()
    finally:
        # After a KeyboardInterrupt in text that was given to `exec`, as dataclasses do, `python -m`
        # ends by SIGINT, whatever the exit code; the next `exec` makes it forget.
        exec("")


def _open_standard_streams() -> None:
    """Have what is closed, as a service may start us, lead nowhere: else the next file takes it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8"))


if __name__ == "__main__":
    main()
