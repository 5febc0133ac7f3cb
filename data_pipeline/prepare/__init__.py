"""Turns a pile of covers into a cover store.

What lies at web addresses is downloaded first (`downloads`). Two passes follow. In the first, Ray
tasks read, check and normalise every file (`_normalising`). The driver then decides which become
covers and what belongs together (`_selecting`), for which pairs of look-alikes are read once more
(`_comparing`), and draws the splits. The second pass writes the parts (`_writing`).
"""

from covertune.data_pipeline.prepare._prepare import PrepareSummary, prepare_store

__all__ = ["PrepareSummary", "prepare_store"]
