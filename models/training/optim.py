"""Optimisers with a learning rate per stage, and the schedule over a run.

Layer-wise decay as in Clark et al. 2020 (ELECTRA, arXiv:2003.10555): the last stage learns at
`lr_backbone`, each one below at the rate above it times `layer_decay`; the head at `lr_head`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from covertune.models.backbones.heads import head_of
from covertune.models.backbones.stages import Stage
from covertune.models.training.recipe import Recipe

__all__ = ["build_optimizer", "learning_rates", "lr_factor", "set_learning_rates"]


def build_optimizer(recipe: Recipe, model: nn.Module, stages: Sequence[Stage]) -> Optimizer:
    """Build an optimiser over all parameters that ask for gradients.

    Every group keeps its rate after warm-up in `peak_lr`. One-dimensional parameters (biases and
    normalisations) are spared weight decay, as in He et al. 2019 (arXiv:1812.01187).
    """
    groups: list[dict[str, Any]] = []
    sources = [("head", list(head_of(model).parameters()), recipe.lr_head)]
    for depth, stage in enumerate(reversed(stages)):
        rate = recipe.lr_backbone * recipe.layer_decay**depth
        sources.append((stage.name, list(stage.parameters()), rate))
    for name, parameters, rate in sources:
        trained = [p for p in parameters if p.requires_grad]
        for decay, chosen in (
            (recipe.weight_decay, [p for p in trained if p.ndim > 1]),
            (0.0, [p for p in trained if p.ndim <= 1]),
        ):
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": rate,
                        "peak_lr": rate,
                        "weight_decay": decay,
                        "name": name,
                    }
                )
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda", "mps")
    if recipe.optimizer == "sgd":
        return SGD(groups, momentum=0.9, nesterov=True, fused=fused)
    if recipe.optimizer == "adam":
        return Adam(groups, fused=fused)
    return AdamW(groups, fused=fused)


def lr_factor(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return what the learning rates are multiplied by at a step.

    Linear warm-up to 1 over `warmup_epochs`, then constant or half a cosine (Loshchilov and Hutter
    2017, arXiv:1608.03983, without restarts) that would reach 0 one step after the last.

    Args:
        recipe: Its schedule, epochs and warm-up.
        step: Optimiser steps done so far.
        steps_per_epoch: Optimiser steps of one epoch.
    """
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return min(1.0, (step + 1) / (warmup + 1))
    if recipe.schedule == "constant":
        return 1.0
    total = recipe.epochs * steps_per_epoch
    done = min(1.0, (step - warmup) / max(total - warmup, 1.0))
    return 0.5 * (1.0 + math.cos(math.pi * done))


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group to its peak rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def learning_rates(optimizer: Optimizer) -> tuple[float, float]:
    """Return the rates in use: of the head, and of the topmost stage that learns (0 if none)."""
    rates = {True: 0.0, False: 0.0}
    for group in reversed(optimizer.param_groups):
        rates[group["name"] == "head"] = float(group["lr"])
    return rates[True], rates[False]
