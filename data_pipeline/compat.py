"""Every hook into Ray's insides. `tests/data_pipeline/test_compat.py` fails when one changes.

Ray 2.60. What is not promised there, and why it is used:

    ray._private.services.ConsolePopen  Ray starts its processes with it, in the process group of
                                        whoever starts Ray
    RAY_memory_monitor_refresh_ms       the raylet reads it as it starts; `ray.init` has no word for
                                        its memory monitor
    the resource object_store_memory    how much room there is for arrays that are shared
    RayTaskError.cause                  the error itself, not a traceback as a message
    DataContext.enable_progress_bars, .print_on_execution_start, .raise_original_map_exception,
    the handlers of the logger ray.data                    Ray Data prints of its own accord
    from_arrow, map_batches and iter_batches of no size    each table is one block, is worked on
                                                           as it is, and comes back by itself
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import ray
import ray._private.services
from ray.exceptions import RayTaskError

__all__ = [
    "NO_MEMORY_MONITOR",
    "error_beneath",
    "map_tables",
    "object_store_in_use",
    "object_store_sizes",
    "own_process_groups",
    "quiet_ray_data",
]

NO_MEMORY_MONITOR = {"RAY_memory_monitor_refresh_ms": "0"}
"""Environment in which a Ray has to start that lets workers take what memory there is."""

_OBJECT_STORE = "object_store_memory"
_QUIET = {
    "enable_progress_bars": False,
    "print_on_execution_start": False,
    "raise_original_map_exception": True,
}


@contextmanager
def own_process_groups() -> Iterator[None]:
    """Have each process of a Ray that starts in the block lead a process group of its own.

    A signal to the group of the program, as `timeout` and job schedulers send it, then reaches the
    program alone, which ends Ray when it is done with it. Where the block is left by an error, a
    Ctrl-C say, what has started is killed, with all that it has started.
    """
    services: Any = ray._private.services
    before = services.ConsolePopen
    started: list[subprocess.Popen[bytes]] = []

    class LeadsAGroup(before):  # type: ignore[misc, valid-type]  # Ray is untyped
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, process_group=0, **options)
            started.append(self)

    services.ConsolePopen = LeadsAGroup
    try:
        yield
    except BaseException:
        for process in started:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        services.ConsolePopen = before


def object_store_sizes() -> list[int]:
    """Return the bytes of the object store of each node that lives."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return [int(node["Resources"].get(_OBJECT_STORE, 0)) for node in nodes]


def object_store_in_use() -> int:
    """Return the bytes in use in all object stores together."""
    total, free = ray.cluster_resources(), ray.available_resources()
    return int(total.get(_OBJECT_STORE, 0) - free.get(_OBJECT_STORE, 0))


def error_beneath(
    err: BaseException, kinds: tuple[type[BaseException], ...]
) -> BaseException | None:
    """Return the error of one of these kinds that a task raised; None if it was another."""
    cause: BaseException | None = err
    while cause is not None:
        # Ray raises something that is both, and whose message is a traceback.
        if isinstance(cause, kinds) and not isinstance(cause, RayTaskError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return None


def map_tables(
    work: Callable[..., pa.Table],
    tables: Sequence[pa.Table],
    *,
    num_cpus: float,
    at_once: int,
    **common: object,
) -> Iterator[pa.Table]:
    """Have Ray Data do work on tables, quietly.

    Args:
        work: Called in a worker, with one of the tables and with `common`.
        tables: What is to be done, a task each.
        num_cpus: What a task takes; may be a fraction.
        at_once: How many run side by side at most.
        common: Arguments that are the same for all.

    Yields:
        What `work` returned, as it is done.
    """
    import ray.data

    with quiet_ray_data():
        done = ray.data.from_arrow(tables).map_batches(
            work,
            fn_kwargs=common,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=num_cpus,
            compute=ray.data.TaskPoolStrategy(size=at_once),
        )
        yield from done.iter_batches(batch_size=None, batch_format="pyarrow")


@contextmanager
def quiet_ray_data() -> Iterator[None]:
    """Keep Ray Data from printing; its log file still has everything."""
    import ray.data  # sets up the handlers silenced below

    context: Any = ray.data.DataContext.get_current()
    before = {name: getattr(context, name) for name in _QUIET}
    handlers = [
        handler
        for handler in logging.getLogger("ray.data").handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    levels = [handler.level for handler in handlers]
    for name, value in _QUIET.items():
        setattr(context, name, value)
    for handler in handlers:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
