"""Starts Ray on this machine, in one way for whoever needs it: a prepare, a decoding, a search.

It takes the cores and the memory that this process may use, listens on loopback alone, behind a
token of its own that lies on no disk, and keeps its files in a folder that goes when it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import ray

from covertune.data_pipeline.compat import (
    NO_MEMORY_MONITOR,
    apart_from_stops,
    imports_as_here,
    of_this_machine_alone,
    own_signals,
    read_token_anew,
    when_ray_ends,
)
from covertune.data_pipeline.errors import DataError
from covertune.data_pipeline.ray_folder import RayFolder
from covertune.environment import changed_environment
from covertune.machine import (
    address_space_nbytes,
    available_memory_nbytes,
    is_main_imported_again,
    usable_cpus,
)
from covertune.stops import deferred_stops
from covertune.wording import first_line, reason_of

__all__ = [
    "SLOW_STORE_NBYTES",
    "default_store_nbytes",
    "free_spill_nbytes",
    "ray_logs",
    "require_main_guard",
    "shared_memory_nbytes",
    "start_local_ray",
]

_ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
_TOKEN = "RAY_AUTH_TOKEN"
_TOKEN_BYTES = 32
_BREAKPOINT = "PYTHONBREAKPOINT"  # Ray sets it, for the program as for its workers
# How the variables begin that tell of another Ray: a cluster, the job or the worker that this
# process is of, what a node of theirs has, and where its logs go.
_OF_ANOTHER_RAY = (
    "RAY_ADDRESS",
    "RAY_CLIENT_",
    "RAY_FAKE_CLUSTER",
    "RAY_JOB_",
    "RAY_LOG_TO_STDERR",
    "RAY_NAMESPACE",
    "RAY_NODE_",
    "RAY_OVERRIDE_",
    "RAY_RAYLET_",
    "RAY_REDIS_",
    "RAY_RUNTIME_ENV",
    "RAY_START_HOOK",
    "RAY_STORAGE",
    "RAY_TLS_",
    "RAY_USE_TLS",
)
_LOOPBACK = "127.0.0.1"
_LOOPBACK_S = 5.0
SLOW_STORE_NBYTES = 10**10
"""The largest object store that Ray puts on a disk, where /dev/shm is too small for it."""

_STORE_SHARE = 0.3  # of free memory, which Ray takes for its object store by itself
_LEAST_STORE_NBYTES = 75 * 2**20  # Ray takes no less
_OTHER_ADDRESSES_NBYTES = 10**10  # measured: a process maps 4 to 8 GB beside the object store
_SHARED_MEMORY = Path("/dev/shm")
_SHARED_MEMORY_SHARE = 0.95
_FULLEST_DISK = 0.95  # Ray spills no more from there on
_started: list[RayFolder] = []  # of the Ray that this process has started
_starting = threading.Lock()


def start_local_ray(
    *,
    num_cpus: int | None = None,
    object_store_nbytes: int | None = None,
    memory_monitor: bool = True,
    spill_dir: Path | None = None,
) -> None:
    """Start Ray on this machine, without a word, unless this process uses one already.

    One that is in use is taken as it is. Clusters that the environment or another program's Ray on
    this machine point to are none of ours: whoever wants one connects to it first. What is started
    is left running, until `ray.shutdown` or the end of the process.

    Args:
        num_cpus: How many Ray hands out; None: those this process may use.
        object_store_nbytes: Room for shared arrays; None: what Ray takes by itself, 30 % of the
            memory this process may use.
        memory_monitor: Whether Ray ends a worker, and does its task again, before the machine runs
            out of memory; else that is left to the kernel.
        spill_dir: Where Ray moves shared arrays that have no room; None: to temporary files.

    Raises:
        DataError: Ray cannot be started, or may not have enough addresses.
    """
    if ray.is_initialized():
        return
    require_main_guard()
    with deferred_stops(), _starting:
        if ray.is_initialized():  # another thread was quicker
            return
        _start(
            memory_monitor=memory_monitor,
            spill_dir=spill_dir,
            num_cpus=num_cpus or usable_cpus(),
            object_store_memory=_fitting(object_store_nbytes or default_store_nbytes()),
        )


def _start(*, memory_monitor: bool, spill_dir: Path | None, **resources: int) -> None:
    _require_loopback()
    settings = _environment_of_ray(secrets.token_hex(_TOKEN_BYTES), memory_monitor=memory_monitor)
    folder = RayFolder.make(spill_dir)
    try:
        with (
            changed_environment(settings),
            _temporary_files_in(folder.workers_temp_dir),
            of_this_machine_alone(),
            apart_from_stops() as processes,
            own_signals(),
        ):
            read_token_anew()
            ray.init(
                address="local",  # not whatever RAY_ADDRESS says
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
                job_config=imports_as_here(),
                _temp_dir=str(folder.temp_dir),
                object_spilling_directory=str(folder.spill_dir),
                **resources,
            )
    except Exception as err:  # a node that does not come up in time is a bare Exception
        folder.let_go()
        read_token_anew()
        reason = first_line(err, at_most=None)
        raise DataError(
            f"Ray does not start on this machine: {reason}; if the machine is very busy, try "
            f"again later, else look for the cause in Ray's logs, {folder.logs}"
        ) from err
    _started.append(folder)
    when_ray_ends(processes, _clear_up)


def _require_loopback() -> None:
    """Make sure that processes of this machine reach each other; Ray would try for minutes.

    Raises:
        DataError: They do not.
    """
    try:
        with socket.create_server((_LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=_LOOPBACK_S).close()
    except OSError as error:
        raise DataError(
            f"Ray does not start on this machine: its processes talk over {_LOOPBACK}, which does "
            f"not answer ({reason_of(error)}); bring it up: `ip link set lo up`"
        ) from error


def _fitting(store_nbytes: int) -> int:
    """Return the size of an object store that each process can map, beside what else it does.

    Raises:
        DataError: There is no room for any.
    """
    limit = address_space_nbytes()
    if limit < _OTHER_ADDRESSES_NBYTES + _LEAST_STORE_NBYTES:
        raise DataError(
            f"a process may have {limit / 1e9:.1f} GB of addresses here (`ulimit -v`), Ray and "
            f"torch take {_OTHER_ADDRESSES_NBYTES / 1e9:.0f} GB without any covers; lift that "
            "limit: `ulimit -v unlimited`, or limit the memory of a control group instead"
        )
    return int(min(store_nbytes, limit - _OTHER_ADDRESSES_NBYTES))


def ray_logs() -> str:
    """Return in words where Ray's logs lie; they stay when Ray ends, until the next one starts."""
    if not _started:
        return "Ray's logs"
    _started[-1].keep = True
    return f"Ray's logs, {_started[-1].logs}"


