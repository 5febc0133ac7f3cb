"""An exponential moving average of a model's weights.

The decay warms up as in Abadi et al.'s TensorFlow (`ExponentialMovingAverage` with `num_updates`):
min(decay, (1 + t) / (10 + t)), so that the random head is soon forgotten. torch's `AveragedModel`
knows no such warm-up and renames the entries of the state dict.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["EmaModel"]


class EmaModel:
    """The averaged copy of a model, in eval mode.

    Args:
        model: Copied as it stands.
        decay: Of the average once it is warm.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights; running statistics are averaged alike.

        Args:
            model: The one that was copied.
            step: t, optimiser steps done.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged: list[Tensor] = []
        current: list[Tensor] = []
        for mine, theirs in zip(
            self.module.state_dict().values(), model.state_dict().values(), strict=True
        ):
            if mine.is_floating_point():
                averaged.append(mine)
                current.append(theirs)
            else:
                mine.copy_(theirs)
        torch._foreach_lerp_(averaged, current, 1 - decay)
