"""Words that all packages share, with the values they can have."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CONFLICTS", "FITS", "SPLITS", "Conflicts", "Fit", "Split"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
"""The splits, in the order in which a store holds them."""

Fit = Literal["squash", "pad", "crop"]
FITS: tuple[Fit, ...] = get_args(Fit)
"""How a cover meets the square that a model takes, the usual way first (`data_pipeline.images`).

They do the same to a cover that is a square.
"""

Conflicts = Literal["drop", "first", "keep", "multi"]
CONFLICTS: tuple[Conflicts, ...] = get_args(Conflicts)
"""What becomes of a picture that lies in several genres (`data_pipeline.dedup`)."""
