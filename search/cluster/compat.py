"""Every hook into Ray's insides. `tests/search/cluster/test_compat.py` fails when one changes.

Ray 2.60. What is not public there, and why it is used:

    ray._private.worker._global_node             the processes of a Ray that this one started
    ray._private.worker.global_worker.core_worker    all calls of Ray go through it; some end the
                                                 process at once where the raylet is dead
    ray._private.services.canonicalize_bootstrap_address    the address of `auto`, without joining
    ray.tune.run                                 `Tuner` pickles searcher and callbacks, for a
                                                 restore that is not ours
    RuntimeError.__cause__, raised by that       a worker's end that Tune has no word for
    loggers in `_TELLS_NOTHING_BELOW`            tell of result files that no run has (its results
                                                 are in the study), and of each slow turn four times
    RAY_AIR_…, RAY_TRAIN_…, TUNE_…               what Tune prints, warns, checks and catches can
                                                 be set in the environment only
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import ray._private.worker
from ray import tune
from ray._private.services import canonicalize_bootstrap_address
from ray.exceptions import RayError

from covertune.environment import changed_environment

__all__ = [
    "calls_held",
    "cluster_address",
    "dead_processes",
    "run_experiment",
    "tune_of_our_own",
]

_SETS_TUNE = ("RAY_AIR_", "RAY_CHDIR_TO_TRIAL_DIR", "RAY_TRAIN_", "RAY_TUNE_", "TUNE_")
_OF_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


_STDERR = 2
_TELLS_NOTHING_BELOW = {
    "ray.tune.tune": logging.WARNING,
    "ray.tune.analysis.experiment_analysis": logging.ERROR,
    "ray.tune.utils.util": logging.ERROR,
}


def dead_processes(names: Collection[str], within_s: float) -> list[tuple[str, int]]:
    """Wait for the end of a process of the local Ray.

    Args:
        names: Of the processes that count: `raylet`, `gcs_server`, …
        within_s: For so long at most; on macOS always so long.

    Returns:
        The name and the exit code of each that has ended.
    """
    kinds: dict[str, list[Any]] = ray._private.worker._global_node.all_processes
    processes = [(name, info.process) for name in names for info in kinds.get(name, [])]
    _wait_for_any([process for _, process in processes], within_s)
    return [(name, code) for name, process in processes if (code := process.poll()) is not None]


def _wait_for_any(processes: list[subprocess.Popen[bytes]], within_s: float) -> None:
    if not hasattr(os, "pidfd_open"):
        time.sleep(within_s)
        return
    with contextlib.ExitStack() as opened:
        ends = []
        for process in processes:
            if process.poll() is not None:
                return
            ends.append(os.pidfd_open(process.pid))
            opened.callback(os.close, ends[-1])
        select.select(ends, [], [], within_s)


class _Waits:
    """Stands for a core worker; any call of it waits for ever."""

    def __getattr__(self, name: str) -> Any:
        threading.Event().wait()


@contextlib.contextmanager
def calls_held() -> Iterator[None]:
    """Have whoever calls Ray while the block runs wait for ever, and Ray's core not print.

    Where the raylet is dead, the core would end the process at many a call, without a word, and
    prints on standard error that it tries to save what is lost.
    """
    worker: Any = ray._private.worker.global_worker
    core, worker.core_worker = worker.core_worker, _Waits()
    try:
        with _standard_error_of_python_alone():
            yield
    finally:
        worker.core_worker = core


@contextlib.contextmanager
def _standard_error_of_python_alone() -> Iterator[None]:
    """Take standard error from whatever is not Python while the block runs."""
    before, saved = sys.stderr, os.dup(_STDERR)
    own = os.fdopen(saved, "w", errors="backslashreplace")
    with own, Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), _STDERR)
        if _number_of(before) == _STDERR:  # else it is a notebook's, or a test's
            sys.stderr = own
        try:
            yield
        finally:
            sys.stderr = before
            own.flush()
            os.dup2(saved, _STDERR)


def _number_of(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def cluster_address(address: str) -> str | None:
    """Return host and port behind an address such as `auto`; None if no cluster runs here."""
    resolved: str | None = canonicalize_bootstrap_address(address)
    return resolved


@contextlib.contextmanager
def tune_of_our_own() -> Iterator[None]:
    """Have Tune leave output, loggers and Ctrl-C to us while the block runs.

    What the environment sets for other experiments does not count: some of it ends ours, or buffers
    the epochs' results.
    """
    others = dict.fromkeys(name for name in os.environ if name.startswith(_SETS_TUNE))
    with changed_environment(others | _OF_TUNE):
        yield


def run_experiment(trainable: Any, **options: Any) -> None:
    """Run trials until the searcher has no more: `ray.tune.run`.

    Raises:
        RayError: One that Tune did not expect of a worker.
    """
    loggers = {logging.getLogger(name): level for name, level in _TELLS_NOTHING_BELOW.items()}
    before = {logger: logger.level for logger in loggers}
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        tune.run(trainable, **options)
    except RuntimeError as error:
        if isinstance(error.__cause__, RayError):
            raise error.__cause__ from error
        raise
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
