"""What a classifier is asked to tell of a cover: its genre, or its genres in equal shares.

Shapes: B batch, K genres.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["targets_of"]


def targets_of(labels_B: Tensor, genres_BK: Tensor | None = None) -> Tensor:
    """Return the targets of a batch, for `torch.nn.functional.cross_entropy`.

    Args:
        labels_B: int64, the primary genres.
        genres_BK: 1 where a cover has a genre, else 0, of whatever type; at least one a cover.
            Left out where every cover has one genre.

    Returns:
        labels_B as they came without marks; else (B, K) float32, 1/m for each of a cover's m
        genres.
    """
    if genres_BK is None:
        return labels_B
    marks_BK = genres_BK.to(torch.float32)
    return marks_BK / marks_BK.sum(dim=1, keepdim=True)
