"""Decoding with Ray Data: how a split is cut into read tasks, and what one of them does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.dataset.blocks import block_of
from covertune.data_pipeline.errors import ImageRejected, StoreError
from covertune.data_pipeline.images import load_squares, reuse_memory
from covertune.data_pipeline.pieces import Piece, PiecesDatasource
from covertune.data_pipeline.store.cover_store import CoverStore, genre_marks, read_row_groups
from covertune.vocabulary import Fit

__all__ = ["BLOCK_BYTES", "DecodedCovers", "decode_cover"]

BLOCK_BYTES = 32 * 2**20
"""Of decoded pixels in a block; smaller ones cost as much time again in Ray Data."""

_TASKS_PER_CPU = 4  # so that no CPU idles long while another ends its last task


class DecodedCovers(PiecesDatasource):
    """Reads covers of a split and decodes them in the task that reads them, a block a task.

    A cover is decoded once, however many ways there are to fit it into a square. The tasks depend
    on the store and on Ray's CPUs alone.
    """

    def __init__(
        self,
        store: CoverStore,
        split: str,
        image_px: int,
        fits: Sequence[Fit],
        places: np.ndarray | None = None,
        *,
        share_out: bool = True,
    ) -> None:
        """Decode a split, or some of it.

        Args:
            store: Each node of the cluster must reach its folder.
            split: One of `SPLITS`.
            image_px: Side of the squares.
            fits: The ways of fitting, each once.
            places: Which covers of the split, ascending; None: all.
            share_out: Cut few covers into smaller pieces, so that each CPU of Ray has some; else
                the pieces depend on the store alone.

        Raises:
            StoreError: There is no such split.
        """
        decode = partial(
            _decoded,
            image_px=image_px,
            fits=tuple(fits),
            genres=store.genres if store.is_multi else None,
            fast=split != "test",  # of which `evaluate` must find the same pixels
        )
        pixels_nbytes = image_px * image_px * 3 * len(fits)
        wanted = np.arange(store.count(split)) if places is None else places
        share = len(wanted)
        if share_out:
            share //= ray_tasks.num_cpus() * _TASKS_PER_CPU
        super().__init__(_cut(store, split, wanted, pixels_nbytes, share, decode))


def _cut(
    store: CoverStore,
    split: str,
    places: np.ndarray,
    pixels_nbytes: int,
    share: int,
    decode: Callable[[Path, range, np.ndarray], Iterator[pa.Table]],
) -> Iterator[Piece]:
    """Cut a split into pieces of whole row groups, or of less where its pixels are many.

    Args:
        store: Holds it.
        split: Which one.
        places: The covers that are wanted.
        pixels_nbytes: Of a cover, decoded.
        share: Covers of a piece at most, in whole row groups.
        decode: What a piece does.
    """
    most = max(1, BLOCK_BYTES // pixels_nbytes)
    first = 0
    for part in store.parts_of(split):
        of_part = places[slice(*np.searchsorted(places, (first, first + part.rows)))] - first
        at_once = most
        if most >= part.group_rows:
            at_once = max(1, min(share, most) // part.group_rows) * part.group_rows
        for start in range(0, len(of_part), at_once):
            rows = of_part[start : start + at_once]
            groups = range(int(rows[0]) // part.group_rows, int(rows[-1]) // part.group_rows + 1)
            file = store.path / part.name
            read = partial(decode, file, groups, rows - groups.start * part.group_rows)
            yield Piece(file, len(rows), len(rows) * pixels_nbytes, read)
        first += part.rows


def _decoded(
    part: Path,
    groups: range,
    rows: np.ndarray,
    *,
    image_px: int,
    fits: tuple[Fit, ...],
    genres: list[str] | None,
    fast: bool,
) -> Iterator[pa.Table]:
    """Decode some rows of row groups; runs in a Ray worker."""
    reuse_memory()
    columns = ["cover_id", "label", "image", "source"] + (["genres"] if genres else [])
    covers = read_row_groups(part, list(groups), columns).take(rows)
    images_FNHWC = np.empty((len(fits), len(covers), image_px, image_px, 3), dtype=np.uint8)
    for row, data in enumerate(covers["image"]):
        source = covers["source"][row]
        images_FNHWC[:, row] = decode_cover(data.as_py(), image_px, part, source, fits, fast=fast)
    yield block_of(
        dict(zip(fits, images_FNHWC, strict=True)),
        covers["label"].to_numpy(),
        covers["cover_id"],
        genre_marks(covers, genres, part.parent) if genres else None,
    )


def decode_cover(
    data: bytes,
    image_px: int,
    part: Path,
    source: object,
    fits: Sequence[Fit] = ("squash",),
    *,
    fast: bool,
) -> np.ndarray:
    """Do `load_squares` on a cover of a store.

    Returns:
        (F, H, W, 3) uint8, in the order of `fits`.

    Raises:
        StoreError: It is no picture.
    """
    try:
        return load_squares(data, image_px, fits, fast=fast)
    except ImageRejected as err:
        raise StoreError(
            f"the store {part.parent} is damaged: {source} in {part.name} is no picture ({err}); "
            "prepare it again"
        ) from err
