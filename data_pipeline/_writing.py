"""Writes a cover store: its parts, what was refused, its manifest."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline._normalising import Outcome
from data_pipeline._whole_folder import whole_folder
from data_pipeline.errors import StoreError
from data_pipeline.schema import (
    COVER_SCHEMA,
    MANIFEST_NAME,
    REJECTED_NAME,
    REJECTED_SCHEMA,
    SCHEMA_VERSION,
    SPLITS,
    PartInfo,
    PrepareSettings,
    Split,
    StoreManifest,
)

__all__ = [
    "Cover",
    "Rejected",
    "fingerprint",
    "new_store_folder",
    "order_in_store",
    "write_manifest",
    "write_parts",
    "write_rejected",
]

_PART_ROWS = 2048
_PART_BYTES = 64 * 2**20
_ROW_GROUP_ROWS = 128  # the least a decoding task does: some 50 ms of work


@dataclass(frozen=True)
class Cover:
    """A cover that goes into the store; the fields are the store's columns."""

    genre: str
    genres: tuple[str, ...]
    label: int
    split: Split
    group: str
    source: str
    outcome: Outcome


@dataclass(frozen=True)
class Rejected:
    """A row of `rejected.parquet`."""

    source: str
    genre: str
    reason: str
    detail: str = ""


@contextmanager
def new_store_folder(out: Path) -> Iterator[Path]:
    """A folder to write a store into; becomes `out` if the block ends well, else vanishes.

    Raises:
        StoreError: `out` exists already or cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise StoreError(
            f"a store is written to a new folder, {out} exists already; "
            "choose another name or remove it"
        )
    try:
        with whole_folder(out) as folder:
            yield folder
    except OSError as err:
        raise StoreError(
            f"cannot write the store {out.absolute()}: {err.strerror or err}; "
            "choose a folder on a disk that can be written and has room"
        ) from err


def order_in_store(covers: Iterable[Cover]) -> list[Cover]:
    """Split by split; within one by the digest of the pixels, which mixes genres evenly."""
    return sorted(covers, key=lambda c: (SPLITS.index(c.split), c.outcome.cover_id))


def write_parts(folder: Path, covers: Sequence[Cover], spool: Path) -> list[PartInfo]:
    """Write the covers, already in the store's order, as Parquet parts."""
    parts = []
    for number, of_part in enumerate(_cut_into_parts(covers)):
        path = folder / f"part-{number:05d}.parquet"
        # Encoded images do not get smaller by compression.
        pq.write_table(
            _part_table(of_part, spool),
            path,
            row_group_size=_ROW_GROUP_ROWS,
            compression="none",
            use_dictionary=["genre", "split"],
            write_statistics=False,
        )
        parts.append(
            PartInfo(
                name=path.name,
                split=of_part[0].split,
                rows=len(of_part),
                group_rows=_ROW_GROUP_ROWS,
                bytes=path.stat().st_size,
            )
        )
    return parts


def write_rejected(folder: Path, rejected: Sequence[Rejected]) -> None:
    """Write what was refused."""
    rows = [vars(row) for row in rejected]
    pq.write_table(pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA), folder / REJECTED_NAME)


def write_manifest(folder: Path, manifest: StoreManifest) -> None:
    """Write `covers.json`."""
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")


def fingerprint(covers: Iterable[Cover], settings: PrepareSettings) -> str:
    """SHA-256 over what a search sees of a store: which covers, their genres, splits and size.

    Neither the order of the covers nor where they came from matters. Seed and shares matter by the
    splits that came of them.
    """
    rows = sorted((c.outcome.cover_id, c.genre, c.genres, c.split) for c in covers)
    content = [SCHEMA_VERSION, settings.max_px, rows]
    return sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


def _cut_into_parts(covers: Sequence[Cover]) -> Iterator[Sequence[Cover]]:
    start = size = 0
    for end, cover in enumerate(covers):
        full = end - start >= _PART_ROWS or size + cover.outcome.length > _PART_BYTES
        if end > start and (full or cover.split != covers[start].split):
            yield covers[start:end]
            start, size = end, 0
        size += cover.outcome.length
    yield covers[start:]


def _part_table(covers: Sequence[Cover], spool: Path) -> pa.Table:
    outcomes = [cover.outcome for cover in covers]
    columns = {
        "cover_id": [outcome.cover_id for outcome in outcomes],
        "genre": [cover.genre for cover in covers],
        "genres": [cover.genres for cover in covers],
        "label": [cover.label for cover in covers],
        "split": [cover.split for cover in covers],
        "group": [cover.group for cover in covers],
        "image": _read_spool(outcomes, spool),
        "width": [outcome.width for outcome in outcomes],
        "height": [outcome.height for outcome in outcomes],
        "source": [cover.source for cover in covers],
    }
    return pa.table(columns, schema=COVER_SCHEMA)


def _read_spool(outcomes: Sequence[Outcome], spool: Path) -> list[bytes]:
    places_by_file: dict[str, list[int]] = defaultdict(list)
    for place, outcome in enumerate(outcomes):
        places_by_file[outcome.spool].append(place)
    images = [b""] * len(outcomes)
    for name, places in places_by_file.items():
        with (spool / name).open("rb") as file:
            for place in sorted(places, key=lambda p: outcomes[p].offset):
                file.seek(outcomes[place].offset)
                images[place] = file.read(outcomes[place].length)
    return images
