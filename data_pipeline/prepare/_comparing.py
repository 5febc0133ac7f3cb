"""Looks at pairs of covers that may be copies: Ray tasks read them from the spool and compare.

Few covers have look-alikes, so few are decoded again; and again none reaches the driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.dedup.candidates import Candidates
from covertune.data_pipeline.dedup.compare import open_for_comparison, same_picture
from covertune.data_pipeline.dedup.signature import CUTS

__all__ = ["PLACE", "compare_in_spool"]

_LARGEST_BLOCK = 256  # pairs a task; some two seconds of work
_BLOCKS_PER_CPU = 4  # so that no CPU idles long while another ends its last block
PLACE = ("spool", "offset", "length")
"""Columns that tell where in the spool a cover lies."""


def compare_in_spool(pairs: Candidates, places: pa.Table, spool: Path) -> np.ndarray:
    """Compare pairs of covers.

    Args:
        pairs: Which; their numbers are rows of `places`.
        places: Where each cover lies: columns `spool`, `offset` and `length`.
        spool: Folder of the encoded images, reachable from every node.

    Returns:
        (P,) bool: whether the two are copies of each other.

    Raises:
        DataError: Ray has no free CPU.
        OSError: The spool cannot be read.
    """
    same = np.zeros(len(pairs), dtype=bool)
    blocks = _blocks_of(pairs, places, ray_tasks.num_cpus())
    for block in ray_tasks.run_tasks("comparing covers", _compare_block, blocks, spool=spool):
        same[block["pair"]] = block["same"]
    return same


def _blocks_of(pairs: Candidates, places: pa.Table, cpus: int) -> Iterator[pa.Table]:
    order = np.lexsort((pairs.inner_P, pairs.outer_P))  # a cover is decoded once for its pairs
    rows = max(1, min(_LARGEST_BLOCK, len(pairs) // (cpus * _BLOCKS_PER_CPU)))
    for start in range(0, len(pairs), rows):
        here = order[start : start + rows]
        columns = {"pair": pa.array(here), "cut": pa.array(pairs.cut_P[here])}
        for side, covers in (("inner", pairs.inner_P[here]), ("outer", pairs.outer_P[here])):
            for name in PLACE:
                columns[f"{side}_{name}"] = pc.take(places[name], covers).combine_chunks()
        yield pa.table(columns)


def _compare_block(block: pa.Table, *, spool: Path) -> dict[str, np.ndarray]:
    """Do the work of one task; runs in a Ray worker."""

    @lru_cache(maxsize=64)
    def cover(name: str, offset: int, length: int) -> Image.Image:
        with (spool / name).open("rb") as file:
            file.seek(offset)
            return open_for_comparison(file.read(length))

    same = [
        same_picture(
            cover(*(row[f"inner_{name}"] for name in PLACE)),
            cover(*(row[f"outer_{name}"] for name in PLACE)),
            CUTS[row["cut"]],
        )
        for row in block.to_pylist()
    ]
    return {"pair": block["pair"].to_numpy(), "same": np.array(same, dtype=bool)}
