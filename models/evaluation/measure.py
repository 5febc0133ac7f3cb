"""What a finished classifier is worth on a split.

Shapes: N covers, B batch, H = W image size, K genres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from covertune.models.backbones.input_spec import Batches, InputSpec
from covertune.models.errors import ModelError
from covertune.models.metrics import (
    Floats,
    Metrics,
    confusion,
    expected_calibration_error,
    wilson_interval,
)
from covertune.models.micro_batches import MicroBatches
from covertune.models.precision import without_tf32

__all__ = [
    "GenreMeasurement",
    "Measurement",
    "Predictions",
    "inference_batch_size",
    "measure_genres",
    "measure_model",
    "measure_probabilities",
    "predict_probabilities",
]

_AT_ONCE_ON_GPU = 64
_PIXELS_AT_ONCE = 300_000  # of a CPU's thread; see `inference_batch_size`
_LEAST_AT_ONCE, _MOST_AT_ONCE = 8, 64


class Measurement(Metrics):
    """Metrics of a finished classifier on one split, with what they can be trusted for."""

    n: int = Field(description="Covers measured on.")
    top1_interval: tuple[float, float] = Field(description="95 % Wilson score interval of top1.")
    ece: float = Field(description="Expected calibration error, 15 bins.")


class Predictions(NamedTuple):
    """What a classifier told of covers, beside what they are; as `measure_probabilities` takes it.

    Attributes:
        probabilities_NK: Rows sum to 1.
        labels_N: True genres, the primary ones of several.
        genres_NK: 1 for each genre a cover has, else 0; None where each cover has one genre.
    """

    probabilities_NK: npt.NDArray[np.float64]
    labels_N: npt.NDArray[np.int64]
    genres_NK: npt.NDArray[np.integer] | None = None


class GenreMeasurement(BaseModel):
    """Measures of one classifier on the covers of one genre."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    genre: str = Field(description="Its name.")
    n: int = Field(description="Covers that have it, as their primary genre.")
    recall: float | None = Field(description="Share of them that are given it; null without any.")
    recall_interval: tuple[float, float] = Field(description="95 % Wilson score interval.")
    precision: float | None = Field(
        description="Share that has it of those that are given it; null where none is given it."
    )


def inference_batch_size(image_px: int, device: torch.device) -> int:
    """Return how many covers a forward pass without gradients takes best.

    On a CPU as many as leave a thread's activations near its cache. EfficientNet-Lite0, one thread,
    covers/s: in float32 at 96 px 205 by 64 and 320 by 32; in bfloat16 at 160 px 122 by 64, 168 by
    32 and 197 by 16; at 64 px fewer than 64 gain nothing.

    Args:
        image_px: H.
        device: Where.
    """
    if device.type != "cpu":
        return _AT_ONCE_ON_GPU
    covers: int = 2 ** round(math.log2(_PIXELS_AT_ONCE / image_px**2))
    return torch.get_num_threads() * min(max(covers, _LEAST_AT_ONCE), _MOST_AT_ONCE)


def measure_probabilities(
    probabilities_NK: Floats,
    labels_N: npt.NDArray[np.integer],
    genres_NK: npt.NDArray[np.integer] | None = None,
) -> Measurement:
    """Measure from what a classifier told.

    Args:
        probabilities_NK: Rows sum to 1.
        labels_N: True genres, in [0, K).
        genres_NK: Where covers may have several genres: 1 for each of them, else 0.

    Raises:
        ModelError: No covers, labels or genres that do not fit the probabilities, or probabilities
            that are not finite.
    """
    N, K = probabilities_NK.shape
    labels = labels_N.astype(np.int64)
    if N == 0 or len(labels) != N:
        raise ModelError(
            f"a measurement needs one label per cover and at least one, got {N} covers "
            f"and {len(labels)} labels"
        )
    if labels.min() < 0 or labels.max() >= K:
        raise ModelError(f"labels must lie in 0 to {K - 1}, got {labels.min()} to {labels.max()}")
    if genres_NK is not None and genres_NK.shape != (N, K):
        raise ModelError(
            f"a measurement needs a mark per cover and genre, {N} x {K}, got "
            f"{' x '.join(map(str, genres_NK.shape))}"
        )
    if not np.isfinite(probabilities_NK).all():
        broken = int((~np.isfinite(probabilities_NK)).any(axis=1).sum())
        raise ModelError(
            f"probabilities must be finite, those of {broken} of {N} covers are not; "
            "the classifier's weights are broken"
        )
    metrics = Metrics.of(probabilities_NK, labels, genres_NK)
    return Measurement(
        n=N,
        top1_interval=wilson_interval(round(metrics.top1 * N), N),
        ece=expected_calibration_error(probabilities_NK, labels),
        **metrics.values,
    )


def measure_genres(
    probabilities_NK: Floats, labels_N: npt.NDArray[np.integer], genres: Sequence[str]
) -> tuple[GenreMeasurement, ...]:
    """Measure each genre by itself.

    Args:
        probabilities_NK: Rows sum to 1.
        labels_N: True genres, the primary ones of several, in [0, K).
        genres: Names, in the order of the columns.
    """
    confusion_KK = confusion(probabilities_NK, labels_N.astype(np.int64))
    measured = []
    for index, genre in enumerate(genres):
        hits = int(confusion_KK[index, index])
        n, given = int(confusion_KK[index].sum()), int(confusion_KK[:, index].sum())
        measured.append(
            GenreMeasurement(
                genre=genre,
                n=n,
                recall=hits / n if n else None,
                recall_interval=wilson_interval(hits, n),
                precision=hits / given if given else None,
            )
        )
    return tuple(measured)


def measure_model(model: nn.Module, input_spec: InputSpec, batches: Batches) -> Measurement:
    """Measure a classifier in float32, as an exported one computes, convolutions on a GPU included.

    Args:
        model: Gives (B, K) logits; left in eval mode.
        input_spec: Of the backbone.
        batches: On the model's device.

    Raises:
        OutOfMemory: Not even one cover at a time fits.
        ModelError: No covers, or logits that are not finite.
    """
    return measure_probabilities(*predict_probabilities(model, input_spec, batches))


def predict_probabilities(model: nn.Module, input_spec: InputSpec, batches: Batches) -> Predictions:
    """Return what a classifier tells of each cover, computed as `measure_model` does.

    Args:
        model: Gives (B, K) logits; left in eval mode.
        input_spec: Of the backbone.
        batches: On the model's device.

    Raises:
        OutOfMemory: Not even one cover at a time fits.
        ModelError: No covers.
    """
    model.eval()
    micro = MicroBatches(next(model.parameters()).device)
    probabilities, labels, genres = [], [], []
    with torch.inference_mode(), without_tf32():
        for images_BHWC, labels_B, genres_BK in batches:
            logits_BK = micro.run(
                len(labels_B), partial(_logits_of, model, input_spec, images_BHWC)
            )
            probabilities.append(torch.softmax(logits_BK.double(), dim=1).cpu())
            labels.append(labels_B.cpu())
            if genres_BK is not None:
                genres.append(genres_BK.cpu())
    if not labels:
        raise ModelError("a measurement needs at least one cover, got none")
    return Predictions(
        torch.cat(probabilities).numpy(),
        torch.cat(labels).numpy(),
        torch.cat(genres).numpy() if genres else None,
    )


def _logits_of(
    model: nn.Module, input_spec: InputSpec, images_BHWC: Tensor, parts: Sequence[slice]
) -> Tensor:
    return torch.cat([model(input_spec.normalise(images_BHWC[part])) for part in parts])
