"""What this process may use of the machine it runs on.

A machine has more than a process may take where a batch system pins it to some cores (`taskset`,
Slurm's affinity), or a container limits its group (Docker, Kubernetes, systemd slices). Limits of
control groups are those of https://docs.kernel.org/admin-guide/cgroup-v2.html and its forerunner,
cgroup-v1; a limit on a group holds for all groups below it, so that the smallest on the way counts.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = [
    "address_space_nbytes",
    "available_memory_nbytes",
    "is_main_imported_again",
    "usable_cpus",
]

_CGROUPS = Path("/sys/fs/cgroup")
_GROUPS_OF_THIS_PROCESS = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Return how many cores this process may keep busy, at least 1.

    Half a core more than a whole number is left alone: two processes that share three halves of a
    core wait for each other.
    """
    return max(1, min([_cores(), *map(int, _cpu_quotas())]))


def available_memory_nbytes() -> int:
    """Return the bytes this process and its children may still take without swapping."""
    left = [limit - used for limit, used in _memory_limits()]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


def address_space_nbytes() -> float:
    """Return how many bytes of addresses each process may have (`ulimit -v`); infinity: any."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if limit == resource.RLIM_INFINITY else limit


def is_main_imported_again() -> bool:
    """Tell whether `multiprocessing` is importing the main module into a new process.

    A main module that starts work without `if __name__ == "__main__":` would do so once more there,
    and again in what that starts.
    """
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_quotas() -> Iterator[float]:
    """Yield the cores each group this process is in may use, as far as it is limited."""
    for group in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)  # `max` is no number
        with contextlib.suppress(OSError, ValueError):
            quota_us = int((group / "cpu.cfs_quota_us").read_text())
            if quota_us > 0:  # -1: no limit
                yield quota_us / int((group / "cpu.cfs_period_us").read_text())


def _memory_limits() -> Iterator[tuple[int, int]]:
    """Yield for each group this process is in the bytes it may have and those it has.

    What the kernel would give back at once, pages of files that nobody has used for long, counts as
    free, as it does for the machine as a whole.
    """
    names = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    for group in _groups("memory"):
        for limit, used, cached in names:
            with contextlib.suppress(OSError, ValueError):
                may_have = int((group / limit).read_text())
                has = int((group / used).read_text())
                stat = dict(
                    line.split() for line in (group / "memory.stat").read_text().splitlines()
                )
                yield may_have, has - int(stat.get(cached, 0))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the groups of this process that may limit something, and those above.

    Inside a container the names may be those outside; then the topmost folder is its own.
    """
    try:
        lines = _GROUPS_OF_THIS_PROCESS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for mount in _mounts(controllers, controller):
            group = mount / name.lstrip("/")
            yield from (group, *(above for above in group.parents if above.is_relative_to(mount)))


def _mounts(controllers: str, controller: str) -> tuple[Path, ...]:
    """Return where the files of a line of /proc/self/cgroup may lie; version 2 names none."""
    if not controllers:
        return _CGROUPS, _CGROUPS / "unified"
    return tuple({_CGROUPS / controllers, _CGROUPS / controller})
