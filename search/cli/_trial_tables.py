"""How trials look on the terminal."""

from __future__ import annotations

from typing import Final

from optuna.trial import FrozenTrial
from rich.table import Table
from rich.text import Text

from models import Recipe
from search.cli._console import show_duration
from search.cli._tables import input_size, plain_table
from search.record.study import ROLE_SAMPLED, TrialRow, recipe_of, trial_rows

__all__ = ["STATE_STYLES", "recipe_summary", "trial_summary", "trials_table"]

STATE_STYLES: Final = {
    "RUNNING": "cyan",
    "COMPLETE": "green",
    "PRUNED": "dim",
    "FAIL": "red",
    "WAITING": "dim",
}


def recipe_summary(recipe: Recipe, *, backbone: bool = True) -> str:
    """The settings that tell recipes apart, in a few words; where it is known, without backbone."""
    parts = [recipe.backbone, input_size(recipe)] if backbone else []
    parts.append(f"{recipe.head_init} head")
    if recipe.frozen_stages:
        parts.append(f"{recipe.frozen_stages} stages frozen")
    parts.append(f"lr {recipe.lr_head:.0e}/{recipe.lr_backbone:.0e}")
    parts.append(f"batch {recipe.batch_size}")
    if recipe.mixup_alpha:
        parts.append("mixup")
    if recipe.cutmix_alpha:
        parts.append("cutmix")
    if recipe.ema_decay is not None:
        parts.append("ema")
    return ", ".join(parts)


def trial_summary(
    role: str, recipe: Recipe, state: str, reason: str, *, backbone: bool = True
) -> str:
    """Why a trial was tried, its recipe, and why it ended; where it failed, that comes first."""
    text = recipe_summary(recipe, backbone=backbone)
    if role != ROLE_SAMPLED:
        text = f"{role.removeprefix('recipe: ')}: {text}"
    if not reason:
        return text
    return f"({reason})  {text}" if state == "FAIL" else f"{text}  ({reason})"


def trials_table(trials: list[FrozenTrial]) -> Table:
    """A trial a line, the best first, failed and unmeasured ones last.

    Backbone, input size and device stand below, once, where all trials have them in common.
    """
    recipes = {trial.number: recipe_of(trial) for trial in trials if "recipe" in trial.user_attrs}
    inputs = {f"{recipe.backbone}, {input_size(recipe)}" for recipe in recipes.values()}
    devices = {device for trial in trials if (device := trial.user_attrs.get("device"))}
    device_column = ["device"] if len(devices) > 1 else []
    table = plain_table(
        "trial", "state", "top-1", "epochs", "time", *device_column, left=2, wide="recipe"
    )
    for row, trial in sorted(zip(trial_rows(trials), trials, strict=True), key=_best_first):
        recipe, reason = recipes.get(row.number), row.reason or ""
        role = trial.user_attrs.get("role", ROLE_SAMPLED)
        table.add_row(
            str(row.number),
            Text(row.state.lower(), style=STATE_STYLES[row.state]),
            "-" if row.value is None else f"{row.value:.3f}",
            str(row.epochs),
            show_duration(row.seconds),
            *([row.device or "-"] if device_column else []),
            Text(
                reason
                if recipe is None
                else trial_summary(role, recipe, row.state, reason, backbone=len(inputs) > 1)
            ),
        )
    shared = [*(inputs if len(inputs) == 1 else ()), *(devices if len(devices) == 1 else ())]
    if shared:
        table.caption = f"all: {', '.join(shared)}"
        table.caption_justify = "left"
    return table


def _best_first(pair: tuple[TrialRow, FrozenTrial]) -> tuple[bool, float, int]:
    row = pair[0]
    return row.value is None, -(row.value or 0.0), row.number
