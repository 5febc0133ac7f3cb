"""Every hook into Ray's insides. `tests/data_pipeline/test_compat.py` fails when one changes.

Ray 2.60. What is not promised there, and why it is used:

    ray._private.services.ConsolePopen  Ray starts its processes with it, in the process group of
                                        whoever starts Ray, and with a `preexec_fn`
    ray._private.utils.set_sigterm_handler, RayLog::InstallFailureSignalHandler and
    RayLog::UninstallSignalAction       what `ray.init` does to the signals of the program, whether
                                        it starts or joins; each asks first whether it was done
    ray._private.worker.print_to_stdstream    what Ray prints on a terminal of its own accord
    RAY_memory_monitor_refresh_ms       the raylet reads it as it starts; `ray.init` has no word for
                                        its memory monitor
    JobConfig._py_driver_sys_path       `ray.init` extends it by the current folder
    client_mode_hook.is_client_mode_enabled…    what RAY_CLIENT_MODE was when Ray was imported
    ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV    where it is true, `uv run` has Ray copy the
                                        current folder, up to 500 MB, and install it for each worker
    ray_constants.ENABLE_RAY_CLUSTER    where it is false, as by default on macOS, a Ray listens on
                                        loopback alone; `_node_ip_address` is turned back to the
                                        address of a network card
    Config.initialize, AuthenticationTokenLoader.reset_cache    Ray's core keeps what RAY_AUTH_MODE
                                        and RAY_AUTH_TOKEN were when it first looked
    _temp_dir                           where Ray's files go; `ray.init` has no other word
    state.get_system_config             where each node spills to
    Node.kill_all_processes             called when a Ray ends that `ray.init` has started
    sockets/plasma_store in a session   the longest path of a Unix socket below `_temp_dir`
    RayTaskError.cause                  the error itself, not a traceback as a message
    RAY_DATA_USAGE_DISABLED             read each time something is executed
    DataContext.enable_progress_bars, .print_on_execution_start, .raise_original_map_exception,
    the handlers of the logger ray.data                    Ray Data prints of its own accord
    DataContext.execution_options.preserve_order, taken from the current context as a Dataset is
    made                                Ray Data hands out blocks as they come ready
    Dataset.iter_internal_ref_bundles   tells of each block as it is made; `materialize` at the end
    from_arrow, map_batches and iter_batches of no size    each table is one block, is worked on
                                                           as it is, and comes back by itself
"""

from __future__ import annotations

import ctypes
import functools
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray._private.services
import ray._private.state
import ray._private.utils
import ray._private.worker
import ray._raylet
from ray._private import client_mode_hook, ray_constants
from ray._raylet import AuthenticationTokenLoader, Config
from ray.exceptions import RayTaskError
from ray.job_config import JobConfig

from covertune.environment import changed_environment

__all__ = [
    "LONGEST_SOCKET",
    "NO_MEMORY_MONITOR",
    "apart_from_stops",
    "blocks_as_read",
    "error_beneath",
    "imports_as_here",
    "map_tables",
    "of_this_machine_alone",
    "own_signals",
    "prints_to",
    "quiet_ray_data",
    "read_in_order",
    "read_token_anew",
    "spill_folder",
    "when_ray_ends",
]

NO_MEMORY_MONITOR = {"RAY_memory_monitor_refresh_ms": "0"}
"""Environment in which a Ray has to start that lets workers take what memory there is."""

LONGEST_SOCKET = "session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
"""The longest path of a socket below the folder a Ray is given; the number is a process's."""

_OF_CORE = (
    signal.SIGSEGV,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGABRT,
    signal.SIGTERM,
    signal.SIGBUS,
    signal.SIGTRAP,
)
_ACTION_NBYTES = 512  # at least: 152 on Linux, 16 on macOS
_NOT_FROM_OUTSIDE = ("ENABLE_RAY_CLUSTER", "RAY_ENABLE_UV_RUN_RUNTIME_ENV")
_NO_USAGE = {"RAY_DATA_USAGE_DISABLED": "1"}
_QUIET = {
    "enable_progress_bars": False,
    "print_on_execution_start": False,
    "raise_original_map_exception": True,
}


@contextmanager
def apart_from_stops() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Have stops of this program not reach a Ray that starts in the block: the program ends it.

    Each of its processes leads a process group of its own, where `timeout`, job schedulers and
    terminals do not send a stop, and is deaf to SIGTERM and SIGHUP, which systemd and Slurm send to
    all processes of a job; Ray has them deaf to SIGINT. Where the block is left by an error, a
    Ctrl-C say, what has started is killed, with all that it has started.

    Yields:
        The processes, as they start.
    """
    services: Any = ray._private.services
    before = services.ConsolePopen
    started: list[subprocess.Popen[bytes]] = []

    class Apart(before):  # type: ignore[misc, valid-type]  # Ray is untyped
        def __init__(self, *arguments: Any, preexec_fn: Callable[[], None], **options: Any) -> None:
            def prepare() -> None:
                preexec_fn()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})

            super().__init__(*arguments, preexec_fn=prepare, process_group=0, **options)
            started.append(self)

    services.ConsolePopen = Apart
    try:
        yield started
    except BaseException:
        _kill_groups(started)
        raise
    finally:
        services.ConsolePopen = before


def _kill_groups(leaders: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in leaders:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def own_signals() -> Iterator[None]:
    """Have a Ray that is started or joined in the block leave this program's signals alone.

    Ray has two answers of its own to SIGTERM. That of its Python ends the process with code 15,
    whatever it is at. That of its core, set for some fatal signals too, prints a stack trace and
    aborts; when Ray ends, the core leaves SIGTERM without any answer. It sets none where it
    believes that its own are in place, which it is told while it starts.
    """
    utils: Any = ray._private.utils
    before, actions = utils.set_sigterm_handler, _actions()
    utils.set_sigterm_handler = lambda _handler: None
    _core("_ZN3ray6RayLog27InstallFailureSignalHandlerEPKcb")(None, False)
    _set_actions(actions)
    try:
        yield
    finally:
        _core("_ZN3ray6RayLog21UninstallSignalActionEv")()
        _set_actions(actions)
        utils.set_sigterm_handler = before


def _core(name: str) -> Any:
    """Return a function of Ray's core."""
    return ctypes.CDLL(ray._raylet.__file__)[name]


