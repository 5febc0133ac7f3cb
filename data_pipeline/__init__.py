"""data_pipeline: turns a pile of covers into clean, split, decoded batches.

    prepare_store -> CoverStore -> decode_parts -> BlockRefs ----> batches
                              `--> spill_part ---> WindowedRefs -'

Knows no model. Names are imported when first used: opening a store needs neither Ray nor torch, and
Ray's decoding workers, which import this package too, start seconds faster without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covertune.data_pipeline.dataset.batches import DeviceResident, EpochBatches
    from covertune.data_pipeline.dataset.blocks import BlockRefs, Blocks
    from covertune.data_pipeline.dataset.decoded import (
        cover_nbytes,
        decode_fits,
        decode_parts,
        decode_store,
        decoded_nbytes,
        in_flight_nbytes,
        spill_part,
        stream_part,
    )
    from covertune.data_pipeline.dataset.decoding import Part
    from covertune.data_pipeline.dataset.lazy_blocks import WindowedRefs
    from covertune.data_pipeline.dataset.mapping import ComputedBlocks, map_blocks
    from covertune.data_pipeline.dataset.refs import CoverBatches, CoverRefs
    from covertune.data_pipeline.dataset.windowed import WindowedBatches
    from covertune.data_pipeline.downloads import DownloadCounts, DownloadSettings
    from covertune.data_pipeline.errors import (
        CapacityError,
        DataError,
        ImageRejected,
        SourceError,
        StoreError,
    )
    from covertune.data_pipeline.images import load_square, load_squares
    from covertune.data_pipeline.inspect import StoreReport, inspect_store, write_page
    from covertune.data_pipeline.prepare import PrepareSummary, prepare_store
    from covertune.data_pipeline.ray_tasks import free_object_store_bytes
    from covertune.data_pipeline.store import CoverStore, PrepareSettings, StoreManifest

__all__ = [
    "BlockRefs",
    "Blocks",
    "CapacityError",
    "ComputedBlocks",
    "CoverBatches",
    "CoverRefs",
    "CoverStore",
    "DataError",
    "DeviceResident",
    "DownloadCounts",
    "DownloadSettings",
    "EpochBatches",
    "ImageRejected",
    "Part",
    "PrepareSettings",
    "PrepareSummary",
    "SourceError",
    "StoreError",
    "StoreManifest",
    "StoreReport",
    "WindowedBatches",
    "WindowedRefs",
    "cover_nbytes",
    "decode_fits",
    "decode_parts",
    "decode_store",
    "decoded_nbytes",
    "free_object_store_bytes",
    "in_flight_nbytes",
    "inspect_store",
    "load_square",
    "load_squares",
    "map_blocks",
    "prepare_store",
    "spill_part",
    "stream_part",
    "write_page",
]


_HOMES = {
    "dataset.batches": ("DeviceResident", "EpochBatches"),
    "dataset.blocks": ("BlockRefs", "Blocks"),
    "dataset.decoded": (
        "cover_nbytes",
        "decode_fits",
        "decode_parts",
        "decode_store",
        "decoded_nbytes",
        "in_flight_nbytes",
        "spill_part",
        "stream_part",
    ),
    "dataset.decoding": ("Part",),
    "dataset.lazy_blocks": ("WindowedRefs",),
    "dataset.mapping": ("ComputedBlocks", "map_blocks"),
    "dataset.refs": ("CoverBatches", "CoverRefs"),
    "dataset.windowed": ("WindowedBatches",),
    "downloads": ("DownloadCounts", "DownloadSettings"),
    "errors": ("CapacityError", "DataError", "ImageRejected", "SourceError", "StoreError"),
    "images": ("load_square", "load_squares"),
    "inspect": ("StoreReport", "inspect_store", "write_page"),
    "prepare": ("PrepareSummary", "prepare_store"),
    "ray_tasks": ("free_object_store_bytes",),
    "store": ("CoverStore", "PrepareSettings", "StoreManifest"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
