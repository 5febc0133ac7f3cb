"""Collapse: a classifier that gives every cover the same genre, and looks like one that trains."""

from __future__ import annotations

import numpy as np

from covertune.models.metrics import Ints

__all__ = ["ONE_GENRE_SHARE", "TRUE_SHARE", "find_collapse"]

ONE_GENRE_SHARE = 0.98
TRUE_SHARE = 0.9


def find_collapse(confusion_KK: Ints) -> str | None:
    """Tell a collapsed classifier by its validation predictions.

    The rule: at least 98 % of the predictions fall into one genre, while less than 90 % of the
    covers truly belong to it.

    Args:
        confusion_KK: Counts, [true, predicted].

    Returns:
        The reason in one line, naming the genre's index and share; None if all is well.
    """
    total = int(confusion_KK.sum())
    if total == 0:
        return None
    predicted_K = confusion_KK.sum(axis=0) / total
    genre = int(np.argmax(predicted_K))
    true_share = float(confusion_KK.sum(axis=1)[genre] / total)
    if predicted_K[genre] < ONE_GENRE_SHARE or true_share >= TRUE_SHARE:
        return None
    return (
        f"collapsed: {predicted_K[genre]:.1%} of the validation covers were given genre {genre}, "
        f"which {true_share:.1%} of them have"
    )
