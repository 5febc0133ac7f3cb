"""Notices that the Ray this process has started is dead, and says so before the process ends.

Without its raylet a search cannot go on. Left to itself, Ray takes trials for failed that were not,
and ends the process some 14 s later without a word (Ray 2.60); without its GCS, after a minute. So
the search ends here at once, as if it had been killed, which a run survives: `covertune resume`
goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator

from covertune.search.cluster.compat import dead_processes, prints_to

__all__ = ["ray_watched"]

_log = logging.getLogger(__name__)
_EVERY_S = 0.02  # Ray may end the process within a fifth of a second, before it has a worker
_VITAL = ("raylet", "gcs_server")
_EXIT_FAILED = 1


@contextlib.contextmanager
def ray_watched(tell: Callable[[str], None]) -> Iterator[None]:
    """End the process, with exit code 1, if the local Ray dies while the block runs.

    Args:
        tell: Called with what died, on a thread of its own, just before the end.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            for name, process in dead_processes():
                if name in _VITAL and not ended.is_set():
                    _end(tell, f"Ray died: its {name} ended with code {process.returncode}")

    watcher = threading.Thread(target=watch, name="ray-watch", daemon=True)
    # Ray prints pages of a dead raylet's state on standard output; they belong into the log.
    with prints_to(_log.warning):
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _end(tell: Callable[[str], None], what: str) -> None:
    """End without unwinding: what asks Ray for anything now may hang."""
    try:
        tell(what)
    except Exception:
        _log.exception("cannot tell that %s", what)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(_EXIT_FAILED)
