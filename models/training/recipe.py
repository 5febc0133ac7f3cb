"""A recipe: all that decides how one classifier is fine-tuned."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from covertune.vocabulary import Fit

__all__ = ["UNTUNED", "Recipe"]


class Recipe(BaseModel):
    """How to fine-tune one backbone. Learning rates are those after warm-up."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backbone: str = Field(description="What is fine-tuned, as `covertune backbones` names it.")
    weights: str = Field(
        default="default",
        description='Weights to start from: "default", "none" (from scratch) or a file.',
    )
    image_px: int = Field(ge=16, le=2048, description="Height and width of the covers.")
    fit: Fit = Field(
        default="squash",
        description="How a cover that is no square becomes one: its sides scaled each by itself, "
        "in its own shape between bars, or its middle alone.",
    )
    epochs: int = Field(ge=1, description="Passes over the training covers.")
    batch_size: int = Field(default=32, ge=2, description="Covers per optimiser step.")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        default="adamw",
        description="adamw, adam, or sgd with Nesterov momentum 0.9.",
    )
    lr_head: float = Field(gt=0, description="Learning rate of the classifier.")
    lr_backbone: float = Field(ge=0, description="Learning rate of the backbone's last stage.")
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Each stage further down learns at the rate above it times this.",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="Pull towards zero; biases and normalisations are spared.",
    )
    head_init: Literal["random", "zero", "probe"] = Field(
        default="random",
        description="Start the classifier at random, at zero or from the linear probe.",
    )
    frozen_stages: int = Field(
        default=0,
        ge=0,
        description="Stages, from the stem up, that stay as they are; all of them: linear probe.",
    )
    batch_norm: Literal["train", "frozen"] = Field(
        default="train",
        description="Whether batch normalisation goes on updating its running statistics, and "
        "normalises by the batch, or keeps to those of the weights.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        default="constant",
        description="After warm-up: keep the learning rates, or lower them along half a cosine "
        "that would reach 0 one step after the last.",
    )
    warmup_epochs: float = Field(
        default=0.0, ge=0, description="Epochs of linear warm-up; may be a fraction."
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over all genres."
    )
    mixup_alpha: float = Field(
        default=0.0, ge=0, description="Mixup's Beta(alpha, alpha); 0 is off."
    )
    cutmix_alpha: float = Field(
        default=0.0,
        ge=0,
        description="CutMix's Beta(alpha, alpha); 0 is off. With mixup: one of the two a batch.",
    )
    augment_strength: float = Field(
        default=0.0, ge=0, le=1, description="How far covers are cropped, recoloured, erased."
    )
    drop_rate: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the classifier.")
    ema_decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Measure and keep an exponential moving average of the weights; null is off.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto: bfloat16 where the device is faster with it, float32 elsewhere.",
    )
    channels_last: bool = Field(
        default=True, description="Keep maps in channels-last memory; faster on nearly all CPUs."
    )
    seed: int = Field(default=0, ge=0, description="Of the head, augmentation and dropout.")

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs must be at most epochs ({self.epochs}), got {self.warmup_epochs}"
            )
        return self


UNTUNED = Recipe(
    backbone="efficientnet_lite0",
    image_px=128,
    epochs=2,
    batch_size=32,
    optimizer="adam",
    lr_head=1e-3,
    lr_backbone=1e-3,
)
"""What one does without thinking: two epochs of plain Adam at 1e-3; the reference of a search.

Take it for another backbone with `UNTUNED.model_copy(update={...})`.
"""
