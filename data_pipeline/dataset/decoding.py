"""Decoding with Ray Data: how a split is cut into read tasks, and what one of them does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
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

__all__ = ["BLOCK_BYTES", "DecodedCovers", "Part", "decode_cover"]

BLOCK_BYTES = 32 * 2**20
"""Of decoded pixels in a block; smaller ones cost as much time again in Ray Data."""

_TASKS_PER_CPU = 4  # so that no CPU idles long while another ends its last task


@dataclass(frozen=True, eq=False)
class Part:
    """Some covers of a store.

    Attributes:
        store: Holds them.
        split: Where.
        places: Which covers of the split, ascending; None: all.
        name: What keys call them, where they are not all.
    """

    store: CoverStore
    split: str
    places: np.ndarray | None = None
    name: str = ""

    def key(self, image_px: int, fit: Fit) -> str:
        """Return their `Blocks.key`."""
        whole = f"{self.store.fingerprint}/{self.split}/{image_px}px/{fit}"
        return f"{whole}/{self.name}" if self.name else whole

    def __len__(self) -> int:
        """Return how many there are."""
        return self.store.count(self.split) if self.places is None else len(self.places)


class DecodedCovers(PiecesDatasource):
    """Reads covers and decodes them in the task that reads them, a block a task.

    A cover is decoded once, however many ways there are to fit it into a square. The tasks depend
    on the store and on Ray's CPUs alone.

    Attributes:
        pieces_of_part: How many blocks each part has; they come one part after the other.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        image_px: int,
        fits: Sequence[Fit],
        *,
        share_out: bool = True,
    ) -> None:
        """Decode parts of stores.

        Args:
            parts: Each node of the cluster must reach their stores' folders.
            image_px: Side of the squares.
            fits: The ways of fitting, each once.
            share_out: Cut few covers into smaller pieces, so that each CPU of Ray has some; else
                the pieces depend on the store alone.

        Raises:
            StoreError: There is no such split.
        """
        share_by = ray_tasks.num_cpus() * _TASKS_PER_CPU if share_out else 1
        cut = [list(_cut(part, image_px, tuple(fits), len(part) // share_by)) for part in parts]
        self.pieces_of_part = [len(pieces) for pieces in cut]
        super().__init__(chain.from_iterable(cut))


def _cut(part: Part, image_px: int, fits: tuple[Fit, ...], share: int) -> Iterator[Piece]:
    """Cut covers into pieces of whole row groups, or of less where their pixels are many.

    Args:
        part: Which covers.
        image_px: Side of the squares.
        fits: The ways of fitting.
        share: Covers of a piece at most, in whole row groups.
    """
    store, split = part.store, part.split
    decode = partial(
        _decoded,
        image_px=image_px,
        fits=fits,
        genres=store.genres if store.is_multi else None,
        fast=split != "test",  # of which `evaluate` must find the same pixels
    )
    pixels_nbytes = image_px * image_px * 3 * len(fits)
    places = np.arange(len(part)) if part.places is None else part.places
    most = max(1, BLOCK_BYTES // pixels_nbytes)
    first = 0
    for info in store.parts_of(split):
        of_file = places[slice(*np.searchsorted(places, (first, first + info.rows)))] - first
        at_once = most
        if most >= info.group_rows:
            at_once = max(1, min(share, most) // info.group_rows) * info.group_rows
        for start in range(0, len(of_file), at_once):
            rows = of_file[start : start + at_once]
            groups = range(int(rows[0]) // info.group_rows, int(rows[-1]) // info.group_rows + 1)
            file = store.path / info.name
            read = partial(decode, file, groups, rows - groups.start * info.group_rows)
            yield Piece(file, len(rows), len(rows) * pixels_nbytes, read)
        first += info.rows


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
