"""Decodes a store once, into arrays that every process of a node shares without copying.

A cover that is to be fitted into squares in several ways is still decoded once, and gives an array
for each.

Ray tasks decode in parallel; the driver puts their blocks in the store's order into one array a
split, and that array into Ray's object store. The driver holds one more copy of a split while it is
filled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.dataset.decoding import BLOCK_BYTES, Block, cut_into_tasks, decode_task
from covertune.data_pipeline.errors import CapacityError
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.store.cover_store import CoverStore
from covertune.vocabulary import Fit

if TYPE_CHECKING:
    import torch

    from covertune.data_pipeline.dataset.batches import EpochBatches

__all__ = [
    "DecodedRefs",
    "DecodedSplit",
    "chunk_slice",
    "cover_nbytes",
    "decode_fits",
    "decode_store",
    "decoded_nbytes",
    "in_flight_nbytes",
    "split_key",
]

_IN_FLIGHT_BLOCKS = 4  # a CPU; room they take beside the finished arrays
_ROOM_WAIT_S = 10.0  # Ray tells of room that became free with some delay
_ID_LETTERS = 16


@dataclass(frozen=True)
class DecodedSplit:
    """The decoded covers of one split, in the store's order.

    The arrays are read-only views of shared memory: copy before changing anything.

    Attributes:
        images_NHWC: uint8, H = W = image_px.
        labels_N: int64.
        cover_ids_N: str, the store's `cover_id`.
        key: Names the content; equal keys, equal arrays.
        genres_NK: uint8, 1 where a cover has a genre; None unless the store is multi.
    """

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    cover_ids_N: np.ndarray
    key: str
    genres_NK: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def per_cover(self) -> tuple[np.ndarray, ...]:
        """What a `Batch` is made of: images, labels, and the marks of a multi store."""
        arrays = (self.images_NHWC, self.labels_N)
        return arrays if self.genres_NK is None else (*arrays, self.genres_NK)

    def part(self, which: slice | list[int], name: str) -> DecodedSplit:
        """Return some of the covers.

        Args:
            which: Which ones; a slice gives views, a list of places copies.
            name: Added to the key.
        """
        return DecodedSplit(
            images_NHWC=self.images_NHWC[which],
            labels_N=self.labels_N[which],
            cover_ids_N=self.cover_ids_N[which],
            key=f"{self.key}/{name}",
            genres_NK=None if self.genres_NK is None else self.genres_NK[which],
        )


@dataclass(frozen=True)
class DecodedRefs:
    """Where a decoded split lies in Ray's object store; small, and can be sent to any worker.

    The arrays live as long as the process that decoded them keeps this.

    Attributes:
        split: Which split.
        num_covers: N.
        image_px: Side of the squares.
        ref: The `DecodedSplit`.
        fit: How covers became squares.
    """

    split: str
    num_covers: int
    image_px: int
    ref: Any
    fit: Fit = "squash"

    def get(self) -> DecodedSplit:
        """Return the arrays; no copy on a node that has them, else fetched once per node."""
        decoded: DecodedSplit = ray.get(self.ref)
        return decoded

    def batches(
        self,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool,
        seed: int = 0,
        chunk: tuple[int, int] = (0, 1),
    ) -> EpochBatches:
        """See `refs.CoverRefs`."""
        from covertune.data_pipeline.dataset.batches import EpochBatches  # torch

        split = self.get()
        if chunk != (0, 1):
            split = split.part(chunk_slice(len(split), chunk), "{}-of-{}".format(*chunk))
        return EpochBatches(split, batch_size, device, shuffle=shuffle, seed=seed)


def decoded_nbytes(
    store: CoverStore, image_px: int, splits: Sequence[str] = ("train", "val")
) -> int:
    """Return bytes `decode_store` takes in Ray's object store, and `decode_fits` for each fit."""
    return sum(store.count(split) for split in splits) * cover_nbytes(store, image_px)


def cover_nbytes(store: CoverStore, image_px: int) -> int:
    """Return the bytes of one decoded cover."""
    per_cover = image_px * image_px * 3 + np.dtype(np.int64).itemsize + 4 * _ID_LETTERS
    return per_cover + (len(store.genres) if store.is_multi else 0)


def in_flight_nbytes(arrays_nbytes: int, cpus: int) -> int:
    """Return the bytes that blocks on their way into arrays of that size take beside them."""
    return min(arrays_nbytes, cpus * _IN_FLIGHT_BLOCKS * BLOCK_BYTES)


def decode_store(
    store: CoverStore,
    image_px: int,
    *,
    fit: Fit = "squash",
    splits: Sequence[str] = ("train", "val"),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, DecodedRefs]:
    """Decode splits of a store into Ray's object store.

    Args:
        store: What to decode; each node of the cluster must reach its folder.
        image_px: Side of the squares.
        fit: How covers become squares.
        splits: Which splits.
        progress: Called with (done, total) covers.

    Returns:
        For each split where its arrays lie. Keep it as long as they are needed.

    Raises:
        CapacityError: The arrays do not fit Ray's object store, or Ray has no CPU free.
        StoreError: The store is damaged or there is no such split.
    """
    return decode_fits(store, image_px, (fit,), splits=splits, progress=progress)[fit]


