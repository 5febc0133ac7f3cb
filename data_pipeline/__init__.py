"""data_pipeline: turns a pile of covers into clean, split, decoded batches.

    prepare_store -> CoverStore -> decode_store -> EpochBatches

Knows no model. `batches` alone needs torch, and is imported when first used: Ray's decoding
workers, which import this package too, start seconds faster without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_pipeline.decoded import DecodedRefs, DecodedSplit, decode_store, decoded_nbytes
from data_pipeline.downloads import DownloadCounts, DownloadSettings
from data_pipeline.errors import (
    CapacityError,
    DataError,
    ImageRejected,
    SourceError,
    StoreError,
)
from data_pipeline.images import load_square
from data_pipeline.inspect import StoreReport, inspect_store, write_page
from data_pipeline.prepare import PrepareSummary, prepare_store
from data_pipeline.schema import SPLITS, PrepareSettings, StoreManifest
from data_pipeline.store import CoverStore

if TYPE_CHECKING:
    from data_pipeline.batches import DeviceResident, EpochBatches

__all__ = [
    "SPLITS",
    "CapacityError",
    "CoverStore",
    "DataError",
    "DecodedRefs",
    "DecodedSplit",
    "DeviceResident",
    "DownloadCounts",
    "DownloadSettings",
    "EpochBatches",
    "ImageRejected",
    "PrepareSettings",
    "PrepareSummary",
    "SourceError",
    "StoreError",
    "StoreManifest",
    "StoreReport",
    "decode_store",
    "decoded_nbytes",
    "inspect_store",
    "load_square",
    "prepare_store",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name in ("DeviceResident", "EpochBatches"):
        from data_pipeline import batches

        return getattr(batches, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
