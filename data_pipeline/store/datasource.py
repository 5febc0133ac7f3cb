"""The covers of a store as Ray Data reads them: lazily, some row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from covertune.data_pipeline.compat import read_in_order
from covertune.data_pipeline.errors import StoreError
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.pieces import Piece, PiecesDatasource
from covertune.data_pipeline.store.cover_store import CoverStore, read_row_groups
from covertune.data_pipeline.store.schema import COVER_SCHEMA, PartInfo
from covertune.wording import few

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["CoverDatasource", "covers_dataset"]

_TASK_BYTES = 32 * 2**20


class CoverDatasource(PiecesDatasource):
    """Reads the covers of a split, encoded as they lie in the store: some row groups a task."""

    def __init__(self, store: CoverStore, split: str, columns: list[str]) -> None:
        """Read a split.

        Args:
            store: Each node of the cluster must reach its folder.
            split: One of `SPLITS`.
            columns: Names out of `COVER_SCHEMA`.

        Raises:
            StoreError: There is no such split.
        """
        pieces = (_cut(store.path, part, columns) for part in store.parts_of(split))
        schema = pa.schema([COVER_SCHEMA.field(name) for name in columns])
        super().__init__(chain.from_iterable(pieces), schema)


def covers_dataset(store: CoverStore, split: str, columns: Sequence[str] | None) -> Dataset:
    """See `CoverStore.dataset`."""
    wanted = COVER_SCHEMA.names if columns is None else list(columns)
    unknown = [name for name in wanted if name not in COVER_SCHEMA.names]
    if unknown or not wanted:
        raise StoreError(
            f"a store has the columns {', '.join(COVER_SCHEMA.names)}, got {few(unknown)}"
        )
    source = CoverDatasource(store, split, wanted)
    start_local_ray()
    return read_in_order(source)


def _read(part: Path, groups: range, columns: list[str]) -> Iterator[pa.Table]:
    yield read_row_groups(part, list(groups), columns)


def _cut(folder: Path, part: PartInfo, columns: list[str]) -> Iterator[Piece]:
    """Cut a part into row groups of about so many bytes."""
    at_once = max(1, round(part.row_groups * _TASK_BYTES / part.bytes))
    file = folder / part.name
    for first in range(0, part.row_groups, at_once):
        groups = range(first, min(first + at_once, part.row_groups))
        rows = min(groups.stop * part.group_rows, part.rows) - first * part.group_rows
        read = partial(_read, file, groups, columns)
        # Covers take as much memory as room on the disk.
        yield Piece(file, rows, part.bytes * rows // part.rows, read)