def require_main_guard() -> None:
    """Refuse to start work in a process that is only importing the main module of another.

    Raises:
        DataError: It is.
    """
    if is_main_imported_again():
        raise DataError(
            "this would begin once more in each new process, as the main module is imported there; "
            'put what starts it below `if __name__ == "__main__":`'
        )


def _clear_up() -> None:
    read_token_anew()  # another Ray that this program starts or joins has another one
    while _started:
        _started.pop().remove()


def default_store_nbytes() -> int:
    """Return the room for shared arrays if nobody asks for more.

    It is what Ray takes by itself, but of the memory this process may use: Ray knows the limit of a
    container, not that of a batch system or a service.
    """
    free = int(_STORE_SHARE * available_memory_nbytes())
    return max(_LEAST_STORE_NBYTES, min(free, max(shared_memory_nbytes(), SLOW_STORE_NBYTES)))


def free_spill_nbytes(folder: Path) -> int:
    """Return the room for shared arrays on this machine's disk.

    Args:
        folder: Where Ray moves them, see `compat.spill_folder`.
    """
    disk = shutil.disk_usage(folder)
    return max(0, int(disk.free - (1 - _FULLEST_DISK) * disk.total))


def shared_memory_nbytes() -> int:
    """Return the room for shared arrays in memory; what is larger lies in files on a disk."""
    if not _SHARED_MEMORY.is_dir():
        return 0
    return int(_SHARED_MEMORY_SHARE * shutil.disk_usage(_SHARED_MEMORY).free)


def _environment_of_ray(token: str, *, memory_monitor: bool) -> dict[str, str | None]:
    """Return what Ray is to find in the environment, and in place of what it would find."""
    settings = _ALWAYS | {_TOKEN: token}
    if not memory_monitor:
        settings |= NO_MEMORY_MONITOR
    changes: dict[str, str | None] = {
        name: value for name, value in settings.items() if name not in os.environ
    }
    changes[_BREAKPOINT] = os.environ.get(_BREAKPOINT)
    return changes | dict.fromkeys(name for name in os.environ if name.startswith(_OF_ANOTHER_RAY))


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Have the processes that are started in the block put temporary files into a new folder."""
    with contextlib.suppress(FileNotFoundError):
        tempfile.gettempdir()  # it asks the environment once; this process keeps its own
    folder.mkdir(parents=True)
    with changed_environment({"TMPDIR": str(folder)}):
        yield
