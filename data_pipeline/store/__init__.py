"""The cover store: a folder of Parquet parts and a manifest.

In: the path of a folder that `prepare` wrote. Out: covers by split, encoded, and what is known of
them. Knows neither where covers come from nor what becomes of them.
"""

from covertune.data_pipeline.store.cover_store import CoverStore
from covertune.data_pipeline.store.schema import PrepareSettings, StoreManifest

__all__ = ["CoverStore", "PrepareSettings", "StoreManifest"]
