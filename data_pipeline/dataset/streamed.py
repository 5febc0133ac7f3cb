"""Batches read straight from a store's Parquet parts, for covers that do not fit into memory.

Everything happens in threads of the process that trains, and no Ray task is asked for: a search
whose trials hold every CPU goes on. What it costs is decoding each cover anew in each epoch.

An epoch takes the row groups in a seeded order, and within that order moves each cover back by a
random draw of up to a window of covers; so what is held at once is bounded:

    encoded covers    a window, about 64 MB, and one row group
    decoded batches   two ahead, and the one in use
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch

from covertune.batch import Batch
from covertune.data_pipeline.dataset.batches import batch_ends, prefetch, seeded
from covertune.data_pipeline.dataset.blocks import chunk_slice
from covertune.data_pipeline.dataset.decoding import decode_cover
from covertune.data_pipeline.store.cover_store import CoverStore, genre_marks, read_row_groups
from covertune.vocabulary import Fit

__all__ = ["StreamedBatches", "StreamedRefs"]

_WINDOW_BYTES = 64 * 2**20
_AHEAD = 2  # batches; one would leave the threads idle while they wait to be asked


@dataclass(frozen=True, eq=False)
class StreamedRefs:
    """Covers of a split that stay in the store; small, and can be sent to any worker.

    Attributes:
        store: Where they lie; each node must reach its folder.
        split: Which split.
        image_px: Side of the squares.
        places: Which covers of the split, ascending; None: all.
        threads: How many decode at a time.
        fit: How covers become squares.
    """

    store: CoverStore
    split: str
    image_px: int
    places: np.ndarray | None = None
    threads: int = 1
    fit: Fit = "squash"

    @property
    def num_covers(self) -> int:
        """N."""
        return self.store.count(self.split) if self.places is None else len(self.places)

    def batches(
        self,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool,
        seed: int = 0,
        chunk: tuple[int, int] = (0, 1),
    ) -> StreamedBatches:
        """See `refs.CoverRefs`."""
        refs = self
        if chunk != (0, 1):
            places = np.arange(self.num_covers) if self.places is None else self.places
            refs = replace(self, places=places[chunk_slice(len(places), chunk)])
        return StreamedBatches(refs, batch_size, device, shuffle=shuffle, seed=seed)


class StreamedBatches:
    """Batches of streamed covers, epoch by epoch; see `refs.CoverBatches`.

    The batches of an epoch depend on store, seed and epoch only, whatever the device and the
    threads.

    Args:
        refs: The covers.
        batch_size: B; as for `EpochBatches` a lone last cover joins the batch before it where
            covers are shuffled.
        device: Where batches are delivered.
        shuffle: A new order each epoch, else the store's order.
        seed: Decides the orders.

    Raises:
        StoreError: There is no such split; while an epoch is delivered: the store is damaged or out
            of reach.
    """

    def __init__(
        self,
        refs: StreamedRefs,
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
        self._groups = _row_groups(refs)
        self._ends = batch_ends(refs.num_covers, batch_size, lone_joins=shuffle)

    def __len__(self) -> int:
        """Return the batches in an epoch."""
        return len(self._ends)

    def order(self, epoch: int) -> np.ndarray:
        """Return the covers of an epoch in the order of delivery, as places in the split."""
        _, order = self._plan(epoch)
        return order

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch; the threads end with it."""
        groups, order = self._plan(epoch)
        covers = _in_order(groups, self._refs.store, order)
        with ThreadPoolExecutor(self._refs.threads, thread_name_prefix="decoding") as decoders:
            makes = (
                partial(self._batch, covers, end - start, decoders)
                for start, end in pairwise([0, *self._ends])
            )
            with closing(prefetch(makes, _AHEAD)) as made:
                for batch in made:
                    yield batch.to(self._device)

    def _plan(self, epoch: int) -> tuple[list[_RowGroup], np.ndarray]:
        """Return row groups in the order of reading, and covers in the order of delivery."""
        if not self._shuffle:
            return self._groups, np.concatenate([group.places for group in self._groups])
        draws = seeded(self._seed, epoch)
        groups = [self._groups[index] for index in draws.permutation(len(self._groups))]
        order = np.concatenate([group.places for group in groups])
        # Who is read but not delivered stands less than a window behind who is delivered now.
        ranks = np.arange(len(order)) + draws.random(len(order)) * _window_covers(self._refs)
        return groups, order[np.argsort(ranks)]

    def _batch(self, covers: Iterator[_Encoded], size: int, decoders: ThreadPoolExecutor) -> Batch:
        """Return the next batch, in the memory it is sent to the device from."""
        pin = self._device.type == "cuda"
        taken = list(islice(covers, size))
        assert len(taken) == size, "no batch is made after one that failed"
        px = self._refs.image_px
        images_BHWC = torch.empty((size, px, px, 3), dtype=torch.uint8, pin_memory=pin)
        fast = self._refs.split != "test"
        _decode_into(images_BHWC.numpy(), taken, self._refs.fit, decoders, fast=fast)
        told = (torch.from_numpy(array) for array in _told(taken))
        return Batch(images_BHWC, *(tensor.pin_memory() if pin else tensor for tensor in told))


