"""What all nodes of a cluster are asked: what they must have in common, what they have room for."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from covertune.data_pipeline import CoverStore
from covertune.data_pipeline.compat import spill_folder
from covertune.data_pipeline.local_ray import free_spill_nbytes
from covertune.data_pipeline.nodes import alive_nodes
from covertune.search.cluster.objects import results
from covertune.search.errors import PreflightError
from covertune.search.record.run_folder import RunFolder
from covertune.wording import reason_of

__all__ = ["require_shared_storage", "spill_room_nbytes"]

_MOUNT = "put both on storage that all nodes mount at the same path (--runs-dir)"


def require_shared_storage(run: RunFolder, store: CoverStore) -> None:
    """Require nodes to share storage: each must read the store and write where the run lies.

    Raises:
        PreflightError: One of them does not.
    """
    if len(alive_nodes()) == 1:
        return
    token = run.checkpoints / f".from-the-driver-{uuid.uuid4().hex}"
    token.touch()
    try:
        told = _ask_each("looking for run and store", _MOUNT, _sees, token, store.path)
        for host, problem in told:
            if problem:
                raise PreflightError(f"node {host} {problem}; {_MOUNT}")
    finally:
        token.unlink()


def spill_room_nbytes() -> int:
    """Return the bytes that the nodes may spill together, if each takes as much as the others.

    Raises:
        PreflightError: A node does not answer.
    """
    folder = spill_folder()
    if len(alive_nodes()) == 1:
        return free_spill_nbytes(folder)
    remedy = "look whether it is well (`ray status`)"
    rooms: list[int] = [
        room for _, room in _ask_each("looking at disks", remedy, free_spill_nbytes, folder)
    ]
    return len(rooms) * min(rooms)


def _ask_each(
    doing: str, remedy: str, ask: Callable[..., Any], *arguments: object
) -> list[tuple[str, Any]]:
    """Call a function on each node; return the hosts with their answers."""
    asked = ray.remote(num_cpus=0)(ask)
    futures = {}
    for node in alive_nodes():
        only_there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        future = asked.options(scheduling_strategy=only_there).remote(*arguments)
        futures[future] = node["NodeManagerAddress"]
    answers = []
    for future, host in futures.items():
        where = f"{doing} from node {host}"
        [answer] = results([future], where, remedy=remedy, error=PreflightError)
        answers.append((host, answer))
    return answers


def _sees(token: Path, store: Path) -> str | None:
    """Return what is wrong with a node's view of the shared storage; runs on the node."""
    run = token.parents[2]
    if not token.exists():
        return f"does not see the run folder {run}"
    beside = token.with_name(f"{token.name}-answer-{uuid.uuid4().hex}")
    try:
        beside.touch()
        beside.unlink()
    except OSError as error:
        return f"cannot write into the run folder {run}: {reason_of(error)}"
    return None if store.is_dir() else f"does not see the store {store}"
