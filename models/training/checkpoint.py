"""Training states on disk: written whole or not at all, read without unpickling code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from covertune.models.backbones import get_backbone
from covertune.models.errors import ModelError
from covertune.models.state import load_state
from covertune.models.training.recipe import Recipe
from covertune.whole import whole_file
from covertune.wording import first_line, reason_of

__all__ = ["model_from_checkpoint", "read_state", "write_state"]

_ENTRIES = ("recipe", "num_genres", "epoch", "step", "model", "ema", "optimizer")


def write_state(state: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values; a reader sees the old file or the new one, never a part.

    A folder that is missing is not made: the worker of a killed search would make one anew for a
    run that was moved meanwhile.

    Raises:
        ModelError: The place cannot be written.
    """
    try:
        with whole_file(path, parents=False) as out:
            torch.save(state, out)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        raise ModelError(f"cannot write the training state {path}: {reason_of(error)}") from error


def read_state(path: Path) -> dict[str, Any]:
    """Read a training state onto the CPU.

    Raises:
        ModelError: Missing, damaged, or something else.
    """
    if not path.is_file():
        raise ModelError(f"no training state at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises nearly anything over a damaged file
        raise ModelError(f"the training state {path} is damaged; take an earlier one") from error
    missing = [name for name in _ENTRIES if not isinstance(state, dict) or name not in state]
    if missing:
        raise ModelError(f"{path} holds no training state: it has no {', '.join(missing)}")
    return state  # type: ignore[no-any-return]


def model_from_checkpoint(path: Path) -> tuple[nn.Module, Recipe]:
    """Return the classifier of a saved state, on the CPU in eval mode: what `export_model` gives.

    Raises:
        ModelError: No training state, or a damaged one.
    """
    state = read_state(path)
    try:
        recipe = Recipe.model_validate(state["recipe"])
        model = get_backbone(recipe.backbone).build(
            state["num_genres"], image_px=recipe.image_px, weights="none"
        )
        load_state(model, state["ema"] or state["model"])
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # pydantic's: ValueError
        raise ModelError(
            f"the training state {path} does not fit its own recipe ({first_line(error)}); "
            "take an earlier one"
        ) from error
    return model.eval(), recipe
