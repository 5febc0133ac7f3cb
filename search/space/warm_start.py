"""`--warm-start RUN`: what did best in earlier runs is tried first.

Only recipes are taken over, no weights and no values: what they are worth on these covers, this
search measures itself. They go into run.json, so that a resumed search needs no earlier run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from covertune.models import Recipe
from covertune.search.errors import RunError
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import ranked, read_trials, recipe_of
from covertune.search.record.trial_record import TrialRecord
from covertune.wording import few

__all__ = ["EarlierRecipe", "earlier_recipes"]

_BEST = 3


class EarlierRecipe(BaseModel):
    """A recipe that did well in an earlier run."""

    model_config = ConfigDict(frozen=True)

    role: str
    """Of the trial that tries it; says where it comes from."""
    recipe: Recipe


def earlier_recipes(paths: Sequence[Path], backbones: Sequence[str]) -> list[EarlierRecipe]:
    """Return the best few recipes of each run, in the order of the runs, best first.

    Args:
        paths: Of the runs.
        backbones: Those that the search tries; recipes of others are left out.

    Raises:
        RunError: Not a run, or it has no trial that this search can learn from.
    """
    return [earlier for path in paths for earlier in _best_of(path, backbones)]


def _best_of(path: Path, backbones: Sequence[str]) -> list[EarlierRecipe]:
    run = RunFolder.open(path)
    best = [
        (trial, recipe)
        for trial in ranked(read_trials(run))
        if not TrialRecord(trial).is_untuned and (recipe := recipe_of(trial)).backbone in backbones
    ]
    if not best:
        raise RunError(
            f"--warm-start {path}: run {run.name!r} has no measured trial of "
            f"{few(backbones, at_most=8)}; name a backbone it tried with --backbones, or "
            "another run"
        )
    return [
        EarlierRecipe(role=f"recipe: trial {trial.number} of {run.name}", recipe=recipe)
        for trial, recipe in best[:_BEST]
    ]
