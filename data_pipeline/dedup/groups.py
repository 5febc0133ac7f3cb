"""Ties pictures together that must stay on one side of a split.

Pictures are tied by keys, such as an author or an ISBN that their rows share, and where several
copies of one picture are kept because they conflict. A group is all that is tied directly or by way
of others, so its size is bounded by what the listing says belongs together; being alike ties
pictures only to their centre (`near`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["union_groups"]


def union_groups(
    pictures: int, keys: Iterable[tuple[int, tuple[str, ...]]], links_L2: np.ndarray
) -> np.ndarray:
    """Find what belongs together (union-find with path halving).

    Args:
        pictures: How many there are.
        keys: Of each row that has any, the number of its picture and its keys.
        links_L2: Pairs of pictures that belong together in any case.

    Returns:
        (pictures,) int64: for each the smallest number of its group.
    """
    parents = list(range(pictures))

    def root(picture: int) -> int:
        while parents[picture] != picture:
            parents[picture] = parents[parents[picture]]
            picture = parents[picture]
        return picture

    def join(one: int, other: int) -> None:
        one, other = root(one), root(other)
        parents[max(one, other)] = min(one, other)

    first_with: dict[str, int] = {}
    for picture, of_row in keys:
        for key in of_row:
            join(picture, first_with.setdefault(key, picture))
    for one, other in links_L2.tolist():
        join(one, other)
    return np.array([root(picture) for picture in range(pictures)], dtype=np.int64)
