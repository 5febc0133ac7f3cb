"""Decoded covers of a split, in the blocks in which Ray Data made them.

A block is an Arrow table of some covers, about 32 MB, in Ray's object store. Every process of a
node maps the same memory; a node that has no copy of a block fetches one. What is mapped is read,
row by row, in whatever order an epoch asks for: Ray Data's own random access is four times slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import ray
from ray.data.extensions import ArrowTensorArray

from covertune.vocabulary import Fit

if TYPE_CHECKING:
    import torch

    from covertune.data_pipeline.dataset.batches import EpochBatches

__all__ = ["BlockRefs", "Blocks", "block_of", "take_rows"]

_IMAGES, _LABELS, _IDS, _GENRES = "image_{}", "label", "cover_id", "genres"


@dataclass(frozen=True, eq=False)
class Blocks:
    """Decoded covers of one split, in the store's order.

    The arrays are read-only views of shared memory, but for what is small and copied.

    Attributes:
        images: Of each block (n, H, W, 3) uint8, H = W = image_px.
        labels_N: int64.
        cover_ids_N: str, the store's `cover_id`.
        key: Names the content; equal keys, equal covers.
        genres_NK: uint8, 1 where a cover has a genre; None unless the store is multi.
    """

    images: tuple[np.ndarray, ...]
    labels_N: np.ndarray
    cover_ids_N: np.ndarray
    key: str
    genres_NK: np.ndarray | None = None

    @classmethod
    def of_tables(cls, tables: list[pa.Table], fit: Fit, key: str) -> Self:
        """Map blocks that `block_of` made, without copying a pixel."""
        images = tuple(_tensor(table[_IMAGES.format(fit)]) for table in tables)
        rest = pa.concat_tables(table.select([_LABELS, _IDS]).combine_chunks() for table in tables)
        marks = [_tensor(table[_GENRES]) for table in tables if _GENRES in table.column_names]
        return cls(
            images=images,
            labels_N=rest[_LABELS].to_numpy(),
            cover_ids_N=np.array(rest[_IDS].to_pylist(), dtype=np.str_),
            key=key,
            genres_NK=np.concatenate(marks) if marks else None,
        )

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels_N)

    @property
    def image_px(self) -> int:
        """Side of the squares."""
        return int(self.images[0].shape[1])

    @property
    def nbytes(self) -> int:
        """The bytes of what a `Batch` is made of."""
        marks = 0 if self.genres_NK is None else self.genres_NK.nbytes
        return sum(block.nbytes for block in self.images) + self.labels_N.nbytes + marks

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each block begins, and where the last one ends."""
        return np.cumsum([0, *map(len, self.images)])

    def take(self, indices: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Copy the pixels of some covers.

        Args:
            indices: (B,) places in the split, in any order.
            out: (B, H, W, 3) uint8, to be written to.

        Returns:
            `out`.
        """
        return take_rows(self.images, self.starts, indices, out)


@dataclass(frozen=True, eq=False)
class BlockRefs:
    """Where the blocks of a split lie; small, and can be sent to any worker.

    They live as long as the process that had them decoded keeps this. Ray makes a block anew that
    was lost with its node.

    Attributes:
        split: Which split.
        image_px: Side of the squares.
        fit: How covers became squares.
        key: See `Blocks`.
        blocks: One after the other in the store's order.
        block_rows: Covers of each.
    """

    split: str
    image_px: int
    fit: Fit
    key: str
    blocks: tuple[Any, ...]
    block_rows: tuple[int, ...]

    @property
    def num_covers(self) -> int:
        """N."""
        return sum(self.block_rows)

    def block(self, index: int) -> Blocks:
        """Map one block."""
        return Blocks.of_tables([ray.get(self.blocks[index])], self.fit, self.key)

    def get(self) -> Blocks:
        """Map the blocks; no copy on a node that has them, else each is fetched once a node."""
        return Blocks.of_tables(ray.get(list(self.blocks)), self.fit, self.key)

    def batches(
        self,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: bool,
        seed: int = 0,
    ) -> EpochBatches:
        """See `refs.CoverRefs`."""
        from covertune.data_pipeline.dataset.batches import EpochBatches  # torch

        return EpochBatches(self.get(), batch_size, device, shuffle=shuffle, seed=seed)


def block_of(
    images: dict[Fit, np.ndarray],
    labels_N: np.ndarray,
    cover_ids: pa.ChunkedArray,
    genres_NK: np.ndarray | None,
) -> pa.Table:
    """Return the block of some covers; shapes as of `Blocks`, images for each fit."""
    columns = {
        _IMAGES.format(fit): ArrowTensorArray.from_numpy(images_NHWC)
        for fit, images_NHWC in images.items()
    }
    columns |= {_LABELS: pa.array(labels_N), _IDS: cover_ids}
    if genres_NK is not None:
        columns[_GENRES] = ArrowTensorArray.from_numpy(genres_NK)
    return pa.table(columns)


def take_rows(
    images: Sequence[np.ndarray] | Mapping[int, np.ndarray],
    starts: np.ndarray,
    indices: np.ndarray,
    out: np.ndarray,
) -> np.ndarray:
    """Copy rows of blocks; `Blocks.take` of some blocks, by their number."""
    block_of_B = np.searchsorted(starts, indices, side="right") - 1
    row_of_B = indices - starts[block_of_B]
    for at, (block, row) in enumerate(zip(block_of_B.tolist(), row_of_B.tolist(), strict=True)):
        out[at] = images[block][row]
    return out


def _tensor(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of tensors as one array, which is a view."""
    (chunk,) = column.chunks
    array: np.ndarray = chunk.to_numpy()
    return array
