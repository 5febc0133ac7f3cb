"""The most similar covers that lie in different genres.

Where two look the same, either a copy has slipped through, or the labels ask for more than a cover
can tell. Both are worth a look.

Similarity is the correlation of small thumbnails, each colour channel around its own mean: what
counts is the composition. Of pictures that differ in brightness or contrast alone it is 1.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from covertune.data_pipeline.inspect.thumbnails import decode_small
from covertune.data_pipeline.store.cover_store import CoverStore

__all__ = ["SimilarPair", "similar_across_genres"]

_SIDE_PX = 16
_MOST_COVERS = 10_000
_BLOCK = 1024
_CANDIDATES = 20  # for each pair that is shown: one cover may not fill the list


@dataclass(frozen=True)
class SimilarPair:
    """Two covers of different genres.

    Attributes:
        places: Of both in the whole store.
        correlation: Of their thumbnails, at most 1.
    """

    places: tuple[int, int]
    correlation: float


def similar_across_genres(store: CoverStore, pairs: int = 12) -> list[SimilarPair]:
    """Find the most similar pairs, each cover at most once.

    Every cover is compared with every other one, which is why of a store of more than 10,000 an
    evenly spread 10,000 are taken.

    Args:
        store: What to look through.
        pairs: How many to give at most.

    Returns:
        The most similar first.
    """
    places, features_NF = _features(store)
    labels_N = store.read_columns(["label"])["label"].to_numpy()[places]
    best: list[tuple[float, int, int]] = []
    for start in range(0, len(places), _BLOCK):
        rows = slice(start, start + _BLOCK)
        alike = features_NF[rows] @ features_NF[start:].T
        alike[labels_N[rows, None] == labels_N[None, start:]] = -1.0
        alike[np.tril_indices_from(alike)] = -1.0  # each pair once
        count = min(pairs * _CANDIDATES, alike.size)
        for flat in np.argpartition(alike, -count, axis=None)[-count:]:
            i, j = divmod(int(flat), alike.shape[1])
            best.append((float(alike[i, j]), start + i, start + j))
        best = heapq.nlargest(pairs * _CANDIDATES, best)
    chosen: list[SimilarPair] = []
    shown: set[int] = set()
    for correlation, i, j in best:
        if len(chosen) < pairs and correlation > 0 and not shown & {i, j}:
            shown |= {i, j}
            chosen.append(SimilarPair((int(places[i]), int(places[j])), correlation))
    return chosen


def _features(store: CoverStore) -> tuple[np.ndarray, np.ndarray]:
    """Return places N, and thumbnails (N, F) of mean 0 and length 1."""
    step = max(1, -(-store.manifest.kept // _MOST_COVERS))
    places = np.arange(0, store.manifest.kept, step)
    thumbnails = np.empty((len(places), _SIDE_PX * _SIDE_PX, 3), dtype=np.float32)
    for start, images in store.iter_images():
        first = -(-start // step)
        for row in range(first, -(-(start + len(images)) // step)):
            image = decode_small(images[row * step - start].as_py(), 2 * _SIDE_PX)
            thumbnails[row] = np.asarray(image.resize((_SIDE_PX, _SIDE_PX))).reshape(-1, 3)
    thumbnails -= thumbnails.mean(axis=1, keepdims=True)
    features = thumbnails.reshape(len(places), -1)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return places, np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
