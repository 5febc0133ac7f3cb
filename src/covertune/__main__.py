"""The command `covertune`, and `python -m covertune`."""

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


if __name__ == "__main__":
    main()
