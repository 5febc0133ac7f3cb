"""The covers of a store as Ray Data reads them: lazily, some row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from covertune.data_pipeline.compat import read_in_order
from covertune.data_pipeline.errors import StoreError
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.store.cover_store import CoverStore, read_row_groups
from covertune.data_pipeline.store.schema import COVER_SCHEMA, PartInfo
from covertune.wording import few

if TYPE_CHECKING:
    from ray.data import DataContext, Dataset

__all__ = ["CoverDatasource", "covers_dataset"]

_TASK_BYTES = 32 * 2**20


class CoverDatasource(Datasource):  # type: ignore[misc]  # Ray Data has no types
    """Reads the covers of a split, encoded as they lie in the store.

    Each read task has some row groups of one part, and gives one block. How many there are depends
    on the store alone, whatever parallelism is asked for: Ray asks several times.
    """

    def __init__(self, store: CoverStore, split: str, columns: list[str]) -> None:
        """Read a split.

        Args:
            store: Each node of the cluster must reach its folder.
            split: One of `SPLITS`.
            columns: Names out of `COVER_SCHEMA`.

        Raises:
            StoreError: There is no such split.
        """
        super().__init__()
        self._folder = store.path
        self._columns = columns
        self._pieces = [piece for part in store.parts_of(split) for piece in _pieces(part)]

    def __len__(self) -> int:
        """Return how many read tasks there are."""
        return len(self._pieces)

    def get_name(self) -> str:
        """Return what Ray Data calls it."""
        return "Covers"

    def estimate_inmemory_data_size(self) -> int:
        """Return the bytes of the covers, which lie in memory as they lie on the disk."""
        return sum(_bytes_of(*piece) for piece in self._pieces)

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return what reads one block each, in the store's order."""
        schema = pa.schema([COVER_SCHEMA.field(name) for name in self._columns])
        return [
            ReadTask(
                partial(_read, self._folder / part.name, groups, self._columns),
                BlockMetadata(
                    num_rows=_rows_of(part, groups),
                    size_bytes=_bytes_of(part, groups),
                    input_files=[str(self._folder / part.name)],
                    exec_stats=None,
                ),
                schema=schema,
                per_task_row_limit=per_task_row_limit,
            )
            for part, groups in self._pieces
        ]


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
    return read_in_order(source, len(source))


def _read(part: Path, groups: range, columns: list[str]) -> Iterator[pa.Table]:
    yield read_row_groups(part, list(groups), columns)


def _pieces(part: PartInfo) -> Iterator[tuple[PartInfo, range]]:
    """Cut a part into row groups of about so many bytes."""
    at_once = max(1, round(part.row_groups * _TASK_BYTES / part.bytes))
    for first in range(0, part.row_groups, at_once):
        yield part, range(first, min(first + at_once, part.row_groups))


def _rows_of(part: PartInfo, groups: range) -> int:
    return min(groups.stop * part.group_rows, part.rows) - groups.start * part.group_rows


def _bytes_of(part: PartInfo, groups: range) -> int:
    return part.bytes * _rows_of(part, groups) // part.rows
