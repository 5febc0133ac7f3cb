"""The search space: define-by-run, so that each trial is asked only what applies to it.

What depends on the backbone (how many stages can be frozen) carries the backbone's name; what
depends on another answer (mixing strength, the backbone's learning rate) is asked only when that
answer calls for it. A parameter with a single possible value is not asked at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optuna.trial import BaseTrial

from covertune.models import UNTUNED, Recipe
from covertune.search.plan import InputVariant, TrialPlan
from covertune.search.record.trial_record import TrialRecord
from covertune.vocabulary import Fit

__all__ = ["BackboneOptions", "SearchSpace"]

_LEAST_LR = 1e-5
_LEAST_WEIGHT_DECAY = 1e-6


@dataclass(frozen=True)
class BackboneOptions:
    """What there is to choose of one backbone, and what that depends on."""

    name: str
    stages: int
    """Blocks that can be frozen, stem first."""
    pretrained: bool
    image_px: tuple[int, ...]
    """Input sizes a trial may choose."""
    fit: Fit = "squash"
    """The fit to try first: that of the best probe."""
    channels_first: tuple[int, ...] = ()
    """Input sizes at which a trial is over sooner with maps channel by channel in memory."""


@dataclass(frozen=True)
class SearchSpace:
    """Turns an Optuna trial into a recipe."""

    plan: TrialPlan
    backbones: tuple[BackboneOptions, ...]
    probed: frozenset[InputVariant]
    """What a probe can initialise the head for."""
    fits: tuple[Fit, ...] = ("squash",)
    """How covers may meet the square."""

    def options_of(self, name: str) -> BackboneOptions:
        """Return what there is to choose of one backbone."""
        return next(options for options in self.backbones if options.name == name)

    def untuned(self) -> Recipe:
        """Return the yardstick: two epochs, Adam 1e-3 for everything, random head, nothing else."""
        options = self.backbones[0]
        return UNTUNED.model_copy(
            update={
                "backbone": options.name,
                "weights": self.plan.weights_of(options.name),
                "image_px": max(options.image_px),
                "fit": "squash" if "squash" in self.fits else self.fits[0],
                "epochs": min(UNTUNED.epochs, self.plan.epochs),
                "channels_last": max(options.image_px) not in options.channels_first,
                "seed": self.plan.seed,
            }
        )

    def suggest(self, trial: BaseTrial) -> Recipe:
        """Ask the sampler for everything a recipe needs.

        A trial whose role is `untuned` is not asked anything.
        """
        if TrialRecord(trial).is_untuned:
            return self.untuned()
        options = self.options_of(_choice(trial, "backbone", tuple(b.name for b in self.backbones)))
        image_px = _choice(trial, f"{options.name}.image_px", options.image_px)
        fit = _choice(trial, "fit", self.fits)
        recipe: dict[str, Any] = {
            "backbone": options.name,
            "weights": self.plan.weights_of(options.name),
            "image_px": image_px,
            "fit": fit,
            "epochs": self.plan.epochs,
            "channels_last": image_px not in options.channels_first,
            "seed": self.plan.seed + trial.number,
            "optimizer": "adamw",
            "schedule": "cosine",
        }
        recipe |= self._transfer(
            trial, options, InputVariant.square(options.name, image_px, fit) in self.probed
        )
        recipe |= {
            "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
            "weight_decay": trial.suggest_float("weight_decay", _LEAST_WEIGHT_DECAY, 0.3, log=True),
            "warmup_epochs": trial.suggest_float("warmup_epochs", 0.0, 1.0),
            "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
            "augment_strength": trial.suggest_float("augment_strength", 0.0, 1.0),
            "drop_rate": trial.suggest_float("drop_rate", 0.0, 0.5),
        }
        mixing = trial.suggest_categorical("mixing", ["none", "mixup", "cutmix"])
        if mixing != "none":
            recipe[f"{mixing}_alpha"] = trial.suggest_float(f"{mixing}_alpha", 0.1, 1.0)
        if trial.suggest_categorical("ema", [False, True]):
            recipe["ema_decay"] = trial.suggest_float("ema_decay", 0.9, 0.999, log=False)
        return Recipe(**recipe)

    def recipe_to_params(self, recipe: Recipe) -> dict[str, Any]:
        """Return what `suggest` has to be answered for a recipe like this one, on this space.

        Args:
            recipe: Of one of the space's backbones, perhaps from another search: an input size or
                a fit there is not becomes the nearest size, the best fit.

        Returns:
            Answers by question; those that suit no question are ignored by Optuna.
        """
        options = self.options_of(recipe.backbone)
        taken_over = {
            name: getattr(recipe, name)
            for name in (
                *("lr_head", "layer_decay", "batch_norm"),
                *("batch_size", "warmup_epochs", "label_smoothing"),
                *("augment_strength", "drop_rate", "mixup_alpha", "cutmix_alpha"),
            )
        }
        mixing = "mixup" if recipe.mixup_alpha else "cutmix" if recipe.cutmix_alpha else "none"
        adapted: dict[str, Any] = {
            "backbone": options.name,
            "head_init": "probe" if recipe.head_init == "probe" else "zero",
            f"{options.name}.image_px": min(
                options.image_px, key=lambda px: abs(px - recipe.image_px)
            ),
            "fit": recipe.fit if recipe.fit in self.fits else options.fit,
            "scratch.lr": recipe.lr_head,
            "lr_backbone": max(recipe.lr_backbone, _LEAST_LR),
            "weight_decay": max(recipe.weight_decay, _LEAST_WEIGHT_DECAY),
            f"{options.name}.frozen_stages": recipe.frozen_stages,
            "mixing": mixing,
            "ema": recipe.ema_decay is not None,
            "ema_decay": recipe.ema_decay,
        }
        return taken_over | adapted

    def _transfer(
        self, trial: BaseTrial, options: BackboneOptions, is_probed: bool
    ) -> dict[str, Any]:
        """Ask what is taken over from the pretrained backbone, and how fast it may change."""
        if not options.pretrained:
            rate = trial.suggest_float("scratch.lr", 1e-4, 1e-2, log=True)
            return {
                "lr_head": rate,
                "lr_backbone": rate,
                "head_init": "random",
                "batch_norm": "train",
            }
        answers: dict[str, Any] = {"head_init": "zero"}
        if is_probed:
            answers["head_init"] = trial.suggest_categorical("head_init", ["zero", "probe"])
        answers["lr_head"] = trial.suggest_float("lr_head", _LEAST_LR, 1e-2, log=True)
        answers["lr_backbone"] = trial.suggest_float("lr_backbone", _LEAST_LR, 3e-3, log=True)
        answers["layer_decay"] = trial.suggest_float("layer_decay", 0.5, 1.0)
        answers["batch_norm"] = trial.suggest_categorical("batch_norm", ["train", "frozen"])
        # The last stage stays free: with every stage frozen nothing is left but the probe.
        answers["frozen_stages"] = trial.suggest_int(
            f"{options.name}.frozen_stages", 0, options.stages - 1
        )
        return answers


def _choice(trial: BaseTrial, name: str, options: tuple[Any, ...]) -> Any:
    """Ask for a categorical only if there is a choice."""
    if len(options) == 1:
        return options[0]
    return trial.suggest_categorical(name, options)
