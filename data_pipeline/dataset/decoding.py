"""The tasks that decode a split: how it is cut, and what one of them does in its worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.errors import ImageRejected, StoreError
from covertune.data_pipeline.images import load_squares, reuse_memory
from covertune.data_pipeline.store.cover_store import CoverStore, genre_marks, read_row_groups
from covertune.vocabulary import Fit

__all__ = ["BLOCK_BYTES", "Block", "Task", "cut_into_tasks", "decode_cover", "decode_task"]

BLOCK_BYTES = 32 * 2**20
"""Of decoded pixels that a task hands back at once."""

_TASKS_PER_CPU = 4  # so that no CPU idles long while another ends its last task


@dataclass(frozen=True)
class Task:
    """Covers that are decoded at once.

    Attributes:
        split: Theirs.
        part: The file they lie in.
        groups: Which of its row groups.
        skipped: Covers of these groups before the first.
        covers: How many.
        place: Of the first cover in the split.
    """

    split: str
    part: str
    groups: range
    skipped: int
    covers: int
    place: int


@dataclass(frozen=True)
class Block:
    """What came of a task; attributes as in `DecodedSplit`, images for each fit."""

    task: Task
    images_FNHWC: np.ndarray
    labels_N: np.ndarray
    cover_ids_N: np.ndarray
    genres_NK: np.ndarray | None


def cut_into_tasks(store: CoverStore, split: str, image_px: int, num_fits: int) -> Iterator[Task]:
    """Cut a split into tasks of whole row groups, or of pieces of one where its pixels are many."""
    most = max(1, BLOCK_BYTES // (image_px * image_px * 3 * num_fits))
    share = max(1, store.count(split) // (ray_tasks.num_cpus() * _TASKS_PER_CPU))
    place = 0
    for part in store.parts_of(split):
        wanted = most
        if most >= part.group_rows:
            wanted = max(1, min(share, most) // part.group_rows) * part.group_rows
        for first in range(0, part.rows, wanted):
            covers = min(wanted, part.rows - first)
            first_group, skipped = divmod(first, part.group_rows)
            end_group = -(-(first + covers) // part.group_rows)
            groups = range(first_group, end_group)
            yield Task(split, part.name, groups, skipped, covers, place + first)
        place += part.rows


def decode_task(
    task: Task, *, store: Path, image_px: int, fits: tuple[Fit, ...], genres: list[str] | None
) -> Block:
    """Do the work of one task; runs in a Ray worker."""
    reuse_memory()
    columns = ["cover_id", "label", "image", "source"] + (["genres"] if genres else [])
    covers = read_row_groups(store / task.part, list(task.groups), columns)
    covers = covers.slice(task.skipped, task.covers)
    images_FNHWC = np.empty((len(fits), task.covers, image_px, image_px, 3), dtype=np.uint8)
    for row, data in enumerate(covers["image"]):
        where = store / task.part, covers["source"][row]
        images_FNHWC[:, row] = decode_cover(data.as_py(), image_px, *where, fits)
    return Block(
        task=task,
        images_FNHWC=images_FNHWC,
        labels_N=covers["label"].to_numpy(),
        cover_ids_N=np.array(covers["cover_id"].to_pylist()),
        genres_NK=genre_marks(covers, genres, store) if genres else None,
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
