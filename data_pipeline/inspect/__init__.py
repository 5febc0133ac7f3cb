"""Looks into a store: figures for the terminal, and a page to look at."""

from covertune.data_pipeline.inspect.page import write_page
from covertune.data_pipeline.inspect.report import SideReport, StoreReport, inspect_store
from covertune.data_pipeline.inspect.similar import SimilarPair, similar_across_genres

__all__ = [
    "SideReport",
    "SimilarPair",
    "StoreReport",
    "inspect_store",
    "similar_across_genres",
    "write_page",
]
