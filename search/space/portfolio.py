"""What is tried before the sampler chooses: the yardstick, then recipes that did well before.

The yardstick is what a hurried person does (two epochs, Adam 1e-3, random head); every search
measures it, because the distance to it is what the search is worth.

First those of the user's earlier runs (`search.space.warm_start`), then those that are known to be
good: the one that ended best first, for it takes longest, then the cheap one, which is done soon.

All are points of the search space, so that the sampler learns from them. The known ones answer to
what is known about fine-tuning on small sets: a head that starts from a linear probe keeps early
gradients from distorting the features (Kumar et al. 2022, arXiv:2202.10054); lower layers want
smaller steps (Howard and Ruder 2018, arXiv:1801.06146); mixed covers keep a model from learning a
few thousand by heart (Zhang et al. 2018, arXiv:1710.09412). What was measured: `docs/recipes.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from covertune.search.record.trial_record import ROLE_UNTUNED, TrialRecord
from covertune.search.space.search_space import BackboneOptions, SearchSpace
from covertune.search.space.warm_start import EarlierRecipe

__all__ = ["Portfolio"]

_SHARED: dict[str, Any] = {
    "weight_decay": 0.02,
    "warmup_epochs": 0.3,
    "label_smoothing": 0.1,
    "drop_rate": 0.2,
    "mixing": "none",
    "ema": False,
    "batch_size": 32,
    "augment_strength": 0.3,
}

_TRANSFER: dict[str, dict[str, Any]] = {
    "fresh head, all of it": {
        "head_init": "zero",
        "lr_head": 2e-4,
        "lr_backbone": 2.5e-4,
        "layer_decay": 1.0,
        "batch_norm": "frozen",
        "frozen_share": 0.0,
        "batch_size": 64,
        "ema": True,
        "ema_decay": 0.98,
        "augment_strength": 0.1,
        "drop_rate": 0.1,
    },
    "probe, then the top": {
        "head_init": "probe",
        "lr_head": 1e-3,
        "lr_backbone": 3e-4,
        "layer_decay": 0.6,
        "batch_norm": "frozen",
        "frozen_share": 0.75,
        "batch_size": 16,
        "mixing": "mixup",
        "mixup_alpha": 0.7,
        "ema": True,
        "ema_decay": 0.97,
        "augment_strength": 0.1,
        "drop_rate": 0.4,
        "label_smoothing": 0.05,
    },
    "probe, then all of it": {
        "head_init": "probe",
        "lr_head": 3e-4,
        "lr_backbone": 3e-4,
        "layer_decay": 0.75,
        "batch_norm": "frozen",
        "frozen_share": 0.0,
        "mixing": "mixup",
        "mixup_alpha": 0.4,
        "augment_strength": 0.6,
        "drop_rate": 0.3,
    },
}

_SCRATCH: dict[str, dict[str, Any]] = {
    "from scratch": {"scratch.lr": 2e-3, "augment_strength": 0.2, "drop_rate": 0.1},
}


class Portfolio:
    """The yardstick, the earlier recipes, and the known ones, each tried once per backbone."""

    def __init__(self, space: SearchSpace, earlier: Sequence[EarlierRecipe] = ()) -> None:
        """List what there is to try on this space, the yardstick first.

        Args:
            space: Of the search.
            earlier: Recipes of its backbones that did well in earlier runs, best first.
        """
        self._entries: list[tuple[str, dict[str, Any]]] = [(ROLE_UNTUNED, {})]
        self._entries += [(given.role, space.recipe_to_params(given.recipe)) for given in earlier]
        for options in space.backbones:
            chosen = _TRANSFER if options.pretrained else _SCRATCH
            for name, recipe in chosen.items():
                answers = _recipe_to_params(space, options, recipe)
                if not any(answers.items() <= known.items() for _, known in self._entries):
                    self._entries.append((f"recipe: {name}", answers))

    def enqueue_next(self, study: optuna.Study) -> None:
        """Make the next entry the study has not seen the one it hands out next, if any is left."""
        seen = {
            (record.role, record.meant_for)
            for record in map(TrialRecord, study.get_trials(deepcopy=False))
        }
        for role, answers in self._entries:
            backbone = answers.get("backbone")
            if (role, backbone) not in seen:
                study.enqueue_trial(answers, user_attrs=TrialRecord.enqueued(role, backbone))
                return


def _recipe_to_params(
    space: SearchSpace, options: BackboneOptions, recipe: dict[str, Any]
) -> dict[str, Any]:
    """Return a recipe as answers to the questions the space asks.

    Answers the space does not ask for are ignored by Optuna, so a head from a probe that does not
    exist falls back to a fresh one by itself.
    """
    answers = {
        "backbone": options.name,
        f"{options.name}.image_px": max(options.image_px),
        "fit": options.fit,
        **_SHARED,
        **recipe,
    }
    share = answers.pop("frozen_share", None)
    if share is not None:
        answers[f"{options.name}.frozen_stages"] = round(share * (options.stages - 1))
    return answers
