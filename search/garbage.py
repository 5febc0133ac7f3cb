"""Python's garbage collector in processes that are ours alone.

Ray and torch bring half a million objects that stay. The collector would look through them again
and again while they come, and once more when the process ends: a second of each worker's. A program
that imports covertune keeps its own settings: only the command line, and the workers of a Ray that
a search has started, collect rarely.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
from collections.abc import Iterator

from covertune.environment import changed_environment

__all__ = ["collect_rarely", "is_worker", "workers_collect_rarely"]

_OF_A_WORKER = "COVERTUNE_WORKER"
_THRESHOLDS = (10_000, 20, 50)


def collect_rarely() -> None:
    """Set the collector for the rest of this process; to be called before what is large comes."""
    gc.set_threshold(*_THRESHOLDS)
    atexit.register(gc.freeze)


@contextlib.contextmanager
def workers_collect_rarely() -> Iterator[None]:
    """Have the processes of a Ray that is started in the block collect rarely."""
    with changed_environment({_OF_A_WORKER: "1"}):
        yield


def is_worker() -> bool:
    """Tell whether this process belongs to a Ray that a search has started."""
    return _OF_A_WORKER in os.environ
