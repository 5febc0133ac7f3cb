"""What a trial is handed: covers of one split and size, behind one form.

    BlockRefs      decoded once, in Ray's object store, which a trial maps       (`blocks`)
    WindowedRefs   decoded once onto a disk, or decoded anew in each epoch       (`lazy_blocks`)

Either is small and can be sent to any worker, and gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from covertune.batch import Batch
from covertune.vocabulary import Fit

if TYPE_CHECKING:
    import torch

    from covertune.data_pipeline.dataset.blocks import Blocks

__all__ = ["CoverBatches", "CoverRefs"]


class CoverBatches(Protocol):
    """Batches of one split, epoch by epoch."""

    def __len__(self) -> int:
        """Return the batches in an epoch."""

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Deliver one epoch, each cover once, or what is left of it.

        Args:
            epoch: Which one, at least 0.
            start_batch: How many of its batches are left out, at the beginning.
        """


class CoverRefs(Protocol):
    """Where the covers of a split are to be had."""

    @property
    def split(self) -> str:
        """Which split."""

    @property
    def num_covers(self) -> int:
        """N."""

    @property
    def image_px(self) -> int:
        """Side of the squares."""

    @property
    def fit(self) -> Fit:
        """How covers became squares."""

    @property
    def block_rows(self) -> tuple[int, ...]:
        """Covers of each block, in the store's order."""

    def block(self, index: int) -> Blocks:
        """Return one block, in this process."""

    def batches(
        self,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool,
        seed: int = 0,
    ) -> CoverBatches:
        """Return batches of the covers, in this process.

        Args:
            batch_size: B; the last batch of an epoch may be smaller. Where covers are shuffled,
                which is for training, a lone last cover joins the batch before it.
            device: Where batches are delivered.
            shuffle: A new order each epoch, else the store's order.
            seed: Decides the orders.
        """
