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
import time
from collections.abc import Callable, Iterator

from covertune.data_pipeline.compat import prints_to
from covertune.search.cluster.compat import calls_held, dead_processes
from covertune.stops import EXIT_INTERRUPTED, stop_came_since

__all__ = ["OnDeath", "ray_watched"]

OnDeath = Callable[[str, bool], None]
"""Told what died, and whether a stop was asked for at that moment; on a thread of its own."""

_log = logging.getLogger(__name__)
_EVERY_S = 0.02
_VITAL = ("raylet", "gcs_server")
_EXIT_FAILED = 1
_STOPPING_S = 1.0  # systemd and Slurm send a stop to every process of a job: to Ray first, perhaps


@contextlib.contextmanager
def ray_watched(tell: OnDeath) -> Iterator[None]:
    """End the process if the local Ray dies while the block runs.

    The exit code is 1; or 130 where a stop was asked for before, or is within a second: then Ray
    was told to end as this process was.

    Args:
        tell: Called just before the end.
    """
    ended, began = threading.Event(), time.monotonic()

    def watch() -> None:
        while not ended.is_set():
            for name, code in dead_processes(_VITAL, _EVERY_S):
                with calls_held():
                    stopped = _is_stopping(began, ended)
                    if not ended.is_set():
                        what = f"Ray died: its {name} ended with code {code}"
                        _end(tell, what, stopped=stopped)

    watcher = threading.Thread(target=watch, name="ray-watch", daemon=True)
    # Ray prints pages of a dead raylet's state on standard output; they belong into the log.
    with prints_to(_log.warning):
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _is_stopping(began: float, ended: threading.Event) -> bool:
    """Return whether a stop has been asked for since then, or is right after."""
    deadline = time.monotonic() + _STOPPING_S
    while not stop_came_since(began):
        if time.monotonic() >= deadline or ended.wait(_EVERY_S):
            return False
    return True


def _end(tell: OnDeath, what: str, *, stopped: bool) -> None:
    """End the process; nothing is unwound, for what asks Ray for anything now may hang."""
    try:
        tell(what, stopped)
    except Exception:
        _log.exception("cannot tell that %s", what)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED if stopped else _EXIT_FAILED)
