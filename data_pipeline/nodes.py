"""The nodes of Ray that live, and their room for shared arrays.

Of Ray's insides it knows the resource object_store_memory, whose amount is in bytes; a test of
`compat`'s fails when that changes.
"""

from __future__ import annotations

from typing import Any

import ray

__all__ = ["alive_nodes", "object_store_in_use", "object_store_sizes"]

_OBJECT_STORE = "object_store_memory"


def alive_nodes() -> list[dict[str, Any]]:
    """Return the nodes that live, each as `ray.nodes` tells of it."""
    return [node for node in ray.nodes() if node["Alive"]]


def object_store_sizes() -> list[int]:
    """Return the bytes of the object store of each node that lives."""
    return [int(node["Resources"].get(_OBJECT_STORE, 0)) for node in alive_nodes()]


def object_store_in_use() -> int:
    """Return the bytes in use in all object stores together."""
    total, free = ray.cluster_resources(), ray.available_resources()
    return int(total.get(_OBJECT_STORE, 0) - free.get(_OBJECT_STORE, 0))
