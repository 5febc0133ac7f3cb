"""What a cover store holds: its columns, its settings and its manifest `covers.json`.

A store is a folder:

    covers.json           the manifest, `StoreManifest`; the last file written
    part-00000.parquet …  the covers, `COVER_SCHEMA`; each part holds covers of one split
    rejected.parquet      what was refused and why, `REJECTED_SCHEMA`
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from covertune.vocabulary import Conflicts, Split

__all__ = [
    "COVER_COLUMNS",
    "COVER_SCHEMA",
    "MANIFEST_NAME",
    "REJECTED_COLUMNS",
    "REJECTED_NAME",
    "REJECTED_SCHEMA",
    "SCHEMA_VERSION",
    "Column",
    "PartInfo",
    "PrepareSettings",
    "StoreManifest",
    "StoreSummary",
]

SCHEMA_VERSION = 2
"""Counts up when a store written before can no longer be read."""

MANIFEST_NAME = "covers.json"
REJECTED_NAME = "rejected.parquet"


class Column(NamedTuple):
    """A column of a store's Parquet files."""

    name: str
    type: pa.DataType
    description: str


COVER_COLUMNS = (
    Column("cover_id", pa.string(), "Hex digest of the original's pixels."),
    Column("genre", pa.string(), "The primary one."),
    Column("genres", pa.list_(pa.string()), "All, sorted; several only with `multi`."),
    Column("label", pa.int64(), "Index into the manifest's genres."),
    Column("split", pa.string(), "`train`, `val` or `test`."),
    Column("group", pa.string(), "Equal for covers that belong together; never in two splits."),
    Column("image", pa.binary(), "An image file, RGB, upright."),
    Column("width", pa.int32(), "Of `image`, in pixels."),
    Column("height", pa.int32(), "Of `image`, in pixels."),
    Column("source", pa.string(), "Path relative to what the store was prepared from."),
)

REJECTED_COLUMNS = (
    Column("source", pa.string(), "As in the parts."),
    Column("genre", pa.string(), "As it was given."),
    Column("reason", pa.string(), "A phrase that files of the same fate share."),
    Column("detail", pa.string(), "What is special about this one; may be empty."),
)

COVER_SCHEMA = pa.schema([(column.name, column.type) for column in COVER_COLUMNS])
REJECTED_SCHEMA = pa.schema([(column.name, column.type) for column in REJECTED_COLUMNS])

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrepareSettings(_Frozen):
    """How a pile of covers becomes a store."""

    max_px: int = Field(
        default=256,
        ge=16,
        description="The shorter side of a stored cover has at most this many pixels; "
        "larger covers are reduced, smaller ones are kept as they are.",
    )
    seed: int = Field(default=0, ge=0, description="Decides which covers go to which split.")
    val_share: Share = Field(default=0.15, description="Share of each genre that goes to `val`.")
    test_share: Share = Field(default=0.15, description="Share of each genre that goes to `test`.")
    min_covers: int = Field(
        default=3,
        ge=3,
        description="Fewest groups of covers a genre may have; each split needs one of each genre.",
    )
    conflicts: Conflicts = Field(
        default="drop",
        description="What becomes of a picture that lies in several genres: `drop` refuses it, "
        "`first` keeps it in the genre whose copy comes first, `keep` keeps it once in each "
        "genre, `multi` keeps one cover that carries all its genres.",
    )
    near_copies: bool = Field(
        default=True,
        description="Whether pictures that differ only by scaling, compression, colour or a small "
        "crop count as one; if not, only those of equal pixels do.",
    )

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        if self.val_share + self.test_share >= 1.0:
            raise ValueError(
                "val_share and test_share together must stay below 1 so that covers are left "
                f"to train on; got {self.val_share:g} + {self.test_share:g}"
            )
        return self


class PartInfo(_Frozen):
    """One Parquet file of a store."""

    name: str = Field(description="File name inside the store.")
    split: Split = Field(description="The split all its covers belong to.")
    rows: int = Field(ge=1, description="Covers in it.")
    group_rows: int = Field(ge=1, description="Covers in each row group but the last.")
    bytes: int = Field(ge=1, description="Size of the file.")

    @property
    def row_groups(self) -> int:
        """Row groups in it; a row group is the least that can be read."""
        return -(-self.rows // self.group_rows)


class StoreSummary(_Frozen):
    """What a manifest, a prepare and a report tell of a store alike."""

    fingerprint: str = Field(description="SHA-256 of the content; equal stores have equal ones.")
    counts: dict[str, dict[Split, int]] = Field(description="Covers per genre and split.")
    found: int = Field(ge=0, description="Image files or table rows that were looked at.")
    rejected: int = Field(ge=0, description="Files or rows refused; the others were kept.")
    ignored: int = Field(ge=0, description="Files that are no images by their name; not looked at.")
    reasons: dict[str, int] = Field(description="How many were refused, by reason, most first.")
    pictures: int = Field(ge=0, description="Distinct pictures found; copies count once.")
    conflicting: int = Field(ge=0, description="Of these, pictures that lay in several genres.")
    noise_ceiling: float = Field(
        ge=0.0, le=1.0, description="Best top-1 any predictor could reach on the labels as found."
    )
    groups: int = Field(ge=0, description="Groups of covers kept; a group never crosses splits.")
    official_split: bool = Field(description="Whether the listing itself named the test covers.")

    def summary(self) -> dict[str, Any]:
        """Return these fields alone."""
        return {name: getattr(self, name) for name in StoreSummary.model_fields}


class StoreManifest(StoreSummary):
    """The content of `covers.json`."""

    schema_version: int = Field(description="Version of the store's layout.")
    source: str = Field(description="What the store was prepared from, as it was given.")
    genres: list[str] = Field(min_length=2, description="Genre names; a label indexes this list.")
    kept: int = Field(ge=0, description="Covers in the store.")
    kept_ceiling: float = Field(
        ge=0.0, le=1.0, description="The noise ceiling of the labels as they were kept."
    )
    settings: PrepareSettings = Field(description="The settings the store was prepared with.")
    parts: list[PartInfo] = Field(description="The Parquet files, in the store's order.")

    def count(self, split: str) -> int:
        """Count the covers in one split."""
        return sum(part.rows for part in self.parts if part.split == split)
