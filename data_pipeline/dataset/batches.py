"""Batches of a decoded split, on the device that trains.

On the CPU each batch is gathered from the shared blocks; the split itself is never copied. On a GPU
with room the whole split moves there once and batches are gathered there; where it does not fit,
batches are gathered one ahead into pinned memory and copied while the GPU works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import TypeVar

import numpy as np
import torch

from covertune.batch import Batch
from covertune.data_pipeline.dataset.blocks import Blocks
from covertune.data_pipeline.dataset.order import batch_ends, seeded
from covertune.vocabulary import SPLITS

__all__ = ["DeviceResident", "EpochBatches", "prefetch"]

_UPLOAD_BYTES = 64 * 2**20

T = TypeVar("T")


class DeviceResident:
    """Splits kept whole on GPUs, so that the trials of one process after another use them.

    Args:
        max_share: The largest share of a GPU's free memory that a split may take; what is left is
            for models. Trials that share a GPU each keep a copy.
    """

    def __init__(self, max_share: float = 0.25) -> None:
        self._max_share = max_share
        self._held: dict[tuple[str, torch.device], Batch] = {}
        self._lock = Lock()

    def get(self, covers: Blocks, device: torch.device) -> Batch | None:
        """Return a split on a device, moved there now if it is not there yet.

        Returns:
            All its covers as one batch, or None if there is no room.
        """
        place = (covers.key, device)
        with self._lock:
            held = self._held.get(place)
            if held is None:
                if covers.nbytes > self._room(device):
                    self._drop_others(covers, device)
                if covers.nbytes > self._room(device):
                    return None
                held = self._held[place] = _upload(covers, device)
        return held

    def held(self) -> list[str]:
        """Return the keys of the splits held."""
        return [key for key, _ in self._held]

    def _drop_others(self, covers: Blocks, device: torch.device) -> None:
        """Let go of splits of other stores, sizes and samples; a trial uses those of one."""
        for key, where in list(self._held):
            if where == device and _family(key) != _family(covers.key):
                del self._held[key, where]
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def _room(self, device: torch.device) -> float:
        if device.type != "cuda":
            return float("inf")
        free, _ = torch.cuda.mem_get_info(device)
        return self._max_share * free


RESIDENT = DeviceResident()
"""The splits that this process keeps on GPUs."""


class EpochBatches:
    """Batches of one split, epoch by epoch.

    The batches of an epoch depend on seed and epoch only, whatever the device.

    Args:
        covers: Decoded.
        batch_size: B; the last batch of an epoch may be smaller. Where covers are shuffled, which
            is for training, a lone last cover joins the batch before it: batch normalisation
            cannot use a batch of one.
        device: Where batches are delivered.
        shuffle: A new order each epoch, else the store's order.
        seed: Decides the orders.
        resident: Where to keep the split if `device` is a GPU; None to copy batch by batch.
    """

    def __init__(
        self,
        covers: Blocks,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool,
        seed: int = 0,
        resident: DeviceResident | None = RESIDENT,
    ) -> None:
        assert batch_size >= 1
        self._covers = covers
        self._batch_size = batch_size
        self._device = torch.device(device)
        self._shuffle = shuffle
        self._seed = seed
        self._resident = resident if self._device.type != "cpu" else None

    def __len__(self) -> int:
        """Return the batches in an epoch."""
        return len(self._ends())

    def order(self, epoch: int) -> np.ndarray:
        """Return the covers of an epoch in the order of delivery, as indices into the split."""
        if not self._shuffle:
            return np.arange(len(self._covers))
        return seeded(self._seed, epoch).permutation(len(self._covers))

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Deliver one epoch, or what is left of it.

        Args:
            epoch: Which one, at least 0.
            start_batch: How many of its batches are left out, at the beginning.
        """
        order = self.order(epoch)
        slices = [slice(*bounds) for bounds in pairwise([0, *self._ends()])][start_batch:]
        picks = [order[part] for part in slices]
        if self._device.type == "cpu":
            yield from (self._gather(pick, pin=False) for pick in picks)
            return
        on_device = self._resident.get(self._covers, self._device) if self._resident else None
        if on_device is None:
            yield from self._copied(picks)
            return
        order_on_device = torch.from_numpy(order).to(self._device)
        for part in slices:
            pick = order_on_device[part]
            yield on_device.map(partial(torch.index_select, dim=0, index=pick))

    def _ends(self) -> list[int]:
        return batch_ends(len(self._covers), self._batch_size, lone_joins=self._shuffle)

    def _gather(self, pick: np.ndarray, *, pin: bool) -> Batch:
        covers, px = self._covers, self._covers.image_px
        images_BHWC = torch.empty((len(pick), px, px, 3), dtype=torch.uint8, pin_memory=pin)
        covers.take(pick, images_BHWC.numpy())
        told = [torch.from_numpy(array[pick]) for array in _told(covers)]
        return Batch(images_BHWC, *(one.pin_memory() if pin else one for one in told))

    def _copied(self, picks: list[np.ndarray]) -> Iterator[Batch]:
        """Gather one batch ahead, in a thread, while the device works on the one before."""
        pin = self._device.type == "cuda"
        for batch in prefetch((partial(self._gather, pick, pin=pin) for pick in picks), 1):
            # torch keeps the pinned memory until the copy is done
            yield batch.to(self._device)


def prefetch(makes: Iterable[Callable[[], T]], ahead: int, *, threads: int = 1) -> Generator[T]:
    """Call one after the other in threads, so many before the result is asked for.

    What a call raises is raised where its result would have come. Closing the iterator waits for
    the calls that run.

    Args:
        makes: What is called.
        ahead: How many results wait at most.
        threads: That call, side by side.
    """
    coming: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="covers") as pool:
        try:
            for make in makes:
                coming.append(pool.submit(make))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


def _told(covers: Blocks) -> list[np.ndarray]:
    """Return what a `Batch` holds beside pixels: labels_N, and genres_NK of a multi store."""
    return [one for one in (covers.labels_N, covers.genres_NK) if one is not None]


def _upload(covers: Blocks, device: torch.device) -> Batch:
    """Move covers to a device, a piece at a time."""
    px = covers.image_px
    images_NHWC = torch.empty((len(covers), px, px, 3), dtype=torch.uint8, device=device)
    rows = max(1, _UPLOAD_BYTES // (px * px * 3))
    for start, block in zip(covers.starts.tolist(), covers.images, strict=False):
        for first in range(0, len(block), rows):
            piece = torch.from_numpy(block[first : first + rows].copy())
            images_NHWC[start + first : start + first + len(piece)].copy_(piece)
    return Batch(images_NHWC, *(torch.tensor(one, device=device) for one in _told(covers)))


def _family(key: str) -> tuple[str, ...]:
    """Return a `Blocks.key` without names of splits: what the splits of one trial share.

    Beside store, split and size, keys of samples tell which covers they hold.
    """
    return tuple(part for part in key.split("/") if part not in SPLITS)
