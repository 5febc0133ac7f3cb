"""Decoding with Ray Data: how a split is cut into read tasks, and what one of them does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.dataset.blocks import block_of
from covertune.data_pipeline.errors import ImageRejected, StoreError
from covertune.data_pipeline.images import load_squares, reuse_memory
from covertune.data_pipeline.store.cover_store import CoverStore, genre_marks, read_row_groups
from covertune.vocabulary import Fit

if TYPE_CHECKING:
    from ray.data import DataContext

__all__ = ["BLOCK_BYTES", "DecodedCovers", "decode_cover"]

BLOCK_BYTES = 32 * 2**20
"""Of decoded pixels in a block; smaller ones cost as much time again in Ray Data."""

_TASKS_PER_CPU = 4  # so that no CPU idles long while another ends its last task


@dataclass(frozen=True)
class _Piece:
    """Covers that are decoded at once, of one part.

    Attributes:
        part: The file they lie in.
        groups: Which of its row groups.
        rows: Places of the covers in these groups, ascending.
    """

    part: str
    groups: range
    rows: np.ndarray


class DecodedCovers(Datasource):  # type: ignore[misc]  # Ray Data has no types
    """Reads covers of a split and decodes them in the task that reads them, a block a task.

    A cover is decoded once, however many ways there are to fit it into a square. The tasks depend
    on the store and on Ray's CPUs alone: Ray asks for them several times.
    """

    def __init__(
        self,
        store: CoverStore,
        split: str,
        image_px: int,
        fits: Sequence[Fit],
        places: np.ndarray | None = None,
    ) -> None:
        """Decode a split, or some of it.

        Args:
            store: Each node of the cluster must reach its folder.
            split: One of `SPLITS`.
            image_px: Side of the squares.
            fits: The ways of fitting, each once.
            places: Which covers of the split, ascending; None: all.

        Raises:
            StoreError: There is no such split.
        """
        super().__init__()
        self._store = store
        self._decode = partial(_decoded, store=store, image_px=image_px, fits=tuple(fits))
        self._pixels_nbytes = image_px * image_px * 3 * len(fits)
        self._pieces = list(_cut(store, split, self._pixels_nbytes, places))

    def __len__(self) -> int:
        """Return how many read tasks there are."""
        return len(self._pieces)

    def get_name(self) -> str:
        """Return what Ray Data calls it."""
        return "DecodedCovers"

    def estimate_inmemory_data_size(self) -> int:
        """Return the bytes of all pixels."""
        return self._pixels_nbytes * sum(len(piece.rows) for piece in self._pieces)

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return what reads one block each, in the store's order."""
        return [
            ReadTask(
                partial(self._decode, piece),
                BlockMetadata(
                    num_rows=len(piece.rows),
                    size_bytes=len(piece.rows) * self._pixels_nbytes,
                    input_files=[str(self._store.path / piece.part)],
                    exec_stats=None,
                ),
                per_task_row_limit=per_task_row_limit,
            )
            for piece in self._pieces
        ]


def _cut(
    store: CoverStore, split: str, pixels_nbytes: int, places: np.ndarray | None
) -> Iterator[_Piece]:
    """Cut a split into pieces of whole row groups, or of less where its pixels are many."""
    most = max(1, BLOCK_BYTES // pixels_nbytes)
    wanted = np.arange(store.count(split)) if places is None else places
    share = max(1, len(wanted) // (ray_tasks.num_cpus() * _TASKS_PER_CPU))
    first = 0
    for part in store.parts_of(split):
        rows = wanted[slice(*np.searchsorted(wanted, (first, first + part.rows)))] - first
        at_once = most
        if most >= part.group_rows:
            at_once = max(1, min(share, most) // part.group_rows) * part.group_rows
        for start in range(0, len(rows), at_once):
            piece = rows[start : start + at_once]
            groups = range(int(piece[0]) // part.group_rows, int(piece[-1]) // part.group_rows + 1)
            yield _Piece(part.name, groups, piece - groups.start * part.group_rows)
        first += part.rows


def _decoded(
    piece: _Piece, *, store: CoverStore, image_px: int, fits: tuple[Fit, ...]
) -> Iterator[pa.Table]:
    """Do the work of one task; runs in a Ray worker."""
    reuse_memory()
    columns = ["cover_id", "label", "image", "source"] + (["genres"] if store.is_multi else [])
    part = store.path / piece.part
    covers = read_row_groups(part, list(piece.groups), columns).take(piece.rows)
    images_FNHWC = np.empty((len(fits), len(covers), image_px, image_px, 3), dtype=np.uint8)
    for row, data in enumerate(covers["image"]):
        source = covers["source"][row]
        images_FNHWC[:, row] = decode_cover(data.as_py(), image_px, part, source, fits)
    yield block_of(
        dict(zip(fits, images_FNHWC, strict=True)),
        covers["label"].to_numpy(),
        covers["cover_id"],
        genre_marks(covers, store.genres, store.path) if store.is_multi else None,
    )


def decode_cover(
    data: bytes, image_px: int, part: Path, source: object, fits: Sequence[Fit] = ("squash",)
) -> np.ndarray:
    """Do `load_squares` on a cover of a store.

    Returns:
        (F, H, W, 3) uint8, in the order of `fits`.

    Raises:
        StoreError: It is no picture.
    """
    try:
        return load_squares(data, image_px, fits, from_store=True)
    except ImageRejected as err:
        raise StoreError(
            f"the store {part.parent} is damaged: {source} in {part.name} is no picture ({err}); "
            "prepare it again"
        ) from err
