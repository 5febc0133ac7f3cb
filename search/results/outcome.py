"""The end of a search: untuned recipe, frozen probe, best trial, their average, the gap closed.

Here, and only after the last trial, the test split is read: once for each of these models. A
search that is given more trials ends anew, and measures its winner anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import optuna
import ray
import torch
from optuna.trial import FrozenTrial
from pydantic import BaseModel, Field
from torch import nn

from data_pipeline import CoverRefs, Fit
from models import Measurement, Recipe, get_backbone, measure_model
from search.constants import ANY_TOP1
from search.machine.devices import pick_device
from search.machine.remote import results_of
from search.observer import SearchObserver
from search.record.retention import Retention
from search.record.study import ROLE_UNTUNED, ranked, recipe_of
from search.results.export import export_model, export_trial, trial_model
from search.results.gap import Gap, baseline_of
from search.results.insight import Insight, what_mattered
from search.results.soup import Ingredients, Soup
from search.staging.feed import Feed
from search.staging.scouting import Probe, probe_model
from search.staging.stage import Stage

__all__ = ["Outcome", "Score", "conclude"]

LoadModel = Callable[[], nn.Module]
"""Brings a model, on the CPU, ready to predict."""

_BATCH = 64


class Score(BaseModel):
    """One model's accuracy on both splits."""

    what: str
    trial: int | None
    """None for a probe or an average, which are no trials."""
    val_top1: float
    test: Measurement
    val_any_top1: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Only where covers may have several genres; `test` has one then too."""


class Outcome(BaseModel):
    """What the search was worth; written to RUN/outcome.json."""

    untuned: Score | None
    probe: Score | None
    best_trial: Score
    best: Score
    """Of the model in RUN/model: the best trial, or the average of it and others."""
    average_of: str | None
    """Which those are."""
    baseline_name: str
    baseline_top1: float | None
    gap_closed: float | None
    """(best - untuned) / (baseline - untuned) on the test split; None if it has no meaning."""
    trials: int
    completed: int
    pruned: int
    failed: int
    elapsed_s: float
    whole_search_s: float | None
    """After a rehearsal: estimated seconds of the same trials on the whole store."""
    mattered: Insight
    """Which parameters told the good trials from the poor ones."""
    checkpoint_bytes: int
    """What the checkpoints take on disk."""
    checkpoint_peak_bytes: int
    """The most they took during the search."""
    model: Path


def conclude(
    stage: Stage,
    study: optuna.Study,
    elapsed_s: float,
    retention: Retention,
    observer: SearchObserver,
) -> Outcome:
    """Measure the winner and its yardsticks on the test split, export it, write the outcome.

    The outcome is written last: a run without one is concluded when it is resumed.

    Args:
        stage: Of the search.
        study: With one measured trial at least.
        elapsed_s: What the search took.
        retention: Knows what the checkpoints take.
        observer: Hears what happens.
    """
    run, config, probes = stage.run, stage.config, stage.probes
    num_genres = len(stage.store.genres)
    trials = study.get_trials(deepcopy=False)
    leaders = ranked(trials)
    best = leaders[0]
    recipe = recipe_of(best)
    yardsticks = (trial for trial in leaders if trial.user_attrs.get("role") == ROLE_UNTUNED)
    untuned = next((t for t in yardsticks if run.checkpoint(t.number).exists()), None)
    probe = max(probes, key=lambda probe: probe.top1, default=None)
    observer.stage("averaging the best models")
    ingredients = Ingredients.of(
        run, leaders, probes, config.weights_of(recipe.backbone), num_genres
    )
    soup = ingredients.greedy_soup(stage.splits[recipe.image_px, recipe.fit]["val"], stage.slots)

    observer.stage("measuring the winner on the test split")
    models: dict[str, tuple[LoadModel, Recipe | Probe]] = {
        "best trial": (partial(trial_model, run, best), recipe)
    }
    if soup is not None:
        models["average"] = partial(ingredients.model, soup.shares), recipe
    if untuned is not None:
        models["untuned"] = partial(trial_model, run, untuned), recipe_of(untuned)
    if probe is not None:
        weights = config.weights_of(probe.backbone)
        models["probe"] = partial(probe_model, probe, weights, num_genres), probe
    tested = _tested(stage, models)

    scores = {"best trial": _trial_score("best trial", best, tested["best trial"])}
    scores["best"] = scores["best trial"]
    if soup is not None:
        scores["best"] = _score("average of the best", soup, tested["average"])
    if untuned is not None:
        scores["untuned"] = _trial_score("untuned recipe", untuned, tested["untuned"])
    if probe is not None:
        scores["probe"] = _score("frozen probe", probe, tested["probe"])
    for partly in run.path.glob(".model.*.partial"):  # of a process that was killed here
        shutil.rmtree(partly, ignore_errors=True)
    model = run.path / "model"
    if soup is None:
        export_trial(run, model, best.number, test=scores["best"].test, replace=True)
    else:
        export_model(
            run,
            model,
            ingredients.model(soup.shares),
            recipe,
            validation=soup.measured(),
            test=scores["best"].test,
            origin={"average_of": soup.in_words},
            replace=True,
        )
    name, baseline = baseline_of(config, tested["probe"].top1 if probe is not None else None)
    untuned_top1 = tested["untuned"].top1 if untuned is not None else None
    states = [trial.state.name for trial in trials]
    outcome = Outcome(
        untuned=scores.get("untuned"),
        probe=scores.get("probe"),
        best_trial=scores["best trial"],
        best=scores["best"],
        average_of=None if soup is None else soup.in_words,
        baseline_name=name,
        baseline_top1=baseline,
        gap_closed=Gap(untuned_top1, scores["best"].test.top1, baseline, name).closed,
        trials=len(trials),
        completed=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        elapsed_s=elapsed_s,
        whole_search_s=_whole_search_s(stage, trials) if config.rehearse else None,
        mattered=what_mattered(trials, config.grace_epochs, seed=config.seed),
        checkpoint_bytes=retention.now_bytes,
        checkpoint_peak_bytes=retention.peak_bytes,
        model=model,
    )
    run.write_outcome(outcome.model_dump_json(indent=2))
    return outcome


def _tested(
    stage: Stage, models: dict[str, tuple[LoadModel, Recipe | Probe]]
) -> dict[str, Measurement]:
    """What each of the models measures on the test split, side by side."""
    slots = stage.slots
    test = _test_covers(stage.feed, [kind for _, kind in models.values()])
    measure = ray.remote(num_cpus=slots.cpus_per_trial, num_gpus=slots.gpus_per_trial)(_measure)
    futures = [
        measure.remote(load, kind.backbone, test[kind.image_px, kind.fit], slots.cpus_per_trial)
        for load, kind in models.values()
    ]
    remedy = f"`covertune resume {os.path.relpath(stage.run.path)}` tries again"
    measured = results_of(futures, "measuring on the test split", remedy=remedy)
    return dict(zip(models, measured, strict=True))


def _test_covers(feed: Feed, models: Sequence[Recipe | Probe]) -> dict[tuple[int, Fit], CoverRefs]:
    """The test split as each of the models takes it, decoded once per size."""
    fits_by_px: dict[int, set[Fit]] = {}
    for model in models:
        fits_by_px.setdefault(model.image_px, set()).add(model.fit)
    return {
        (px, fit): splits["test"]
        for px, fits in sorted(fits_by_px.items())
        for fit, splits in feed.for_the_end(px, sorted(fits)).items()
    }


def _whole_search_s(stage: Stage, trials: list[FrozenTrial]) -> float:
    """The seconds trials trained, scaled by the covers, shared among the slots."""
    trained_s = sum(
        epoch["seconds"] for trial in trials for epoch in trial.user_attrs.get("history", [])
    )
    whole = stage.store.count("train") / stage.feed.count("train")
    return float(trained_s) * whole / stage.slots.count


def _score(what: str, model: Soup | Probe, test: Measurement) -> Score:
    """Of a model that is no trial's."""
    return Score(what=what, trial=None, val_top1=model.top1, test=test, val_any_top1=model.any_top1)


def _trial_score(what: str, trial: FrozenTrial, test: Measurement) -> Score:
    assert trial.value is not None
    return Score(
        what=what,
        trial=trial.number,
        val_top1=trial.value,
        test=test,
        val_any_top1=trial.user_attrs["history"][-1].get(ANY_TOP1),
    )


def _measure(load: LoadModel, backbone: str, refs: CoverRefs, cpus: int) -> Measurement:
    """Runs in a worker."""
    torch.set_num_threads(cpus)
    device = pick_device(wants_gpu=bool(ray.get_gpu_ids()))
    batches = refs.batches(_BATCH, device, shuffle=False)
    return measure_model(load().to(device), get_backbone(backbone).input, batches.epoch(0))
