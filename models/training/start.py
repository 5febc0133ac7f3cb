"""The classifier that a recipe starts from."""

from __future__ import annotations

import torch
from torch import nn

from covertune.models.backbones import get_backbone
from covertune.models.backbones.heads import HeadWeights, head_of, load_head
from covertune.models.errors import ModelError
from covertune.models.training.random_state import forked_random_state
from covertune.models.training.recipe import Recipe

__all__ = ["build_start"]


def build_start(
    recipe: Recipe,
    num_genres: int,
    device: torch.device,
    *,
    head: HeadWeights | None,
    load_weights: bool,
) -> nn.Module:
    """Build the backbone with the head and the weights that a recipe asks for.

    Args:
        recipe: Names them, the seed of what is random, and the memory layout.
        num_genres: K.
        device: Where it goes.
        head: The probe's classifier, for `head_init: probe`.
        load_weights: False leaves all weights random, for a state that is to be restored.

    Raises:
        WeightsError: The weights cannot be had or do not fit.
        ModelError: The recipe does not fit the backbone, or the probe's head is missing.
    """
    with forked_random_state(device):
        torch.manual_seed(recipe.seed)
        model = get_backbone(recipe.backbone).build(
            num_genres,
            image_px=recipe.image_px,
            weights=recipe.weights if load_weights else "none",
            drop_rate=recipe.drop_rate,
        )
    if load_weights and recipe.head_init == "probe":
        if head is None:
            raise ModelError("head_init 'probe' needs the head of a fitted probe, got none")
        load_head(model, head)
    elif recipe.head_init == "zero":
        nn.init.zeros_(head_of(model).weight)
    model.to(device)
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    return model
