"""How this package has Ray work: quietly, never waiting for CPUs that never come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from covertune.data_pipeline.compat import error_beneath
from covertune.data_pipeline.errors import CapacityError, DataError
from covertune.data_pipeline.local_ray import ray_logs
from covertune.data_pipeline.nodes import object_store_in_use, object_store_sizes
from covertune.wording import first_line

__all__ = [
    "free_object_store_bytes",
    "num_cpus",
    "object_store_bytes",
    "require_free_cpu",
    "run_tasks",
    "unwrap_ray_errors",
]

_FREE_CPU_WAIT_S = 20.0  # Ray tells of a CPU that became free with some delay
_GIVE_UP_S = 5.0
_TASKS_PER_CPU = 2  # one runs, one waits for it to end: no CPU waits for the driver

Result = TypeVar("Result")


def num_cpus() -> int:
    """Return the CPUs of the cluster, at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def free_object_store_bytes() -> int:
    """Return the free bytes of the object store, on the node that has least.

    Ray tells how much is in use for the whole cluster only; all of it is counted against the
    smallest node, which is exact where there is one node.
    """
    return max(0, object_store_bytes() - object_store_in_use())


def object_store_bytes() -> int:
    """Return the size of the object store, on the node that has the smallest."""
    return min(object_store_sizes(), default=0)


def require_free_cpu(what: str) -> None:
    """Make sure that a Ray Data task can run at all.

    With every CPU held by others, Ray Data waits for ever without a word.

    Args:
        what: What needs the CPU, for the message.

    Raises:
        CapacityError: No CPU became free.
        DataError: Ray has died.
    """
    deadline = time.monotonic() + _FREE_CPU_WAIT_S
    while ray.available_resources().get("CPU", 0) < 1:
        if not object_store_sizes():
            raise DataError(f"Ray died before {what}; look for the cause in {ray_logs()}")
        if time.monotonic() > deadline:
            raise CapacityError(
                f"{what} needs a free CPU, all {num_cpus()} of Ray's are taken; "
                "wait for other work to end, or start Ray with more CPUs"
            )
        time.sleep(0.2)


def run_tasks(
    doing: str, work: Callable[..., Result], todo: Iterable[object], **common: object
) -> Iterator[Result]:
    """Do work on all CPUs of the cluster; a task whose worker is lost is done again.

    Between two tasks of Ray Data a CPU waits for the driver, for a sixth of a second on Ray 2.60;
    here the next one lies with the worker already. What was not asked for yet waits in `todo`, so
    that results take bounded memory however many there are.

    Args:
        doing: For messages.
        work: Called in a worker, with one of `todo` and with `common`.
        todo: What is to be done; each takes one CPU.
        common: Arguments that are the same for all; small, they travel with each.

    Yields:
        What `work` returned, in the order in which it was done.

    Raises:
        CapacityError: No CPU became free.
        DataError: From a task, or because Ray lost the work.
        OSError: From a task.
    """
    require_free_cpu(doing)
    task: Any = ray.remote(work).options(num_cpus=1, name=work.__name__)
    left = iter(todo)
    running = [task.remote(item, **common) for item in islice(left, _TASKS_PER_CPU * num_cpus())]
    try:
        with unwrap_ray_errors(doing):
            while running:
                (ready,), running = ray.wait(running, num_returns=1)
                running += [task.remote(item, **common) for item in islice(left, 1)]
                yield ray.get(ready)
    finally:
        _give_up(running)


def _give_up(running: list[Any]) -> None:
    """Cancel tasks nobody waits for any more.

    Most have failed as the first one did, on the same full disk say. Ray prints whatever a task
    failed with unless it is asked for, long after the one line that tells it.
    """
    for ref in running:
        ray.cancel(ref)
    deadline = time.monotonic() + _GIVE_UP_S
    for ref in running:
        with suppress(Exception):
            ray.get(ref, timeout=max(0.0, deadline - time.monotonic()))


@contextmanager
def unwrap_ray_errors(doing: str) -> Iterator[None]:
    """Raise what went wrong inside a task itself, rather than Ray's wrapping of it.

    Args:
        doing: What Ray was doing, for the message when Ray itself failed.

    Raises:
        DataError: From a task, or because Ray lost the work.
        OSError: From a task.
    """
    try:
        yield
    except Exception as err:
        cause = error_beneath(err, (DataError, OSError))
        if cause is not None:
            if isinstance(cause, DataError):  # Ray Data adds lines about its retries
                cause.args = (first_line(cause.args[0], at_most=None),)
            raise cause from None
        if isinstance(err, RayError) and not isinstance(err, RayTaskError):
            reason = first_line(err, at_most=None)
            raise DataError(
                f"Ray lost its work while {doing}: {reason}; look for the cause in {ray_logs()}"
            ) from err
        raise
