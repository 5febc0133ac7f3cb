"""Starts Ray on this machine, in one way for whoever needs it: a prepare, a decoding, a search."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping

import ray

from covertune.data_pipeline.compat import NO_MEMORY_MONITOR, own_process_groups
from covertune.data_pipeline.errors import DataError
from covertune.wording import first_line

__all__ = ["start_local_ray"]

_ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0"}


def start_local_ray(
    *,
    num_cpus: int | None = None,
    object_store_nbytes: int | None = None,
    memory_monitor: bool = True,
) -> None:
    """Start Ray on this machine, without a word, unless this process uses one already.

    One that is in use is taken as it is. Clusters that the environment or another program's Ray on
    this machine point to are none of ours: whoever wants one connects to it first. What is started
    is left running, until `ray.shutdown` or the end of the process.

    Args:
        num_cpus: How many Ray hands out; None: those of the machine.
        object_store_nbytes: Room for shared arrays; None: what Ray takes by itself, 30 % of memory.
        memory_monitor: Whether Ray ends a worker, and does its task again, before the machine runs
            out of memory; else that is left to the kernel.

    Raises:
        DataError: Ray cannot be started.
    """
    if ray.is_initialized():
        return
    settings = _ALWAYS if memory_monitor else _ALWAYS | NO_MEMORY_MONITOR
    try:
        with _unless_set(settings), own_process_groups(), _own_signals():
            ray.init(
                address="local",  # not whatever RAY_ADDRESS says
                num_cpus=num_cpus,
                object_store_memory=object_store_nbytes,
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except Exception as err:  # a node that does not come up in time is a bare Exception
        reason = first_line(err, at_most=None)
        raise DataError(
            f"Ray does not start on this machine: {reason}; if the machine is very busy, try "
            "again later, else look for the cause in Ray's logs"
        ) from err


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Put the handler of SIGTERM back that there was: Ray's own prints stack traces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _unless_set(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that the user has not, for what is started in the block alone."""
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
