"""Writes a cover store: its parts, what was refused, its manifest."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from covertune.data_pipeline.errors import StoreError
from covertune.data_pipeline.store.schema import (
    COVER_SCHEMA,
    MANIFEST_NAME,
    REJECTED_NAME,
    REJECTED_SCHEMA,
    SCHEMA_VERSION,
    PartInfo,
    PrepareSettings,
    StoreManifest,
)
from covertune.machine import usable_cpus
from covertune.vocabulary import SPLITS
from covertune.whole import whole_folder
from covertune.wording import reason_of

__all__ = [
    "Rejected",
    "fingerprint",
    "new_store_folder",
    "order_in_store",
    "require_new",
    "write_manifest",
    "write_parts",
    "write_rejected",
]

_PART_ROWS = 2048
_PART_BYTES = 64 * 2**20
_WRITERS = 4  # parts in memory at a time, twice each
_ROW_GROUP_ROWS = 128  # the least a decoding task does: some 50 ms of work


@dataclass(frozen=True)
class Rejected:
    """A row of `rejected.parquet`."""

    source: str
    genre: str
    reason: str
    detail: str = ""


def require_new(out: Path) -> None:
    """Make sure that nothing bears the name of a store that is to be made.

    Raises:
        StoreError: Something does.
    """
    if out.exists() or out.is_symlink():
        raise StoreError(
            f"a store is written to a new folder, {out} exists already; "
            "choose another name or remove it"
        )


@contextmanager
def new_store_folder(out: Path) -> Iterator[Path]:
    """Make a folder to write a store into; becomes `out` if the block ends well, else vanishes.

    Raises:
        StoreError: `out` exists already or cannot be written.
    """
    require_new(out)
    try:
        with whole_folder(out) as folder:
            yield folder
    except OSError as err:
        raise StoreError(
            f"cannot write the store {out.absolute()}: {reason_of(err)}; "
            "choose a folder on a disk that can be written and has room"
        ) from err


def order_in_store(covers: pa.Table) -> pa.Table:
    """Order split by split; within one by the digest of the pixels, which mixes genres evenly."""
    by_split = pc.index_in(covers["split"], value_set=pa.array(SPLITS))
    return covers.take(
        pc.sort_indices(
            pa.table({"split": by_split, **{name: covers[name] for name in ("cover_id", "genre")}}),
            sort_keys=[("split", "ascending"), ("cover_id", "ascending"), ("genre", "ascending")],
        )
    ).combine_chunks()


def write_parts(folder: Path, covers: pa.Table, spool: Path) -> list[PartInfo]:
    """Write the covers as Parquet parts, a few at a time.

    Args:
        folder: The store's.
        covers: `COVER_SCHEMA` but `image`, in the store's order; and `spool`, `offset` and
            `length`, where the encoded images lie.
        spool: Folder of the encoded images.
    """
    # Memory is copied and files are written, both of which leave the other threads alone.
    with ThreadPoolExecutor(min(_WRITERS, usable_cpus())) as writers:
        parts = enumerate(_cut_into_parts(covers))
        return list(writers.map(partial(_write_part, folder, spool), parts))


def write_rejected(folder: Path, rejected: Sequence[Rejected]) -> None:
    """Write what was refused."""
    rows = [vars(row) for row in rejected]
    table = pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA)
    pq.write_table(table, folder / REJECTED_NAME, write_page_checksum=True)


def write_manifest(folder: Path, manifest: StoreManifest) -> None:
    """Write `covers.json`."""
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")


def fingerprint(covers: pa.Table, settings: PrepareSettings) -> str:
    """Return the SHA-256 over what a search sees: which covers, their genres, splits and size.

    Neither the order of the covers nor where they came from matters. Seed and shares matter by the
    splits that came of them.
    """
    digest = sha256(json.dumps([SCHEMA_VERSION, settings.max_px]).encode())
    seen = covers.select(["cover_id", "genre", "genres", "split"])
    order = pc.sort_indices(
        seen.select(["cover_id", "genre"]),
        sort_keys=[("cover_id", "ascending"), ("genre", "ascending")],
    )
    for start in range(0, len(order), _PART_ROWS):
        for row in seen.take(order[start : start + _PART_ROWS]).to_pylist():
            digest.update(b"\n" + json.dumps(list(row.values()), ensure_ascii=True).encode())
    return digest.hexdigest()


def _write_part(folder: Path, spool: Path, numbered: tuple[int, pa.Table]) -> PartInfo:
    number, covers = numbered
    path = folder / f"part-{number:05d}.parquet"
    # Encoded images do not get smaller by compression.
    pq.write_table(
        _part_table(covers, spool),
        path,
        row_group_size=_ROW_GROUP_ROWS,
        compression="none",
        use_dictionary=["genre", "split"],
        write_statistics=False,
        write_page_checksum=True,
    )
    return PartInfo(
        name=path.name,
        split=covers["split"][0].as_py(),
        rows=len(covers),
        group_rows=_ROW_GROUP_ROWS,
        bytes=path.stat().st_size,
    )


def _cut_into_parts(covers: pa.Table) -> Iterator[pa.Table]:
    splits, lengths = covers["split"].to_pylist(), covers["length"].to_pylist()
    start = size = 0
    for end, (split, length) in enumerate(zip(splits, lengths, strict=True)):
        full = end - start >= _PART_ROWS or size + length > _PART_BYTES
        if end > start and (full or split != splits[start]):
            yield covers.slice(start, end - start)
            start, size = end, 0
        size += length
    yield covers.slice(start)


def _part_table(covers: pa.Table, spool: Path) -> pa.Table:
    images = pa.array(_read_spool(covers, spool), pa.binary())
    columns = {name: covers[name] for name in COVER_SCHEMA.names if name != "image"}
    return pa.table({**columns, "image": images}).select(COVER_SCHEMA.names).cast(COVER_SCHEMA)


def _read_spool(covers: pa.Table, spool: Path) -> list[bytes]:
    offsets, lengths = covers["offset"].to_pylist(), covers["length"].to_pylist()
    places_by_file: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(covers["spool"].to_pylist()):
        places_by_file[name].append(place)
    images = [b""] * len(covers)
    for name, places in places_by_file.items():
        with (spool / name).open("rb") as file:
            for place in sorted(places, key=offsets.__getitem__):
                file.seek(offsets[place])
                images[place] = file.read(lengths[place])
    return images
