"""Collapse: a classifier that gives every cover the same genre, and looks like one that trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covertune.models.metrics import Ints
from covertune.wording import named

__all__ = ["FEWEST_COVERS", "ONE_GENRE_SHARE", "TRUE_SHARE", "find_collapse"]

ONE_GENRE_SHARE = 0.98
TRUE_SHARE = 0.9
FEWEST_COVERS = 10
"""On fewer, chance may give all of them the same genre: of 10 and two genres once in 500 times."""


def find_collapse(confusion_KK: Ints, genres: Sequence[str] | None = None) -> str | None:
    """Tell a collapsed classifier by its validation predictions.

    The rule: at least 98 % of the predictions, of 10 or more, fall into one genre, while less than
    90 % of the covers truly belong to it.

    Args:
        confusion_KK: Counts, [true, predicted].
        genres: Names of the K genres; None: they are told by their index.

    Returns:
        The reason in one line, naming the genre and its share; None if all is well.
    """
    total = int(confusion_KK.sum())
    if total < FEWEST_COVERS:
        return None
    predicted_K = confusion_KK.sum(axis=0) / total
    genre = int(np.argmax(predicted_K))
    true_share = float(confusion_KK.sum(axis=1)[genre] / total)
    if predicted_K[genre] < ONE_GENRE_SHARE or true_share >= TRUE_SHARE:
        return None
    told = genre if genres is None else named(genres[genre])
    return (
        f"collapsed: {predicted_K[genre]:.1%} of the validation covers were given genre {told}, "
        f"which {true_share:.1%} of them have"
    )