def _actions() -> dict[signal.Signals, ctypes.Array[ctypes.c_char]]:
    """Return what the system does at each signal that Ray's core answers: a `struct sigaction`."""
    actions = {}
    for number in _OF_CORE:
        actions[number] = ctypes.create_string_buffer(_ACTION_NBYTES)
        ctypes.CDLL(None).sigaction(number, None, actions[number])
    return actions


def _set_actions(actions: dict[signal.Signals, ctypes.Array[ctypes.c_char]]) -> None:
    for number, action in actions.items():
        ctypes.CDLL(None).sigaction(number, action, None)


@contextmanager
def of_this_machine_alone() -> Iterator[None]:
    """Have a Ray that is started in the block be reached from here, and need nothing from outside.

    Nor does it take a mode of Ray's own tests from the environment, in which calls go to a server:
    for the rest of this process.
    """
    before = {name: getattr(ray_constants, name) for name in _NOT_FROM_OUTSIDE}
    client_mode_hook.is_client_mode_enabled = False
    client_mode_hook.is_client_mode_enabled_by_default = False
    for name in _NOT_FROM_OUTSIDE:
        setattr(ray_constants, name, False)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(ray_constants, name, value)


class _OnOurPath(list[str]):
    """Takes of folders for the workers' `sys.path` those that are on that of this process."""

    def extend(self, folders: Iterable[str]) -> None:
        here = {str(Path(folder).absolute()) for folder in sys.path}  # "" is the current one
        super().extend(folder for folder in folders if folder in here)


def imports_as_here() -> Any:
    """Return the `job_config` of a Ray whose workers find the modules that this process finds.

    Ray puts the current folder first on their path, where a `copy.py` takes the place of Python's.
    """
    config: Any = JobConfig()
    config._py_driver_sys_path = _OnOurPath()
    return config


@contextmanager
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


def read_token_anew() -> None:
    """Have Ray's core look again whether the environment asks for a token, and for which."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def when_ray_ends(processes: Iterable[subprocess.Popen[bytes]], do: Callable[[], None]) -> None:
    """Have all of the Ray that this process has started end with it, whoever ends it.

    Args:
        processes: Those of `apart_from_stops`. What they have started ends as well: Ray's agents
            would go on for seconds.
        do: Called then.
    """
    node: Any = ray._private.worker._global_node
    kill = node.kill_all_processes

    @functools.wraps(kill)
    def kill_then_do(*arguments: Any, **options: Any) -> None:
        try:
            kill(*arguments, **options | {"allow_graceful": False})  # they would not hear it
        finally:
            _kill_groups(processes)
            do()

    node.kill_all_processes = kill_then_do


def spill_folder() -> Path:
    """Return the folder of each node to which Ray moves what its object store has no room for."""
    told: Any = ray._private.state.state.get_system_config()
    folders = json.loads(told["object_spilling_config"])["params"]["directory_path"]
    return Path(folders if isinstance(folders, str) else folders[0])


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
    """Keep Ray Data from printing, and from telling how it is used; its log has everything.

    For the latter it would start a process of its own and ask for a Prometheus on this machine.
    """
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
        with changed_environment(_NO_USAGE):
            yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


def read_in_order(source: Any, *, num_cpus: float | None = None, at_once: int | None = None) -> Any:
    """Return a Dataset that a datasource reads lazily, and that keeps its order.

    Args:
        source: The datasource; its length is that of its read tasks, which Ray Data has to be told
            or it cuts their blocks.
        num_cpus: What a task takes; None: what Ray Data takes by itself.
        at_once: How many run side by side at most.
    """
    from ray.data import DataContext, read_datasource

    context: Any = DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    side_by_side = None if at_once is None else min(at_once, len(source))  # it warns of more
    with DataContext.current(context):
        return read_datasource(
            source, override_num_blocks=len(source), num_cpus=num_cpus, concurrency=side_by_side
        )


def blocks_as_read(dataset: Any) -> Iterator[tuple[Any, int]]:
    """Run a Dataset, quietly, and keep its blocks in the object store.

    Yields:
        Where each block lies, as soon as it does, and its rows.
    """
    with quiet_ray_data():
        for bundle in dataset.iter_internal_ref_bundles():
            for entry in bundle.blocks:
                yield entry.ref, entry.metadata.num_rows
