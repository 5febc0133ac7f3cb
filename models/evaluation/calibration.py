"""How sure a classifier may be of itself: one temperature for all its logits.

Temperature scaling of Guo et al. 2017 (arXiv:1706.04599): divided by T, the logits keep their
order, and the confidence comes near the accuracy. T minimises the negative log-likelihood on
validation covers. That is convex in 1 / T, so its slope is followed to 0 by bisection.

Differs from the paper: the targets are smoothed by 1 / (N + 2), as Platt 1999 does for his sigmoid,
so that a few covers without an error do not make a model certain.

Shapes: N covers, K genres.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from covertune.models.backbones.heads import head_of
from covertune.models.evaluation.measure import Predictions
from covertune.models.metrics import Floats, Ints, expected_calibration_error

__all__ = [
    "Calibration",
    "at_temperature",
    "calibrate",
    "calibrated",
    "fit_temperature",
    "fold_temperature",
    "log_loss",
]

_COLDEST, _HOTTEST = 0.05, 100.0
_HALVINGS = 60
_LEAST_PROBABILITY = np.finfo(np.float64).tiny  # a classifier may be very sure


class Calibration(BaseModel):
    """One temperature for all logits (Guo et al. 2017, arXiv:1706.04599).

    It is folded into the classifier's weights: whoever loads them need not know it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(gt=0, description="T; the logits were divided by it.")
    covers: int = Field(description="Validation covers it was fitted on.")
    val_loss_before: float = Field(description="Mean cross-entropy there, uncalibrated.")
    val_loss_after: float = Field(description="The same, calibrated.")
    val_ece_before: float = Field(description="Expected calibration error, uncalibrated.")
    val_ece_after: float = Field(description="The same, calibrated.")
    test_loss_before: float | None = Field(
        default=None, description="On test covers, uncalibrated; null if not measured."
    )
    test_loss_after: float | None = Field(default=None, description="The same, calibrated.")
    test_ece_before: float | None = Field(
        default=None, description="On test covers, uncalibrated; null if not measured."
    )
    test_ece_after: float | None = Field(default=None, description="The same, calibrated.")


def calibrate(val: Predictions, test: Predictions | None = None) -> Calibration:
    """Fit a temperature on validation covers, and tell what it does.

    Args:
        val: What the uncalibrated classifier told of them.
        test: And of test covers, which have no say.
    """
    temperature = fit_temperature(val.probabilities_NK, val.labels_N)

    def measures(told: Predictions, split: str) -> dict[str, float]:
        found = {}
        for when, probabilities_NK in (
            ("before", told.probabilities_NK),
            ("after", at_temperature(told.probabilities_NK, temperature)),
        ):
            found[f"{split}_loss_{when}"] = log_loss(probabilities_NK, told.labels_N)
            found[f"{split}_ece_{when}"] = expected_calibration_error(
                probabilities_NK, told.labels_N
            )
        return found

    return Calibration(
        temperature=temperature,
        covers=len(val.labels_N),
        **measures(val, "val"),
        **({} if test is None else measures(test, "test")),
    )


def fit_temperature(probabilities_NK: Floats, labels_N: Ints) -> float:
    """Return the temperature that suits a classifier.

    Args:
        probabilities_NK: What it told of validation covers; rows sum to 1.
        labels_N: Their true genres.

    Returns:
        T, between 0.05 and 100; above 1 for a classifier that is too sure of itself.
    """
    logits_NK = _logits(probabilities_NK)
    N = len(logits_NK)
    smoothing = 1 / (N + 2)
    true_N = logits_NK[np.arange(N), labels_N]
    target = float((1 - smoothing) * true_N.mean() + smoothing * logits_NK.mean())

    def slope(sharpness: float) -> float:
        """Of the negative log-likelihood, by 1 / T."""
        expected_N = (_softmax(logits_NK * sharpness) * logits_NK).sum(axis=1)
        return float(expected_N.mean()) - target

    low, high = math.log(1 / _HOTTEST), math.log(1 / _COLDEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if slope(math.exp(middle)) > 0:
            high = middle
        else:
            low = middle
    return math.exp(-(low + high) / 2)


def at_temperature(probabilities_NK: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Return what the classifier tells once its logits are divided by a temperature."""
    return _softmax(_logits(probabilities_NK) / temperature)


def calibrated(told: Predictions, temperature: float) -> Predictions:
    """Return what the classifier tells of the same covers at a temperature."""
    return told._replace(probabilities_NK=at_temperature(told.probabilities_NK, temperature))


def log_loss(probabilities_NK: Floats, labels_N: Ints) -> float:
    """Return the mean cross-entropy."""
    return float(-_logits(probabilities_NK)[np.arange(len(labels_N)), labels_N].mean())


def fold_temperature(model: nn.Module, temperature: float) -> None:
    """Divide the logits of a classifier by a temperature, in place, in its last layer's weights.

    Args:
        model: With a genre head.
        temperature: T; may be that of an already calibrated model, which is then multiplied.
    """
    head = head_of(model)
    with torch.no_grad():
        head.weight.div_(temperature)
        head.bias.div_(temperature)


def _logits(probabilities_NK: Floats) -> npt.NDArray[np.float64]:
    """Return logits up to a constant a row, which changes no probability."""
    return np.log(np.maximum(probabilities_NK.astype(np.float64), _LEAST_PROBABILITY))


def _softmax(logits_NK: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    normalised: npt.NDArray[np.float64] = shifted_NK / shifted_NK.sum(axis=1, keepdims=True)
    return normalised
