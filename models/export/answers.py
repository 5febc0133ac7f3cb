"""Whether two classifiers are one: their logits on the same covers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["TOLERANCE", "logits_of", "same_answers"]

TOLERANCE = 1e-3
"""Of the spread of the logits. Two builds of one network differ by some 1e-6 of it, networks that
pad otherwise by a tenth and more. Probabilities alone would not tell: those of an untrained network
are all alike."""


def logits_of(model: nn.Module, pixel_values: Tensor) -> Tensor:
    """Turn (B, 3, H, W) into (B, K), without gradients."""
    with torch.inference_mode():
        logits_BK: Tensor = model(pixel_values)
    return logits_BK


def same_answers(logits_BK: Tensor, wanted_BK: Tensor) -> bool:
    """Tell whether logits differ by rounding alone; not if they are no numbers."""
    if logits_BK.shape != wanted_BK.shape:
        return False
    spread = max(float(wanted_BK.std()), 1e-6)
    return bool(((logits_BK - wanted_BK).abs().max() / spread) <= TOLERANCE)
