"""The Ray session a search runs in: this machine, or the cluster it belongs to."""

from __future__ import annotations

import contextlib
import logging
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import ray

from covertune.data_pipeline import DataError, in_flight_nbytes
from covertune.data_pipeline.compat import imports_as_here, own_signals
from covertune.data_pipeline.local_ray import (
    SLOW_STORE_NBYTES,
    default_store_nbytes,
    shared_memory_nbytes,
    start_local_ray,
)
from covertune.data_pipeline.nodes import alive_nodes
from covertune.machine import usable_cpus
from covertune.passwords import PasswordsHidden
from covertune.search.cluster.compat import cluster_address, tune_of_our_own
from covertune.search.cluster.watchdog import OnDeath, ray_watched
from covertune.search.errors import PreflightError
from covertune.search.garbage import workers_collect_rarely
from covertune.search.plan import Slots, TrialResources
from covertune.wording import escaped, first_line

__all__ = ["log_to_file", "ray_session", "slots_of", "slow_store"]

_CONNECT_S = 5.0
_ROUNDING = 1e-6  # ten tenths of a GPU are a whole one
_SMALL_STORE_NBYTES = 10**9  # a smaller one in memory is worth less than a larger one on disk
_OF_RAY = ("ray", "ray.data", "ray.tune", "ray.train")
_LOGGED = ("covertune", *_OF_RAY, "optuna", "matplotlib", "py.warnings")


class _LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk say, costs nobody anything."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: by default a traceback would land on the terminal."""


class _Escaping(PasswordsHidden):
    """Keeps line ends, which tracebacks have, and shows every other control character."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return "\n".join(map(escaped, super().format(record).split("\n")))


@contextlib.contextmanager
def log_to_file(file: Path) -> Iterator[None]:
    """Send what libraries log and warn to a file instead of the terminal.

    Enter it after `ray_session`: Ray sets its loggers up anew when it starts.
    """
    handler = _LogFile(file, encoding="utf-8", errors="backslashreplace", delay=True)
    handler.setFormatter(_Escaping("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = []
    logging.captureWarnings(True)
    for name in _LOGGED:
        logger = logging.getLogger(name)
        before.append((logger, list(logger.handlers), logger.propagate, logger.level))
        logger.setLevel(logging.INFO)
        logger.handlers = [handler]
        logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate, level in before:
            logger.setLevel(level)
            logger.handlers = handlers
            logger.propagate = propagate
        handler.close()


@contextlib.contextmanager
def ray_session(
    address: str | None,
    on_death: OnDeath,
    *,
    memory_gb: float | None = None,
    spill_dir: Path | None = None,
) -> Iterator[None]:
    """Start or join Ray; leave a session that was there before as it was.

    Args:
        address: Of a cluster to join; None: a Ray of our own on this machine.
        on_death: See `watchdog.ray_watched`; for a Ray that was started here.
        memory_gb: Room for decoded covers in a Ray of our own; None: what Ray takes by itself.
        spill_dir: Where a Ray of our own moves those that have no room; None: to temporary files.

    Raises:
        PreflightError: Ray does not start, or the cluster of `address` cannot be reached.
    """
    with tune_of_our_own():
        if ray.is_initialized():
            yield
            return
        try:
            if address is None:
                _start(memory_gb, spill_dir)
            else:
                _join(address)
            with contextlib.nullcontext() if address else ray_watched(on_death):
                yield
        finally:
            ray.shutdown()


def _start(memory_gb: float | None, spill_dir: Path | None) -> None:
    # A worker that takes too much memory is left to the kernel: Ray then sees a worker that died
    # and retries its trial. Killed by Ray's own monitor it would raise an error that Tune does not
    # expect, and end the search.
    try:
        with workers_collect_rarely():
            start_local_ray(
                object_store_nbytes=_object_store_nbytes(memory_gb),
                memory_monitor=False,
                spill_dir=spill_dir,
            )
    except DataError as error:
        raise PreflightError(str(error)) from error


def _join(address: str) -> None:
    _require_reachable(address)
    try:
        with own_signals():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                job_config=imports_as_here(),
            )
    except Exception as error:
        raise _no_cluster(address, error) from error


def _object_store_nbytes(memory_gb: float | None) -> int | None:
    """Return room for the covers the user allows memory for, and for what is computed of them.

    None: what Ray takes by itself. Ray moves what has no room to a disk.
    """
    if memory_gb is None:
        return None
    wanted = int(memory_gb * 1e9) + in_flight_nbytes(None, usable_cpus())
    if wanted <= default_store_nbytes():
        return wanted
    in_memory = shared_memory_nbytes()
    return min(wanted, in_memory if in_memory >= _SMALL_STORE_NBYTES else SLOW_STORE_NBYTES)


def slow_store() -> str | None:
    """Return what to do where shared arrays do not lie in memory; None where they do."""
    in_memory = shared_memory_nbytes()
    if in_memory >= min(_SMALL_STORE_NBYTES, default_store_nbytes()):
        return None
    return (
        f"/dev/shm holds {in_memory / 1e6:.0f} MB only, so covers are shared in files on a disk, "
        "which may be slow; give a container more (docker run --shm-size=8g)"
    )


def _require_reachable(address: str) -> None:
    """Try the port of the cluster's head first: Ray itself goes on trying for minutes."""
    try:
        resolved = cluster_address(address)
        if resolved is None:
            raise ConnectionError("no cluster runs on this machine")
        host, _, port = resolved.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> PreflightError:
    reason = first_line(error, at_most=None)
    return PreflightError(
        f"no Ray cluster at --address {address}: {reason}; start one with "
        "`ray up cluster.yaml` (or `ray start --head`), or leave --address out"
    )


def slots_of(wanted: TrialResources) -> Slots:
    """Divide the resources of the running Ray session into trials.

    Raises:
        PreflightError: Not even one trial fits.
    """
    resources = ray.cluster_resources()
    nodes = alive_nodes()
    gpus = int(resources.get("GPU", 0))
    gpus_per_trial = wanted.gpus
    if gpus_per_trial is None:
        gpus_per_trial = 1.0 if gpus else 0.0
    count = sum(_fits(node["Resources"], wanted.cpus, gpus_per_trial) for node in nodes)
    if count == 0:
        raise PreflightError(
            f"a trial asks for {wanted.cpus} CPUs and {gpus_per_trial:g} GPUs, no node "
            f"has that: {len(nodes)} nodes, {resources.get('CPU', 0):g} CPUs, {gpus} GPUs in all; "
            "lower --cpus-per-trial or --gpus-per-trial"
        )
    return Slots(
        count=min(count, wanted.at_once or count),
        cpus_per_trial=wanted.cpus,
        gpus_per_trial=gpus_per_trial,
        cpus=int(resources.get("CPU", 0)),
        gpus=gpus,
        nodes=len(nodes),
    )


def _fits(resources: dict[str, float], cpus: int, gpus: float) -> int:
    """Count the trials one node holds."""
    by_cpu = int(resources.get("CPU", 0) // cpus)
    if gpus == 0:
        return by_cpu
    gpu_count = int(resources.get("GPU", 0))
    # A fraction is packed within a GPU, never across two.
    per_gpu = int(1 / gpus + _ROUNDING) if gpus <= 1 else 0
    by_gpu = gpu_count * per_gpu if gpus <= 1 else int(gpu_count // gpus)
    return min(by_cpu, by_gpu)