def decode_fits(
    store: CoverStore,
    image_px: int,
    fits: Sequence[Fit],
    *,
    splits: Sequence[str] = ("train", "val"),
    progress: Callable[[int, int], None] | None = None,
) -> dict[Fit, dict[str, DecodedRefs]]:
    """Decode splits of a store once, into arrays for each of several ways of fitting.

    Args:
        store: As for `decode_store`.
        image_px: Side of the squares.
        fits: The ways, each once; they take as much memory each.
        splits: Which splits.
        progress: Called with (done, total) covers.

    Returns:
        What `decode_store` returns, by fit.

    Raises:
        CapacityError, StoreError: As for `decode_store`.
    """
    start_local_ray()
    total = sum(store.count(split) for split in splits)
    tasks = [task for split in splits for task in cut_into_tasks(store, split, image_px, len(fits))]
    _require_room(store, image_px, splits, len(fits))
    filling = {split: _Filling(store, split, image_px, fits) for split in splits}
    refs: dict[Fit, dict[str, DecodedRefs]] = {fit: {} for fit in fits}
    done = 0
    if progress:
        progress(done, total)
    for block in ray_tasks.run_tasks(
        "decoding covers",
        decode_task,
        tasks,
        store=store.path,
        image_px=image_px,
        fits=tuple(fits),
        genres=store.genres if store.is_multi else None,
    ):
        split = block.task.split
        filling[split].put(block)
        if filling[split].is_full:
            for ref in filling.pop(split).finish():
                refs[ref.fit][split] = ref
        done += block.task.covers
        if progress:
            progress(done, total)
    assert not filling, "every cover was decoded"
    return {fit: {split: refs[fit][split] for split in splits} for fit in fits}


class _Filling:
    """The arrays of one split, for each fit, while its blocks arrive in any order."""

    def __init__(self, store: CoverStore, split: str, image_px: int, fits: Sequence[Fit]) -> None:
        num_covers = store.count(split)
        self.split = split
        self.image_px = image_px
        self.missing = num_covers
        self.labels_N = np.empty(num_covers, dtype=np.int64)
        self.cover_ids_N = np.empty(num_covers, dtype=f"<U{_ID_LETTERS}")
        self.genres_NK = (
            np.empty((num_covers, len(store.genres)), dtype=np.uint8) if store.is_multi else None
        )
        # Pages that nothing was written to yet take no memory.
        shape = (num_covers, image_px, image_px, 3)
        self.images_NHWC = {fit: np.empty(shape, dtype=np.uint8) for fit in fits}
        self.keys = {fit: split_key(store, split, image_px, fit) for fit in fits}

    @property
    def is_full(self) -> bool:
        return self.missing == 0

    def put(self, block: Block) -> None:
        here = slice(block.task.place, block.task.place + block.task.covers)
        for at, images_NHWC in enumerate(self.images_NHWC.values()):
            images_NHWC[here] = block.images_FNHWC[at]
        self.labels_N[here] = block.labels_N
        self.cover_ids_N[here] = block.cover_ids_N
        if self.genres_NK is not None and block.genres_NK is not None:
            self.genres_NK[here] = block.genres_NK
        self.missing -= block.task.covers

    def finish(self) -> Iterator[DecodedRefs]:
        """Hand over, letting go of each array once it lies in the object store."""
        for fit in list(self.images_NHWC):
            decoded = DecodedSplit(
                images_NHWC=self.images_NHWC.pop(fit),
                labels_N=self.labels_N,
                cover_ids_N=self.cover_ids_N,
                key=self.keys[fit],
                genres_NK=self.genres_NK,
            )
            num_covers = len(decoded)
            yield DecodedRefs(self.split, num_covers, self.image_px, ray.put(decoded), fit)


def split_key(store: CoverStore, split: str, image_px: int, fit: Fit) -> str:
    """Return a `DecodedSplit.key` of a whole split."""
    return f"{store.fingerprint}/{split}/{image_px}px/{fit}"


def chunk_slice(covers: int, chunk: tuple[int, int]) -> slice:
    """Return slice i of n of so many covers, as even as can be."""
    index, chunks = chunk
    return slice(covers * index // chunks, covers * (index + 1) // chunks)


def _require_room(store: CoverStore, image_px: int, splits: Sequence[str], num_fits: int) -> None:
    arrays = decoded_nbytes(store, image_px, splits) * num_fits
    needed = arrays + in_flight_nbytes(arrays, ray_tasks.num_cpus())
    size = f"{image_px} px" + (f" in {num_fits} fits" if num_fits > 1 else "")
    patience_s = _ROOM_WAIT_S if needed <= ray_tasks.object_store_bytes() else 0.0
    deadline = time.monotonic() + patience_s
    while needed > (free := ray_tasks.free_object_store_bytes()):
        if time.monotonic() >= deadline:
            raise CapacityError(
                f"the decoded covers must fit Ray's object store: {' and '.join(splits)} at "
                f"{size} need {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free on the "
                "smallest node; choose a smaller image size or start Ray with a larger "
                "object_store_memory"
            )
        time.sleep(0.2)
