"""What Ray Data reads in pieces that we cut: a task a piece, a block a task, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

if TYPE_CHECKING:
    from ray.data import DataContext

__all__ = ["Piece", "PiecesDatasource"]


@dataclass(frozen=True)
class Piece:
    """What one task reads.

    Attributes:
        file: Where it lies.
        rows: How many it has.
        nbytes: What it takes in memory.
        read: Yields it as one table; called in a worker, so the less it holds the better.
    """

    file: Path
    rows: int
    nbytes: int
    read: Callable[[], Iterator[pa.Table]]


class PiecesDatasource(Datasource):  # type: ignore[misc]  # Ray Data has no types
    """Reads pieces, whatever parallelism is asked for: Ray asks several times."""

    def __init__(self, pieces: Iterable[Piece], schema: pa.Schema | None = None) -> None:
        """Read some pieces, one after the other.

        Args:
            pieces: In the order of their rows.
            schema: Of all of them, where it is known beforehand.
        """
        super().__init__()
        self._pieces = list(pieces)
        self._schema = schema

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What is read, in its order."""
        return tuple(self._pieces)

    def __len__(self) -> int:
        """Return how many read tasks there are."""
        return len(self._pieces)

    def estimate_inmemory_data_size(self) -> int:
        """Return the bytes of all pieces."""
        return sum(piece.nbytes for piece in self._pieces)

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return what reads one piece each, in their order."""
        return [
            ReadTask(
                piece.read,
                BlockMetadata(
                    num_rows=piece.rows,
                    size_bytes=piece.nbytes,
                    input_files=[str(piece.file)],
                    exec_stats=None,
                ),
                schema=self._schema,
                per_task_row_limit=per_task_row_limit,
            )
            for piece in self._pieces
        ]
