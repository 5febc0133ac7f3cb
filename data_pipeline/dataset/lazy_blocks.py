"""Blocks that a process loads when it needs them, and lets go of.

    SpilledBlock     decoded once; Ray has moved it to a disk, and brings it back
    UndecodedBlock   read from the store and decoded each time; where the disk is too small as well

What Ray brings back is copied: views would keep its object store full, and a search waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import ray

from covertune.data_pipeline.dataset.blocks import Blocks
from covertune.vocabulary import Fit

if TYPE_CHECKING:
    import torch

    from covertune.data_pipeline.dataset.windowed import WindowedBatches

__all__ = ["LazyBlock", "SpilledBlock", "UndecodedBlock", "WindowedRefs"]


class LazyBlock(Protocol):
    """Some covers of a split, one after the other."""

    @property
    def rows(self) -> int:
        """How many."""

    def load(self, fit: Fit, key: str) -> Blocks:
        """Return them, in memory of this process alone."""


@dataclass(frozen=True, eq=False)
class SpilledBlock:
    """A block that `block_of` made, in Ray's object store or where Ray spills that to."""

    rows: int
    ref: Any

    def load(self, fit: Fit, key: str) -> Blocks:
        """Copy it."""
        mapped = Blocks.of_tables([ray.get(self.ref)], fit, key)
        return replace(mapped, images=tuple(images.copy() for images in mapped.images))


@dataclass(frozen=True, eq=False)
class UndecodedBlock:
    """Covers of a store that are decoded each time they are asked for."""

    rows: int
    read: Callable[[], Iterator[pa.Table]]

    def load(self, fit: Fit, key: str) -> Blocks:
        """Decode them; raises StoreError if the store is damaged or out of reach."""
        return Blocks.of_tables(list(self.read()), fit, key)


@dataclass(frozen=True, eq=False)
class WindowedRefs:
    """Covers of a split that are held some at a time; small, and can be sent to any worker.

    Attributes:
        split: Which split.
        image_px: Side of the squares.
        fit: How covers became squares.
        key: See `Blocks`.
        blocks: In the store's order.
        threads: How many fetch blocks side by side.
    """

    split: str
    image_px: int
    fit: Fit
    key: str
    blocks: tuple[LazyBlock, ...]
    threads: int = 1

    @property
    def block_rows(self) -> tuple[int, ...]:
        """Covers of each block."""
        return tuple(block.rows for block in self.blocks)

    @property
    def num_covers(self) -> int:
        """N."""
        return sum(self.block_rows)

    def block(self, index: int) -> Blocks:
        """Load one block."""
        return self.blocks[index].load(self.fit, self.key)

    def batches(
        self,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool,
        seed: int = 0,
    ) -> WindowedBatches:
        """See `refs.CoverRefs`."""
        from covertune.data_pipeline.dataset.windowed import WindowedBatches  # torch

        return WindowedBatches(self, batch_size, device, shuffle=shuffle, seed=seed)
