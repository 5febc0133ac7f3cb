"""First pass of a prepare: Ray tasks read, check and normalise every file.

The pictures never reach the driver. Each task appends them to a file of its own in the spool
folder, and returns where each lies and what it is recognised by: some 700 bytes a cover.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.dedup.signature import SIGNATURE_BYTES
from covertune.data_pipeline.errors import ImageRejected
from covertune.data_pipeline.images import normalise, reuse_memory
from covertune.data_pipeline.prepare._reading import read_ahead
from covertune.data_pipeline.sources import Source

__all__ = ["NormalisedSource", "NormalisedSources", "normalise_sources"]

_LARGEST_BLOCK = 256  # paths a task; more would make the progress bar jump
_SMALLEST_BLOCK = 16  # a tenth of a second of work, much more than handing it out
_BLOCKS_PER_CPU = 4  # of what is left: blocks become smaller, so that all CPUs end together


@dataclass(frozen=True)
class NormalisedSource:
    """What became of one source: a cover in the spool, or a reason why not.

    Attributes:
        cover_id: Digest of the pixels; empty if refused.
        width: In pixels.
        height: In pixels.
        spool: Name of the file in the spool folder.
        offset: Where the encoded image begins in it.
        length: Bytes of the encoded image.
        reason: Why it was refused; empty if it was not.
        detail: What is particular to this file.
    """

    cover_id: str = ""
    width: int = 0
    height: int = 0
    spool: str = ""
    offset: int = 0
    length: int = 0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class NormalisedSources:
    """What became of N sources.

    As columns: a list of `NormalisedSource` would take several times the room.

    Attributes:
        table: A row for each source, in their order, with the fields of `NormalisedSource`.
        signatures_ND: uint8, D = SIGNATURE_BYTES: what copies of a picture are found by; zeros
            where the source was refused.
    """

    table: pa.Table
    signatures_ND: np.ndarray


_ARROW_TYPES = {"int": pa.int64(), "str": pa.string()}
_OUTCOME_SCHEMA = pa.schema(
    [pa.field(field.name, _ARROW_TYPES[str(field.type)]) for field in fields(NormalisedSource)]
)


def normalise_sources(
    sources: Sequence[Source],
    spool: Path,
    max_px: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    downloads: Path | None = None,
) -> NormalisedSources:
    """Read and normalise all sources.

    Args:
        sources: What to read.
        spool: Folder for the encoded images, reachable from every node.
        max_px: See `images.normalise`.
        progress: Called with (done, total).
        downloads: Folder with what was downloaded; reachable from every node.

    Returns:
        What became of each source, in the order of `sources`.

    Raises:
        DataError: Ray has no free CPU.
        OSError: The spool cannot be written.
    """
    total = len(sources)
    done = 0
    tables: dict[int, pa.Table] = {}
    signatures_ND = np.zeros((total, SIGNATURE_BYTES), dtype=np.uint8)
    if progress:
        progress(0, total)
    for first, table, block_ND in ray_tasks.run_tasks(
        "preparing covers",
        _normalise_block,
        _blocks_of(sources, ray_tasks.num_cpus()),
        spool=spool,
        max_px=max_px,
        downloads=downloads,
    ):
        signatures_ND[first : first + len(table)] = block_ND
        # A table of its own, so that nothing here holds on to Ray's object store.
        tables[first] = table.take(np.arange(len(table)))
        done += len(table)
        if progress:
            progress(done, total)
    table = pa.concat_tables(tables[first] for first in sorted(tables)).combine_chunks()
    assert len(table) == total, "each source once"
    return NormalisedSources(table, signatures_ND)


def _blocks_of(sources: Sequence[Source], cpus: int) -> Iterator[tuple[int, list[str]]]:
    """Cut the sources into the work of one task each, the last ones smaller and smaller.

    Yields:
        Index of the first source, and the paths.
    """
    start = 0
    while start < len(sources):
        share = (len(sources) - start) // (cpus * _BLOCKS_PER_CPU)
        end = min(start + min(max(share, _SMALLEST_BLOCK), _LARGEST_BLOCK), len(sources))
        yield start, ["" if source.problem else source.path for source in sources[start:end]]
        start = end


def _normalise_block(
    block: tuple[int, list[str]], *, spool: Path, max_px: int, downloads: Path | None
) -> tuple[int, pa.Table, np.ndarray]:
    """Do the work of one task; runs in a Ray worker.

    Returns:
        Index of the first source, then what `NormalisedSources` holds of these sources.
    """
    reuse_memory()
    first, paths = block
    name = f"{uuid.uuid4().hex}.bin"  # a task that Ray repeats writes another file
    normalised = []
    signatures_ND = np.zeros((len(paths), SIGNATURE_BYTES), dtype=np.uint8)
    with (spool / name).open("xb") as file:
        for row, read in enumerate(read_ahead(paths, downloads)):
            try:
                image = normalise(read(), max_px)
            except ImageRejected as err:
                normalised.append(NormalisedSource(reason=err.reason, detail=err.detail))
                continue
            normalised.append(
                NormalisedSource(
                    cover_id=image.cover_id,
                    width=image.width,
                    height=image.height,
                    spool=name,
                    offset=file.tell(),
                    length=len(image.data),
                )
            )
            signatures_ND[row] = np.frombuffer(image.signature, np.uint8)
            file.write(image.data)
    rows = [vars(outcome) for outcome in normalised]
    return first, pa.Table.from_pylist(rows, schema=_OUTCOME_SCHEMA), signatures_ND
