"""What all nodes of a cluster must have in common."""

from __future__ import annotations

import uuid
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from covertune.data_pipeline import CoverStore
from covertune.search.cluster.objects import results
from covertune.search.errors import PreflightError
from covertune.search.record.run_folder import RunFolder
from covertune.wording import reason_of

__all__ = ["require_shared_storage"]


def require_shared_storage(run: RunFolder, store: CoverStore) -> None:
    """Require nodes to share storage: each must read the store and write where the run lies."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) == 1:
        return
    token = run.checkpoints / f".from-the-driver-{uuid.uuid4().hex}"
    token.touch()
    try:
        sees = ray.remote(num_cpus=0)(_sees)
        for node in nodes:
            only_there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            future = sees.options(scheduling_strategy=only_there).remote(token, store.path)
            host = node["NodeManagerAddress"]
            doing = f"looking for run and store from node {host}"
            remedy = "put both on storage that all nodes mount at the same path (--runs-dir)"
            (problem,) = results([future], doing, remedy=remedy, error=PreflightError)
            if problem:
                raise PreflightError(f"node {host} {problem}; {remedy}")
    finally:
        token.unlink()


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
