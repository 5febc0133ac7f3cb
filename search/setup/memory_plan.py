"""Which covers lie decoded in memory, which on a disk, and which are streamed from the store.

Room is given to one split after the other, first to those that gain most by it: `val` is small and
measured after each epoch of each trial, `train` comes next, `test` is read in the end alone. Small
input sizes come before large ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from covertune.data_pipeline import in_flight_nbytes

__all__ = ["ROOM_FOR_ALL", "MemoryPlan", "plan_memory"]

_FIRST_COME = ("val", "train", "test")
_NEEDED_BY_TRIALS = ("train", "val")


@dataclass(frozen=True)
class MemoryPlan:
    """Where the covers of a search are to be had.

    Attributes:
        streamed: Splits that stay in the store, as (image_px, split), and are decoded anew in each
            epoch.
        spilled: Splits that are decoded once, and lie on the disk that Ray spills to.
        needed: Bytes that all splits take decoded.
        room: Bytes of memory there are for them.
        remedy: What the user can do to have more room.
    """

    streamed: frozenset[tuple[int, str]] = frozenset()
    spilled: frozenset[tuple[int, str]] = frozenset()
    needed: int = 0
    room: float = math.inf
    remedy: str = "raise --memory-gb"

    def decoded(self, image_px: int) -> tuple[str, ...]:
        """Return the splits of trials that are decoded before the first, at a size."""
        return tuple(s for s in _NEEDED_BY_TRIALS if (image_px, s) not in self.streamed)

    def spills(self, image_px: int, split: str) -> bool:
        """Tell whether a split lies on the disk at a size."""
        return (image_px, split) in self.spilled

    def streams(self, image_px: int, split: str) -> bool:
        """Tell whether a split is streamed at a size."""
        return (image_px, split) in self.streamed


ROOM_FOR_ALL = MemoryPlan()
"""Everything is decoded."""


def plan_memory(
    sizes: Mapping[tuple[int, str], int],
    *,
    free: int,
    cpus: int,
    memory_gb: float | None,
    disk_free: int = 0,
    in_cluster: bool = False,
) -> MemoryPlan:
    """Decide for each split and size.

    Args:
        sizes: Bytes of each split when decoded, by (image_px, split).
        free: Bytes of Ray's object store.
        cpus: Decode side by side, and take room beside the finished arrays meanwhile.
        memory_gb: What the user allows for the arrays; None: all there is.
        disk_free: Bytes that Ray may spill.
        in_cluster: Whether Ray was started by somebody else, with the object store it has.
    """
    room: float = free - in_flight_nbytes(min(sum(sizes.values()), free), cpus)
    allowed = math.inf if memory_gb is None else int(memory_gb * 1e9)
    if room < allowed and (memory_gb is not None or in_cluster):
        remedy = "start Ray with more object_store_memory"
    else:
        remedy = MemoryPlan.remedy
    room = min(room, allowed)
    taken = on_disk = 0
    streamed, spilled = set(), set()
    for image_px, split in sorted(sizes, key=lambda key: (_FIRST_COME.index(key[1]), key[0])):
        nbytes = sizes[image_px, split]
        if taken + nbytes <= room:
            taken += nbytes
        elif on_disk + nbytes <= disk_free:
            on_disk += nbytes
            spilled.add((image_px, split))
        else:
            streamed.add((image_px, split))
    return MemoryPlan(
        streamed=frozenset(streamed),
        spilled=frozenset(spilled),
        needed=sum(sizes.values()),
        room=max(room, 0),
        remedy=remedy,
    )
