"""What a search prints at its end: the leaderboard, what it was worth, what to type next."""

from __future__ import annotations

import os

from rich.text import Text

from covertune.search.cli.render.console import console, show_bytes, show_duration
from covertune.search.cli.render.tables import outcome_table, plain_table
from covertune.search.cli.render.trial_tables import (
    STATE_STYLES,
    recipe_summary,
    recipe_table,
)
from covertune.search.finish.gap import Gap
from covertune.search.finish.outcome import Outcome
from covertune.search.plan import Baseline
from covertune.search.record.study import ranked, recipe_of
from covertune.search.run import SearchResult
from covertune.wording import counted, escaped, quoted_path

__all__ = ["show_result"]

_LEADERS = 8


def show_result(result: SearchResult) -> None:
    """Print the end of a search."""
    outcome = result.outcome
    console.print()
    console.print(_leaderboard(result))
    console.print()
    console.print(outcome_table(outcome))
    console.print()
    console.print(escaped(_in_words(outcome)), highlight=False, markup=False, soft_wrap=True)
    console.print(outcome.mattered.in_words, highlight=False, markup=False, soft_wrap=True)
    console.print()
    number = _best_number(outcome)
    console.print(
        f"recipe of trial {number}, {escaped(_which(outcome))}:", highlight=False, markup=False
    )
    console.print(recipe_table(recipe_of(result.trials[number]).model_dump(mode="json")))
    console.print()
    shown = escaped(os.path.relpath(outcome.model))
    run, model, store = (
        quoted_path(os.path.relpath(path))
        for path in (result.run.path, outcome.model, result.run.config().store or ".")
    )
    console.out(f"model: {shown}\n", highlight=False, style="bold")
    console.print("next:", highlight=False)
    for command, purpose in (
        (f"covertune predict {model} COVER.jpg", "genres of a cover"),
        (f"covertune evaluate {model} {store}", "measure it again"),
        (f"covertune dashboard {run}", "learning curves, parameters, confusion matrices"),
        (f"covertune trials {run}", "all trials"),
        (f"covertune trials {run} --trial {number}", "this recipe, and what it measured"),
        (f"covertune resume {run} --trials {outcome.trials * 2}", "search on"),
    ):
        console.print(Text(f"  {command}  ").append(purpose, style="dim"), soft_wrap=True)


def _best_number(outcome: Outcome) -> int:
    """Return the trial whose recipe is worth reading: the exported one, or the best."""
    if outcome.best.trial is not None:
        return outcome.best.trial
    assert outcome.best_trial.trial is not None
    return outcome.best_trial.trial


def _which(outcome: Outcome) -> str:
    return "the best" if outcome.best.trial is None else "the model"


def _leaderboard(result: SearchResult) -> object:
    table = plain_table("rank", "trial", "state", "epochs", "top-1", left=3, wide="recipe")
    for rank, trial in enumerate(ranked(result.trials)[:_LEADERS], start=1):
        table.add_row(
            str(rank),
            str(trial.number),
            Text(trial.state.name.lower(), style=STATE_STYLES[trial.state.name]),
            str(len(trial.intermediate_values)),
            f"{trial.value:.3f}",
            recipe_summary(recipe_of(trial)),
            style="bold" if rank == 1 else None,
        )
    return table


def _in_words(outcome: Outcome) -> str:
    sentences = [
        f"{counted(outcome.trials, 'trial')} in {show_duration(outcome.elapsed_s)}: "
        f"{outcome.completed} ran to the end, {outcome.pruned} stopped early, "
        f"{outcome.failed} failed."
    ]
    if outcome.average_of is not None:
        sentences.append(f"The model is the average of {outcome.average_of}.")
    elif outcome.best != outcome.best_trial:
        sentences.append(
            f"The model is trial {outcome.best.trial}: the best trial is not ahead of it by more "
            "than a standard error, and its validation loss is lower."
        )
    if outcome.untuned is not None and outcome.untuned.trial == outcome.best.trial:
        sentences.append("Nothing was better than the untuned recipe, so that is the model.")
    sentences += _against_untuned(outcome)
    calibration = outcome.calibration
    sentences.append(
        f"Its logits are divided by {calibration.temperature:.3g}, fitted on "
        f"{calibration.covers:,} validation covers: log loss on test "
        f"{calibration.test_loss_before:.3f} before, {calibration.test_loss_after:.3f} after."
    )
    sentences += _against_baseline(outcome)
    if outcome.whole_search_s is not None:
        sentences.append(
            "This was a rehearsal on a small sample of the training covers; the same trials on "
            f"the whole store would take about {show_duration(outcome.whole_search_s)}."
        )
    sentences.append(
        f"Checkpoints take {show_bytes(outcome.checkpoint_bytes)}, and took "
        f"{show_bytes(outcome.checkpoint_peak_bytes)} at most."
    )
    return " ".join(sentences)


def _against_untuned(outcome: Outcome) -> list[str]:
    if outcome.untuned is None or outcome.untuned.trial == outcome.best.trial:
        return []
    untuned, best = outcome.untuned.test, outcome.best.test
    gap = Gap(untuned.top1, best.top1, Baseline("", None), best.n)
    ahead = "" if gap.ahead_in_words is None else f", {gap.ahead_in_words}"
    return [f"On test: untuned {untuned.top1:.3f}, the model {best.top1:.3f}{ahead}."]


def _against_baseline(outcome: Outcome) -> list[str]:
    baseline, untuned = outcome.baseline_top1, outcome.untuned
    if baseline is None:
        return []
    told = [f"Baseline ({outcome.baseline_name}): {baseline:.3f}."]
    if outcome.gap_closed is not None and outcome.gap_closed_interval is not None:
        closed, low, high = (
            f"{100 * share:.0f} %" for share in (outcome.gap_closed, *outcome.gap_closed_interval)
        )
        told.append(f"Gap closed: {closed}, 95 % interval {low} to {high}.")
    elif untuned is not None and untuned.test.top1 >= baseline:
        told.append("The untuned recipe is not behind the baseline, so there is no gap to close.")
    elif untuned is not None:
        told.append(
            f"{untuned.test.n:,} test covers cannot tell it from the untuned recipe, so how much "
            "of that gap is closed has no meaning."
        )
    return told
