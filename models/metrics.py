"""Metrics of a classifier, from its scores.

A new one takes two things, both here: a function, and a field of `Metrics`. The study, the curves,
the outcome, the card and `covertune evaluate` show it then by themselves; the live table and the
final one have columns of their own.

Shapes: N covers, K genres. Scores are logits or probabilities; a confusion matrix has a row per
true genre and a column per predicted one.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Z_95",
    "Metrics",
    "any_top1",
    "confusion",
    "difference_interval",
    "expected_calibration_error",
    "macro_f1",
    "share_variance",
    "standard_error",
    "top_k",
    "wilson_interval",
]

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

Z_95 = 1.959963984540054
"""Standard errors on either side of what is normal, for 95 %."""


class Metrics(BaseModel):
    """What one classifier is worth on the covers of one split.

    A metric that does not apply, or that was not yet there when a record was written, is None and
    left out. So what is added here needs a default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    top1: float = Field(
        title="top-1 accuracy",
        description="Share given their true genre, the primary one of several.",
    )
    top3: float = Field(
        title="top-3 accuracy", description="Share with the true genre among the best min(3, K)."
    )
    macro_f1: float = Field(title="macro F1", description="Mean F1 over genres.")
    any_top1: float | None = Field(
        None,
        title="any of its genres",
        exclude_if=lambda value: value is None,
        description="Share given any of their genres; left out where each cover has one.",
    )

    @classmethod
    def of(
        cls, scores_NK: Floats, labels_N: Ints, genres_NK: npt.NDArray[np.integer] | None = None
    ) -> Self:
        """Measure.

        Args:
            scores_NK: Logits or probabilities.
            labels_N: True genres, in [0, K).
            genres_NK: Where covers may have several genres: 1 for each of them, else 0.
        """
        return cls(
            top1=top_k(scores_NK, labels_N, 1),
            top3=top_k(scores_NK, labels_N, 3),
            macro_f1=macro_f1(confusion(scores_NK, labels_N)),
            any_top1=None if genres_NK is None else any_top1(scores_NK, genres_NK),
        )

    @classmethod
    def titles(cls) -> dict[str, str]:
        """Return what each metric is called in tables and pictures, by field."""
        return {name: field.title or name for name, field in Metrics.model_fields.items()}

    @property
    def values(self) -> dict[str, float]:
        """Those that there are, by field."""
        told = {name: getattr(self, name) for name in Metrics.model_fields}
        return {name: value for name, value in told.items() if value is not None}


def top_k(scores_NK: Floats, labels_N: Ints, k: int) -> float:
    """Return the share of covers whose true genre is among the k best scored; 1 where k >= K.

    Ties are broken by the lower genre index, so equal scores do not count as right; nor does a
    cover with a score that is not a number.
    """
    if len(labels_N) == 0:
        return math.nan
    own_N1 = np.take_along_axis(scores_NK, labels_N[:, None], axis=1)
    above_N = (scores_NK > own_N1).sum(axis=1)
    genres_K = np.arange(scores_NK.shape[1])
    tied_before_N = ((scores_NK == own_N1) & (genres_K < labels_N[:, None])).sum(axis=1)
    right_N = (above_N + tied_before_N < k) & ~np.isnan(scores_NK).any(axis=1)
    return float(right_N.mean())


def any_top1(scores_NK: Floats, genres_NK: npt.NDArray[np.integer]) -> float:
    """Return the share of covers whose best scored genre is any of their genres.

    Where every cover has one genre it is the same as `top_k` with k = 1.

    Args:
        scores_NK: Logits or probabilities.
        genres_NK: 1 where a cover has a genre, else 0.
    """
    if len(genres_NK) == 0:
        return math.nan
    guesses_N1 = scores_NK.argmax(axis=1)[:, None]
    marked_N = np.take_along_axis(genres_NK, guesses_N1, axis=1)[:, 0] > 0
    return float((marked_N & ~np.isnan(scores_NK).any(axis=1)).mean())


def confusion(scores_NK: Floats, labels_N: Ints) -> Ints:
    """Return (K, K) counts: [true, predicted]."""
    K = scores_NK.shape[1]
    predicted_N = scores_NK.argmax(axis=1)
    counts = np.bincount(labels_N * K + predicted_N, minlength=K * K)
    return counts.reshape(K, K).astype(np.int64)


def macro_f1(confusion_KK: Ints) -> float:
    """Return the mean F1 over genres, without those neither true nor predicted for any cover."""
    hits_K = np.diag(confusion_KK).astype(float)
    seen_K = confusion_KK.sum(axis=0) + confusion_KK.sum(axis=1)
    present_K = seen_K > 0
    if not present_K.any():
        return math.nan
    return float((2 * hits_K[present_K] / seen_K[present_K]).mean())


def expected_calibration_error(probs_NK: Floats, labels_N: Ints, *, bins: int = 15) -> float:
    """Return the ECE of Guo et al. 2017, arXiv:1706.04599, equation 3: confidence against accuracy.

    Args:
        probs_NK: Rows sum to 1.
        labels_N: True genres.
        bins: M, of equal width over (0, 1].
    """
    if len(labels_N) == 0:
        return math.nan
    confidence_N = probs_NK.max(axis=1)
    right_N = probs_NK.argmax(axis=1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    gap_M = np.bincount(bin_N, weights=right_N - confidence_N, minlength=bins)
    return float(np.abs(gap_M).sum() / len(labels_N))


def standard_error(share: float, n: int) -> float:
    """Return the standard error of a share measured on n covers: sqrt(p (1 - p) / n)."""
    return math.sqrt(max(0.0, share * (1.0 - share)) / n)


def share_variance(share: float, n: int) -> float:
    """Return the variance of a share measured on n covers, for a difference of shares.

    p (1 - p) / (n + 2) at p = (k + 1) / (n + 2), one hit and one miss added (Agresti and Caffo
    2000, "Simple and effective confidence intervals for proportions and differences of
    proportions"): of a share of 0 or 1 on a handful of covers it is not 0.
    """
    shrunk = (share * n + 1) / (n + 2)
    return shrunk * (1 - shrunk) / (n + 2)


def difference_interval(
    one: float, other: float, n: int, *, z: float = Z_95
) -> tuple[float, float]:
    """Return Agresti and Caffo's interval for one share less the other, 95 % unless told.

    Args:
        one: A share of n covers.
        other: Another. On the same covers the two go together, and the interval errs on the wide
            side.
        n: Covers.
        z: Standard errors on either side.
    """
    centre = (one - other) * n / (n + 2)
    half = z * math.sqrt(share_variance(one, n) + share_variance(other, n))
    return max(-1.0, centre - half), min(1.0, centre + half)


def wilson_interval(k: int, n: int, *, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval for k successes in n (Wilson 1927); 95 % unless told."""
    if n == 0:
        return 0.0, 1.0
    share = k / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if k == 0 else max(0.0, (centre - half) / scale)  # exact at the ends
    high = 1.0 if k == n else min(1.0, (centre + half) / scale)
    return low, high
