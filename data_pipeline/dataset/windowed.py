"""Batches of covers that do not fit into memory: a trial holds a window of their blocks.

Threads of the process that trains fetch blocks ahead, in a seeded order. No Ray task is asked for,
so that a search whose trials hold every CPU goes on. What is held at once is bounded:

    decoded blocks    a window, 128 MB, one block more, and one a thread ahead
    batches           two ahead, and the one in use
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from covertune.batch import Batch
from covertune.data_pipeline.dataset.batches import prefetch
from covertune.data_pipeline.dataset.blocks import Blocks, take_rows
from covertune.data_pipeline.dataset.lazy_blocks import WindowedRefs
from covertune.data_pipeline.dataset.order import batch_ends, seeded, windowed_order

__all__ = ["WindowedBatches"]

_WINDOW_BYTES = 128 * 2**20
_AHEAD = 2  # batches; one would leave the threads idle while they wait to be asked


class WindowedBatches:
    """Batches of a split that is held some blocks at a time; see `refs.CoverBatches`.

    The batches of an epoch depend on how the split is cut into blocks, on seed and epoch, whatever
    the device, the threads and where blocks lie.

    Args:
        refs: The covers.
        batch_size: B; as for `EpochBatches` a lone last cover joins the batch before it where
            covers are shuffled.
        device: Where batches are delivered.
        shuffle: A new order each epoch, else the store's order.
        seed: Decides the orders.

    Raises:
        StoreError: While an epoch is delivered: the store is damaged or out of reach.
    """

    def __init__(
        self,
        refs: WindowedRefs,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool,
        seed: int = 0,
    ) -> None:
        assert batch_size >= 1
        self._refs = refs
        self._device = torch.device(device)
        self._shuffle = shuffle
        self._seed = seed
        self._starts = np.cumsum([0, *refs.block_rows])
        self._places = [np.arange(first, end) for first, end in pairwise(self._starts.tolist())]
        self._ends = batch_ends(refs.num_covers, batch_size, lone_joins=shuffle)

    def __len__(self) -> int:
        """Return the batches in an epoch."""
        return len(self._ends)

    def order(self, epoch: int) -> np.ndarray:
        """Return the covers of an epoch in the order of delivery, as places in the split."""
        _, order = self._plan(epoch)
        return order

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Deliver one epoch, or what is left of it; the threads end with it."""
        blocks, order = self._plan(epoch)
        bounds = list(pairwise([0, *self._ends]))[start_batch:]
        picks = [order[first:end] for first, end in bounds]
        window = _Window(self._refs, self._starts, blocks, picks)
        pin = self._device.type == "cuda"
        makes = (partial(window.gather, pick, pin=pin) for pick in picks)
        with closing(window), closing(prefetch(makes, _AHEAD)) as made:
            for batch in made:
                yield batch.to(self._device)

    def _plan(self, epoch: int) -> tuple[list[int], np.ndarray]:
        """Return blocks in the order of reading, and covers in the order of delivery."""
        if not self._shuffle:
            return list(range(len(self._places))), np.concatenate(self._places)
        px = self._refs.image_px
        window = max(1, _WINDOW_BYTES // (px * px * 3))
        return windowed_order(self._places, window, seeded(self._seed, epoch))


class _Window:
    """The blocks that are held, from the first cover that is needed of each to the last."""

    def __init__(
        self, refs: WindowedRefs, starts: np.ndarray, blocks: list[int], picks: list[np.ndarray]
    ) -> None:
        self._refs = refs
        self._starts = starts
        self._left = Counter(self._block_of(np.concatenate(picks)).tolist()) if picks else Counter()
        loads = (partial(self._load, index) for index in blocks if self._left[index])
        self._coming: Generator[tuple[int, Blocks]] = prefetch(
            loads, refs.threads, threads=refs.threads
        )
        self._held: dict[int, Blocks] = {}

    def close(self) -> None:
        """Fetch no more."""
        self._coming.close()
        self._held.clear()

    def gather(self, pick: np.ndarray, *, pin: bool) -> Batch:
        """Return the next batch, in the memory it is sent to the device from."""
        needed = Counter(self._block_of(pick).tolist())
        while not needed.keys() <= self._held.keys():
            index, block = next(self._coming)
            self._held[index] = block
        px, held = self._refs.image_px, self._held
        images_BHWC = torch.empty((len(pick), px, px, 3), dtype=torch.uint8, pin_memory=pin)
        images = {index: held[index].images[0] for index in needed}
        take_rows(images, self._starts, pick, images_BHWC.numpy())
        told = [torch.from_numpy(array) for array in self._told(pick)]
        self._left -= needed
        for index in needed:
            if not self._left[index]:
                del held[index]
        return Batch(images_BHWC, *(one.pin_memory() if pin else one for one in told))

    def _told(self, pick: np.ndarray) -> list[np.ndarray]:
        """Return what batches hold beside pixels: labels_B, and genres_BK of a multi store."""
        blocks = self._block_of(pick)
        rows = (pick - self._starts[blocks]).tolist()
        covers = [
            (self._held[index], row) for index, row in zip(blocks.tolist(), rows, strict=True)
        ]
        labels_B = np.array([block.labels_N[row] for block, row in covers], dtype=np.int64)
        marks = [block.genres_NK[row] for block, row in covers if block.genres_NK is not None]
        return [labels_B, np.stack(marks)] if marks else [labels_B]

    def _block_of(self, places: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.searchsorted(self._starts, places, side="right") - 1
        return found

    def _load(self, index: int) -> tuple[int, Blocks]:
        return index, self._refs.block(index)