@dataclass(frozen=True)
class _RowGroup:
    """The least that can be read; `first` is the place in the split of its first cover."""

    part: str
    index: int
    first: int
    places: np.ndarray  # of the covers wanted


@dataclass(frozen=True)
class _Encoded:
    """A cover as it is held between reading and decoding."""

    image: bytes
    label: int
    cover_id: str
    source: str
    part: Path
    marks: np.ndarray | None


def _row_groups(refs: StreamedRefs) -> list[_RowGroup]:
    """Return the row groups that hold covers wanted, in the store's order."""
    groups = []
    place = 0
    for part in refs.store.parts_of(refs.split):
        for index in range(part.row_groups):
            end = place + min(part.group_rows, part.rows - index * part.group_rows)
            places = np.arange(place, end)
            if refs.places is not None:
                places = refs.places[slice(*np.searchsorted(refs.places, (place, end)))]
            if len(places):
                groups.append(_RowGroup(part.name, index, place, places))
            place = end
    return groups


def _window_covers(refs: StreamedRefs) -> int:
    parts = refs.store.parts_of(refs.split)
    mean_bytes = sum(part.bytes for part in parts) / sum(part.rows for part in parts)
    return max(1, int(_WINDOW_BYTES / mean_bytes))


def _in_order(
    groups: list[_RowGroup], store: CoverStore, order: np.ndarray | None = None
) -> Iterator[_Encoded]:
    """Read row groups one by one, as their covers come to be delivered.

    Args:
        groups: In the order of reading.
        store: What they are of.
        order: Places in the order of delivery; as they are read if not given.
    """
    unread = iter(groups)
    if order is None:
        for group in unread:
            yield from _read(group, store).values()
        return
    held: dict[int, _Encoded] = {}
    for place in order.tolist():
        while place not in held:
            held |= _read(next(unread), store)
        yield held.pop(place)


def _read(group: _RowGroup, store: CoverStore) -> dict[int, _Encoded]:
    """Read the covers wanted of a row group, by their places."""
    part = store.path / group.part
    columns = ["image", "label", "cover_id", "source"] + (["genres"] if store.is_multi else [])
    rows = read_row_groups(part, [group.index], columns).take(group.places - group.first)
    marks = genre_marks(rows, store.genres, store.path) if store.is_multi else [None] * len(rows)
    covers = zip(rows.to_pylist(), marks, strict=True)
    return {
        place: _Encoded(
            row["image"], row["label"], row["cover_id"], row["source"], part, marks_of_it
        )
        for place, (row, marks_of_it) in zip(group.places.tolist(), covers, strict=True)
    }


def _decode_into(
    images_BHWC: np.ndarray,
    covers: list[_Encoded],
    fit: Fit,
    decoders: ThreadPoolExecutor,
    *,
    fast: bool,
) -> None:
    image_px = images_BHWC.shape[1]

    def decode(row: int) -> None:
        cover = covers[row]
        (images_BHWC[row],) = decode_cover(
            cover.image, image_px, cover.part, cover.source, (fit,), fast=fast
        )

    for _ in decoders.map(decode, range(len(covers))):  # raises what a thread raised
        pass


def _told(covers: list[_Encoded]) -> tuple[np.ndarray, ...]:
    """Return what batches hold beside pixels: labels_B, and genres_BK of a multi store."""
    labels_B = np.array([cover.label for cover in covers], dtype=np.int64)
    marks = [cover.marks for cover in covers if cover.marks is not None]
    return (labels_B, np.stack(marks)) if marks else (labels_B,)
