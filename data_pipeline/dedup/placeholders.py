"""Tells pictures that stand for a missing cover: blank ones, and one picture under many books.

Both limits are on the careful side. A white cover with a small title is a cover, and a book may
have several editions with one picture; ten of them it hardly has.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from covertune.data_pipeline.dedup.signature import spreads

__all__ = ["FEWEST_BOOKS", "blank", "stand_for_many"]

FEWEST_BOOKS = 10
"""A picture under so many books is no cover of any."""

_BLANK_SPREAD = 5  # levels of 255; compression and scanners leave up to 3


def blank(signatures_ND: np.ndarray) -> np.ndarray:
    """Return (N,) bool: whether nothing at all can be seen on a picture.

    Args:
        signatures_ND: uint8, see `signature.sign`.
    """
    return np.asarray(spreads(signatures_ND) <= _BLANK_SPREAD)


def stand_for_many(
    picture_R: np.ndarray, genre_R: np.ndarray, keys: Sequence[tuple[str, ...]]
) -> dict[int, str]:
    """Find pictures under many books.

    Books are told apart by their keys of one kind, such as ISBNs. Rows without keys are books of
    their own only within one genre: the same book may well be listed once in every genre.

    Args:
        picture_R: The picture of each row.
        genre_R: Its genre.
        keys: Its keys.

    Returns:
        For each such picture what it was found under, in words.
    """
    numbers, counts = np.unique(picture_R, return_counts=True)
    often = np.flatnonzero(np.isin(picture_R, numbers[counts >= FEWEST_BOOKS]))
    named: dict[tuple[int, str], set[str]] = defaultdict(set)
    nameless: Counter[tuple[int, int]] = Counter()
    for row in often.tolist():
        picture = int(picture_R[row])
        for key in keys[row]:
            named[picture, key.partition(":")[0]].add(key)
        if not keys[row]:
            nameless[picture, int(genre_R[row])] += 1
    found: dict[int, str] = {}
    for (picture, _), copies in nameless.items():
        if copies >= FEWEST_BOOKS:
            found[picture] = f"one picture {copies} times in one genre"
    for (picture, _), books in sorted(named.items()):
        if len(books) >= FEWEST_BOOKS:
            found[picture] = f"one picture under {len(books)} books"
    return found
