"""First pass of a prepare: Ray Data reads, checks and normalises every file.

The pictures never reach the driver. Each task appends them to a file of its own in the spool
folder, and returns where each lies and what it is recognised by: some 700 bytes a cover.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline import _ray
from data_pipeline._reading import read_ahead
from data_pipeline.copies.signature import SIGNATURE_BYTES
from data_pipeline.errors import ImageRejected
from data_pipeline.images import normalise, reuse_memory
from data_pipeline.sources import Source

__all__ = ["Outcome", "Outcomes", "normalise_sources"]

_LARGEST_BLOCK = 256  # paths a task; more would make the progress bar jump
_SMALLEST_BLOCK = 16  # a tenth of a second of work, much more than handing it out
_BLOCKS_PER_CPU = 4  # of what is left: blocks become smaller, so that all CPUs end together


@dataclass(frozen=True)
class Outcome:
    """What became of one source: a cover in the spool, or a reason why not.

    Attributes:
        index: Place in the list of sources.
        cover_id: Digest of the pixels; empty if refused.
        width: In pixels.
        height: In pixels.
        spool: Name of the file in the spool folder.
        offset: Where the encoded image begins in it.
        length: Bytes of the encoded image.
        reason: Why it was refused; empty if it was not.
        detail: What is particular to this file.
        signature: What copies of the picture are found by; empty if refused.
    """

    index: int
    cover_id: str = ""
    width: int = 0
    height: int = 0
    spool: str = ""
    offset: int = 0
    length: int = 0
    reason: str = ""
    detail: str = ""
    signature: bytes = b""


@dataclass(frozen=True)
class Outcomes:
    """What became of N sources, as columns: a list of `Outcome` would take several times the room.

    Attributes:
        table: A row for each source, in their order, with the fields of `Outcome` but `signature`.
        signatures_ND: uint8, D = SIGNATURE_BYTES; zeros where the source was refused.
    """

    table: pa.Table
    signatures_ND: np.ndarray


_ARROW_TYPES = {"int": pa.int64(), "str": pa.string(), "bytes": pa.binary()}
_OUTCOME_SCHEMA = pa.schema(
    [pa.field(field.name, _ARROW_TYPES[str(field.type)]) for field in fields(Outcome)]
)


_TODO_SCHEMA = pa.schema([pa.field("index", pa.int64()), pa.field("path", pa.string())])


def normalise_sources(
    sources: Sequence[Source],
    spool: Path,
    max_px: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    downloads: Path | None = None,
) -> Outcomes:
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
    import ray.data

    _ray.require_free_cpu("preparing covers")
    total = len(sources)
    done = 0
    tables: list[pa.Table] = []
    signatures_ND = np.zeros((total, SIGNATURE_BYTES), dtype=np.uint8)
    if progress:
        progress(0, total)
    with _ray.quiet_ray_data(), _ray.causes_raised("preparing covers"):
        blocks = ray.data.from_arrow(_blocks_of(sources, _ray.num_cpus()))
        normalised = blocks.map_batches(
            _normalise_block,
            fn_kwargs={"spool": spool, "max_px": max_px, "downloads": downloads},
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
        )
        for block in normalised.iter_batches(batch_size=None, batch_format="pyarrow"):
            for index, signature in zip(block["index"], block["signature"], strict=True):
                if signature.as_py():
                    signatures_ND[index.as_py()] = np.frombuffer(signature.as_py(), np.uint8)
            # Sorting copies, so that nothing here holds on to Ray's object store.
            tables.append(block.drop_columns("signature").sort_by("index"))
            done += len(block)
            if progress:
                progress(done, total)
    table = pa.concat_tables(tables).sort_by("index").combine_chunks()
    assert table["index"].to_pylist() == list(range(total)), "each source once"
    return Outcomes(table, signatures_ND)


def _blocks_of(sources: Sequence[Source], cpus: int) -> list[pa.Table]:
    """Cut the sources into the work of one task each, the last ones smaller and smaller."""
    blocks = []
    start = 0
    while start < len(sources):
        share = (len(sources) - start) // (cpus * _BLOCKS_PER_CPU)
        end = min(start + min(max(share, _SMALLEST_BLOCK), _LARGEST_BLOCK), len(sources))
        columns = {"index": range(start, end), "path": [s.path for s in sources[start:end]]}
        blocks.append(pa.table(columns, schema=_TODO_SCHEMA))
        start = end
    return blocks


def _normalise_block(
    block: pa.Table, *, spool: Path, max_px: int, downloads: Path | None
) -> pa.Table:
    """The work of one task; runs in a Ray worker."""
    reuse_memory()
    name = f"{uuid.uuid4().hex}.bin"  # a task that Ray repeats writes another file
    outcomes = []
    with (spool / name).open("xb") as file:
        rows, readers = block.to_pylist(), read_ahead(block["path"].to_pylist(), downloads)
        for row, read in zip(rows, readers, strict=True):
            try:
                image = normalise(read(), max_px)
            except ImageRejected as err:
                outcomes.append(Outcome(row["index"], reason=err.reason, detail=err.detail))
                continue
            outcomes.append(
                Outcome(
                    index=row["index"],
                    cover_id=image.cover_id,
                    width=image.width,
                    height=image.height,
                    spool=name,
                    offset=file.tell(),
                    length=len(image.data),
                    signature=image.signature,
                )
            )
            file.write(image.data)
    return pa.Table.from_pylist([vars(outcome) for outcome in outcomes], schema=_OUTCOME_SCHEMA)
