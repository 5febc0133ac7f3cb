"""Decodes splits of a store once, into blocks that every process of a node shares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import numpy as np

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.compat import blocks_as_read, read_in_order
from covertune.data_pipeline.dataset.blocks import BlockRefs
from covertune.data_pipeline.dataset.decoding import BLOCK_BYTES, DecodedCovers, Part
from covertune.data_pipeline.dataset.lazy_blocks import SpilledBlock, UndecodedBlock, WindowedRefs
from covertune.data_pipeline.errors import CapacityError
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.store.cover_store import CoverStore
from covertune.vocabulary import Fit

__all__ = [
    "cover_nbytes",
    "decode_fits",
    "decode_parts",
    "decode_store",
    "decoded_nbytes",
    "in_flight_nbytes",
    "spill_part",
    "stream_part",
]

_IN_FLIGHT_BLOCKS = 4  # a CPU; room beside the blocks
_ROOM_WAIT_S = 10.0  # Ray tells of room that became free with some delay
_ID_NBYTES = 16 + 4  # letters, and where they begin
_TENSOR_NBYTES = 8  # where that of a row begins
_DOING = "decoding covers"
_CPUS_A_SPARE_TASK = 4  # a CPU waits for Ray Data between two tasks, a fifth of the time
_FEWEST_TASKS_PER_CPU = 10  # that are worth the start of another worker

Progress = Callable[[int, int], None]


def decoded_nbytes(
    store: CoverStore, image_px: int, splits: Sequence[str] = ("train", "val")
) -> int:
    """Return bytes `decode_store` takes in Ray's object store, and `decode_fits` for each fit."""
    return sum(store.count(split) for split in splits) * cover_nbytes(store, image_px)


def cover_nbytes(store: CoverStore, image_px: int) -> int:
    """Return the bytes of one decoded cover."""
    per_cover = image_px * image_px * 3 + _TENSOR_NBYTES + np.dtype(np.int64).itemsize + _ID_NBYTES
    return per_cover + (len(store.genres) + _TENSOR_NBYTES if store.is_multi else 0)


def in_flight_nbytes(blocks_nbytes: int | None, cpus: int) -> int:
    """Return the bytes that are kept free beside blocks, for what is computed of them.

    Args:
        blocks_nbytes: Of all blocks; None: many.
        cpus: That compute.
    """
    most = cpus * _IN_FLIGHT_BLOCKS * BLOCK_BYTES
    return most if blocks_nbytes is None else min(blocks_nbytes, most)


def decode_store(
    store: CoverStore,
    image_px: int,
    *,
    fit: Fit = "squash",
    splits: Sequence[str] = ("train", "val"),
    progress: Progress | None = None,
) -> dict[str, BlockRefs]:
    """Decode splits of a store into Ray's object store.

    Args:
        store: What to decode; each node of the cluster must reach its folder.
        image_px: Side of the squares.
        fit: How covers become squares.
        splits: Which splits.
        progress: Called with (done, total) covers.

    Returns:
        For each split where its blocks lie. Keep it as long as they are needed.

    Raises:
        CapacityError: The blocks do not fit Ray's object store.
        StoreError: The store is damaged or there is no such split.
    """
    return decode_fits(store, image_px, (fit,), splits=splits, progress=progress)[fit]


def decode_fits(
    store: CoverStore,
    image_px: int,
    fits: Sequence[Fit],
    *,
    splits: Sequence[str] = ("train", "val"),
    progress: Progress | None = None,
) -> dict[Fit, dict[str, BlockRefs]]:
    """Decode splits of a store once, fitted into squares in several ways.

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
    _require_room(store, image_px, splits, len(fits))
    return decode_parts({split: Part(store, split) for split in splits}, image_px, fits, progress)


def decode_parts(
    parts: Mapping[str, Part],
    image_px: int,
    fits: Sequence[Fit],
    progress: Progress | None = None,
) -> dict[Fit, dict[str, BlockRefs]]:
    """Decode some covers, for which there is room.

    Args:
        parts: Which, by any name.
        image_px: Side of the squares.
        fits: The ways of fitting, each once.
        progress: Called with (done, total) covers, of all parts together.

    Returns:
        Where the blocks of each part lie, by fit.

    Raises:
        StoreError: As for `decode_store`.
    """
    start_local_ray()
    covers = DecodedCovers(list(parts.values()), image_px, fits)
    blocks = iter(_read(covers, progress))
    refs: dict[Fit, dict[str, BlockRefs]] = {fit: {} for fit in fits}
    for (name, part), pieces in zip(parts.items(), covers.pieces_of_part, strict=True):
        of_part, rows = zip(*islice(blocks, pieces), strict=True) if pieces else ((), ())
        for fit in fits:
            key = part.key(image_px, fit)
            refs[fit][name] = BlockRefs(part.split, image_px, fit, key, of_part, rows)
    return refs


def spill_part(
    part: Part, image_px: int, fits: Sequence[Fit], progress: Progress | None = None
) -> dict[Fit, WindowedRefs]:
    """Decode some covers, for which there is room on the disk that Ray spills to.

    Arguments and errors are those of `decode_parts`; trials hold a window of what is returned.
    """
    start_local_ray()
    covers = DecodedCovers([part], image_px, fits, share_out=False)
    blocks = tuple(SpilledBlock(rows, ref) for ref, rows in _read(covers, progress))
    return {
        fit: WindowedRefs(part.split, image_px, fit, part.key(image_px, fit), blocks)
        for fit in fits
    }


def stream_part(part: Part, image_px: int, fit: Fit, threads: int = 1) -> WindowedRefs:
    """Return some covers that trials decode anew in each epoch.

    Args:
        part: Which; each node of the cluster must reach the store's folder.
        image_px: Side of the squares.
        fit: How covers become squares.
        threads: That decode, of each trial.

    Raises:
        StoreError: There is no such split.
    """
    covers = DecodedCovers([part], image_px, (fit,), share_out=False)
    blocks = tuple(UndecodedBlock(piece.rows, piece.read) for piece in covers.pieces)
    return WindowedRefs(part.split, image_px, fit, part.key(image_px, fit), blocks, threads)


def _read(covers: DecodedCovers, progress: Progress | None) -> list[tuple[object, int]]:
    """Have Ray Data decode; return the blocks, and their covers, in the store's order.

    The tasks ask for no CPU, but hardly more run at once than there are: a block that is lost with
    its node is made anew even while trials hold every CPU.
    """
    at_once = cpus = ray_tasks.num_cpus()
    if len(covers) >= _FEWEST_TASKS_PER_CPU * cpus:
        at_once += math.ceil(cpus / _CPUS_A_SPARE_TASK)
    dataset = read_in_order(covers, num_cpus=0, at_once=at_once)
    blocks: list[tuple[object, int]] = []
    done, total = 0, sum(piece.rows for piece in covers.pieces)
    if progress:
        progress(done, total)
    with ray_tasks.unwrap_ray_errors(_DOING):
        for block, rows in blocks_as_read(dataset):
            blocks.append((block, rows))
            done += rows
            if progress:
                progress(done, total)
    return blocks


def _require_room(store: CoverStore, image_px: int, splits: Sequence[str], num_fits: int) -> None:
    blocks = decoded_nbytes(store, image_px, splits) * num_fits
    needed = blocks + in_flight_nbytes(blocks, ray_tasks.num_cpus())
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
