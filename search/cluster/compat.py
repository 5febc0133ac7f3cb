"""Every hook into Ray's insides. `tests/search/cluster/test_compat.py` fails when one changes.

Ray 2.60. What is not public there, and why it is used:

    ray._private.worker._global_node             the processes of a Ray that this one started
    ray._private.worker.print_to_stdstream       what Ray prints on a terminal of its own accord
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
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import ray._private.worker
from ray import tune
from ray._private.services import canonicalize_bootstrap_address
from ray.exceptions import RayError

__all__ = ["cluster_address", "dead_processes", "prints_to", "quieten_tune", "run_experiment"]

_OF_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


_TELLS_NOTHING_BELOW = {
    "ray.tune.tune": logging.WARNING,
    "ray.tune.analysis.experiment_analysis": logging.ERROR,
    "ray.tune.utils.util": logging.ERROR,
}


def dead_processes() -> list[tuple[str, subprocess.Popen[bytes]]]:
    """Return the processes of the local Ray that have ended, by name: `raylet`, `gcs_server`, …"""
    return list(ray._private.worker._global_node.dead_processes())


@contextlib.contextmanager
def prints_to(log: Callable[[str], None]) -> Iterator[None]:
    """Send what Ray prints on the terminal elsewhere while the block runs."""

    def divert(data: dict[str, Any], **_how: Any) -> None:
        log("\n".join(map(str, data.get("lines", ()))))

    before = ray._private.worker.print_to_stdstream
    ray._private.worker.print_to_stdstream = divert
    try:
        yield
    finally:
        ray._private.worker.print_to_stdstream = before


def cluster_address(address: str) -> str | None:
    """Return host and port behind an address such as `auto`; None if no cluster runs here."""
    resolved: str | None = canonicalize_bootstrap_address(address)
    return resolved


def quieten_tune() -> None:
    """Leave output, loggers and Ctrl-C to us, for the rest of this process.

    What the user has set in the environment stays as it is.
    """
    for name, value in _OF_TUNE.items():
        os.environ.setdefault(name, value)


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
