"""data_pipeline: turns a pile of covers into clean, split, decoded batches.

    prepare_store -> CoverStore -> decode_store -> DecodedRefs --> batches
                               `-----------------> StreamedRefs -'

Knows no model. `batches` and `streamed` alone need torch, and are imported when first used: Ray's
decoding workers, which import this package too, start seconds faster without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from covertune.data_pipeline._ray import free_object_store_bytes
from covertune.data_pipeline.decoded import (
    DecodedRefs,
    DecodedSplit,
    cover_nbytes,
    decode_fits,
    decode_store,
    decoded_nbytes,
    in_flight_nbytes,
)
from covertune.data_pipeline.downloads import DownloadCounts, DownloadSettings
from covertune.data_pipeline.errors import (
    CapacityError,
    DataError,
    ImageRejected,
    SourceError,
    StoreError,
)
from covertune.data_pipeline.images import FITS, Fit, load_square, load_squares
from covertune.data_pipeline.inspect import StoreReport, inspect_store, write_page
from covertune.data_pipeline.prepare import PrepareSummary, prepare_store
from covertune.data_pipeline.refs import CoverBatches, CoverRefs
from covertune.data_pipeline.schema import SPLITS, PrepareSettings, StoreManifest
from covertune.data_pipeline.store import CoverStore

if TYPE_CHECKING:
    from covertune.data_pipeline.batches import DeviceResident, EpochBatches
    from covertune.data_pipeline.streamed import StreamedBatches, StreamedRefs

__all__ = [
    "FITS",
    "SPLITS",
    "CapacityError",
    "CoverBatches",
    "CoverRefs",
    "CoverStore",
    "DataError",
    "DecodedRefs",
    "DecodedSplit",
    "DeviceResident",
    "DownloadCounts",
    "DownloadSettings",
    "EpochBatches",
    "Fit",
    "ImageRejected",
    "PrepareSettings",
    "PrepareSummary",
    "SourceError",
    "StoreError",
    "StoreManifest",
    "StoreReport",
    "StreamedBatches",
    "StreamedRefs",
    "cover_nbytes",
    "decode_fits",
    "decode_store",
    "decoded_nbytes",
    "free_object_store_bytes",
    "in_flight_nbytes",
    "inspect_store",
    "load_square",
    "load_squares",
    "prepare_store",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name in ("DeviceResident", "EpochBatches"):
        from covertune.data_pipeline import batches

        return getattr(batches, name)
    if name in ("StreamedBatches", "StreamedRefs"):
        from covertune.data_pipeline import streamed

        return getattr(streamed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
