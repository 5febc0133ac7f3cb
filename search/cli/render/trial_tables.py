"""How trials look on the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from optuna.trial import FrozenTrial
from rich.table import Table
from rich.text import Text

from covertune.models import Metrics, Recipe
from covertune.search.cli.render.console import show_duration
from covertune.search.cli.render.tables import input_size, plain_table
from covertune.search.errors import RunError
from covertune.search.record.study import recipe_of
from covertune.search.record.trial_record import ROLE_SAMPLED, TrialRecord
from covertune.search.record.trial_rows import TrialRow, trial_rows
from covertune.wording import counted, escaped, few

__all__ = [
    "STATE_STYLES",
    "recipe_summary",
    "recipe_table",
    "trial_summary",
    "trial_table",
    "trials_table",
]

STATE_STYLES: Final = {
    "RUNNING": "cyan",
    "COMPLETE": "green",
    "PRUNED": "dim",
    "FAIL": "red",
    "WAITING": "dim",
}


def recipe_summary(recipe: Recipe, *, with_input: bool = True) -> str:
    """Name the settings that tell recipes apart, in a few words; with or without the input."""
    parts = [recipe.backbone, input_size(recipe)] if with_input else []
    parts.append(f"{recipe.head_init} head")
    if recipe.frozen_stages:
        parts.append(f"{counted(recipe.frozen_stages, 'stage')} frozen")
    parts.append(f"lr {recipe.lr_head:.0e}/{recipe.lr_backbone:.0e}")
    parts.append(f"batch {recipe.batch_size}")
    if recipe.mixup_alpha:
        parts.append("mixup")
    if recipe.cutmix_alpha:
        parts.append("cutmix")
    if recipe.ema_decay is not None:
        parts.append("ema")
    return escaped(", ".join(parts))


def trial_summary(
    role: str, recipe: Recipe | None, state: str, reason: str, *, with_input: bool = True
) -> str:
    """Say why a trial was tried, its recipe, and why it ended; where it failed, that first."""
    text = "" if recipe is None else recipe_summary(recipe, with_input=with_input)
    if role != ROLE_SAMPLED:
        text = f"{role.removeprefix('recipe: ')}: {text}"
    text, reason = escaped(text), escaped(reason)
    if not reason:
        return text
    return f"({reason})  {text}" if state == "FAIL" else f"{text}  ({reason})"


def trials_table(trials: list[FrozenTrial]) -> Table:
    """Show a trial a line, the best first, failed and unmeasured ones last.

    Backbone, input size and device stand below, once, where all trials have them in common.
    """
    recipes = [_recipe_of(trial) for trial in trials]
    inputs = {f"{recipe.backbone}, {input_size(recipe)}" for recipe in recipes if recipe}
    devices = {device for trial in trials if (device := TrialRecord(trial).device)}
    device_column = ["device"] if len(devices) > 1 else []
    table = plain_table(
        "trial", "state", "top-1", "epochs", "time", *device_column, left=2, wide="recipe"
    )
    rows = zip(trial_rows(trials), trials, recipes, strict=True)
    for row, trial, recipe in sorted(rows, key=lambda found: _best_first(found[0])):
        role = TrialRecord(trial).role or ROLE_SAMPLED
        table.add_row(
            str(row.number),
            Text(row.state.lower(), style=STATE_STYLES[row.state]),
            "-" if row.value is None else f"{row.value:.3f}",
            str(row.epochs),
            show_duration(row.seconds),
            *([Text(escaped(row.device or "-"))] if device_column else []),
            Text(
                trial_summary(role, recipe, row.state, row.reason or "", with_input=len(inputs) > 1)
            ),
        )
    shared = [*(inputs if len(inputs) == 1 else ()), *(devices if len(devices) == 1 else ())]
    if shared:
        table.caption = Text(f"all: {few(shared)}")
        table.caption_justify = "left"
    return table


def trial_table(row: TrialRow, model: str) -> Table:
    """Show one trial whole: how it stands, what it measured, every setting of its recipe.

    Args:
        row: Of the table of trials.
        model: Where the run's model lies.
    """
    titles = Metrics.titles()
    facts = {
        "trial": str(row.number),
        "state": row.state.lower() + (f" ({row.reason})" if row.reason else ""),
        "exported": f"to {model}" if row.exported else None,
        "role": row.role,
        **{titles[metric]: f"{value:.3f}" for metric, value in row.metrics.items()},
        "epochs": f"{row.epochs}, {show_duration(row.seconds)}" if row.epochs else None,
        "on": ", ".join(filter(None, (row.device, row.node))) or None,
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, fact in facts.items():
        if fact is not None:
            table.add_row(Text(name, style="dim"), Text(fact))
    table.add_row()
    for name, setting in row.recipe.items():
        table.add_row(Text(name, style="dim"), Text("off" if setting is None else str(setting)))
    return table


def recipe_table(settings: Mapping[str, Any]) -> Table:
    """Show every setting of a recipe, two a line, numbers to four digits."""
    table = Table.grid(padding=(0, 2, 0, 0))
    names = list(settings)
    half = (len(names) + 1) // 2
    for left, right in itertools.zip_longest(names[:half], names[half:]):
        cells = []
        for name in filter(None, (left, right)):
            cells += [Text(name, style="dim"), Text(_setting_in_words(settings[name]))]
        table.add_row(*cells)
    return table


def _setting_in_words(setting: Any) -> str:
    if setting is None:
        return "off"
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def _recipe_of(trial: FrozenTrial) -> Recipe | None:
    """Return its recipe; None for none yet, or another version's: there is more to a trial."""
    try:
        return recipe_of(trial)
    except RunError:
        return None


def _best_first(row: TrialRow) -> tuple[bool, float, int]:
    return row.value is None, -(row.value or 0.0), row.number
