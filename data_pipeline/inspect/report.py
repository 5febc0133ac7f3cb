"""What a cover store holds, in figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from covertune.data_pipeline.store.cover_store import CoverStore
from covertune.data_pipeline.store.schema import PrepareSettings, StoreSummary

__all__ = ["SideReport", "StoreReport", "inspect_store"]


class SideReport(BaseModel):
    """Lengths of one side of the stored covers, in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int = Field(description="The shortest.")
    median: float = Field(description="The middle one.")
    max: int = Field(description="The longest.")


class StoreReport(StoreSummary):
    """What a cover store holds."""

    path: Path = Field(description="The store.")
    schema_version: int = Field(description="Version of the store's layout.")
    source: str = Field(description="What it was prepared from.")
    covers: int = Field(description="Covers in it.")
    width_px: SideReport = Field(description="Widths of the covers.")
    height_px: SideReport = Field(description="Heights of the covers.")
    parts: int = Field(description="Parquet files.")
    bytes: int = Field(description="Size of the whole folder.")
    group_sizes: dict[int, int] = Field(description="How many groups, by covers in the group.")
    several_genres: int = Field(description="Covers that carry more than one genre.")
    settings: PrepareSettings = Field(description="The settings it was prepared with.")


def inspect_store(path: Path) -> StoreReport:
    """Report on a store.

    Raises:
        StoreError: There is no store, or it is damaged.
    """
    store = CoverStore.open(path)
    manifest = store.manifest
    covers = store.read_columns(["width", "height", "group", "genres"])
    sizes = Counter(Counter(covers["group"].to_pylist()).values())
    return StoreReport(
        **manifest.summary(),
        path=store.path,
        schema_version=manifest.schema_version,
        source=manifest.source,
        covers=manifest.kept,
        width_px=_side(covers["width"].to_numpy()),
        height_px=_side(covers["height"].to_numpy()),
        parts=len(manifest.parts),
        bytes=sum(file.stat().st_size for file in store.path.iterdir()),
        group_sizes=dict(sorted(sizes.items())),
        several_genres=sum(len(genres) > 1 for genres in covers["genres"].to_pylist()),
        settings=manifest.settings,
    )


def _side(lengths: np.ndarray) -> SideReport:
    return SideReport(
        min=int(lengths.min()), median=float(np.median(lengths)), max=int(lengths.max())
    )
