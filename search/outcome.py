"""The end of a search: untuned recipe, frozen probe, best trial, named baseline, gap closed.

Here, and only after the last trial, the test split is read: once for each of the three models. A
search that is given more trials ends anew, and measures its winner anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import optuna
import ray
import torch
from optuna.trial import FrozenTrial
from pydantic import BaseModel, Field
from torch import nn

from data_pipeline import CoverRefs, Fit
from models import Measurement, Recipe, get_backbone, measure_model
from search.cluster import Slots
from search.config import SearchConfig
from search.constants import ANY_TOP1
from search.devices import pick_device
from search.export import export_trial, trial_model
from search.feed import Feed
from search.insight import Insight, what_mattered
from search.remote import results_of
from search.retention import Retention
from search.run_folder import RunFolder
from search.scouting import Probe, probe_model
from search.study import ROLE_UNTUNED, best_trial, recipe_of

__all__ = ["Outcome", "Score", "conclude"]

_BATCH = 64


class Score(BaseModel):
    """One model's accuracy on both splits."""

    what: str
    trial: int | None
    """None for a probe, which is no trial."""
    val_top1: float
    test: Measurement
    val_any_top1: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Only where covers may have several genres; `test` has one then too."""


class Outcome(BaseModel):
    """What the search was worth; written to RUN/outcome.json."""

    untuned: Score | None
    probe: Score | None
    best: Score
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
    run: RunFolder,
    feed: Feed,
    config: SearchConfig,
    study: optuna.Study,
    probes: Sequence[Probe],
    slots: Slots,
    elapsed_s: float,
    retention: Retention,
) -> Outcome:
    """Export the best trial, measure it and its yardsticks on the test split, write the outcome.

    The outcome is written last: a run without one is concluded when it is resumed.
    """
    trials = study.get_trials(deepcopy=False)
    best = best_trial(trials)
    assert best is not None and best.value is not None
    untuned = next((t for t in trials if t.user_attrs.get("role") == ROLE_UNTUNED), None)
    if untuned is not None and (
        untuned.value is None or not run.checkpoint(untuned.number).exists()
    ):
        untuned = None
    probe = max(probes, key=lambda probe: probe.top1, default=None)

    recipes = [recipe_of(trial) for trial in (best, untuned) if trial is not None]
    test = _test_covers(feed, [*recipes, *([probe] if probe is not None else [])])
    resources = {"num_cpus": slots.cpus_per_trial, "num_gpus": slots.gpus_per_trial}
    measure_trial = ray.remote(**resources)(_measure_trial)
    measure_probe = ray.remote(**resources)(_measure_probe)
    genres = len(feed.store.genres)

    def of_trial(trial: FrozenTrial) -> ray.ObjectRef:
        recipe = recipe_of(trial)
        refs = test[recipe.image_px, recipe.fit]
        return measure_trial.remote(run, trial, refs, slots.cpus_per_trial)

    pending = {"best": of_trial(best)}
    if untuned is not None:
        pending["untuned"] = of_trial(untuned)
    if probe is not None:
        weights = config.weights_of(probe.backbone)
        pending["probe"] = measure_probe.remote(
            probe, weights, test[probe.image_px, probe.fit], genres, slots.cpus_per_trial
        )
    doing = "measuring on the test split"
    remedy = f"`covertune resume {os.path.relpath(run.path)}` tries again"
    measured: dict[str, Measurement] = dict(
        zip(pending, results_of(list(pending.values()), doing, remedy=remedy), strict=True)
    )

    scores: dict[str, Score] = {"best": _trial_score("best trial", best, measured["best"])}
    if untuned is not None:
        scores["untuned"] = _trial_score("untuned recipe", untuned, measured["untuned"])
    if probe is not None:
        scores["probe"] = Score(
            what="frozen probe",
            trial=None,
            val_top1=probe.top1,
            test=measured["probe"],
            val_any_top1=probe.any_top1,
        )
    name, baseline = _baseline(config, scores.get("probe"))
    for partial in run.path.glob(".model.*.partial"):  # of a process that was killed here
        shutil.rmtree(partial, ignore_errors=True)
    model = export_trial(run, run.path / "model", best.number, test=measured["best"], replace=True)
    states = [trial.state.name for trial in trials]
    outcome = Outcome(
        untuned=scores.get("untuned"),
        probe=scores.get("probe"),
        best=scores["best"],
        baseline_name=name,
        baseline_top1=baseline,
        gap_closed=_gap_closed(scores, baseline),
        trials=len(trials),
        completed=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        elapsed_s=elapsed_s,
        whole_search_s=_whole_search_s(feed, trials, slots) if config.rehearse else None,
        mattered=what_mattered(trials, config.grace_epochs, seed=config.seed),
        checkpoint_bytes=retention.now_bytes,
        checkpoint_peak_bytes=retention.peak_bytes,
        model=model,
    )
    run.write_outcome(outcome.model_dump_json(indent=2))
    return outcome


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


def _whole_search_s(feed: Feed, trials: list[FrozenTrial], slots: Slots) -> float:
    """The seconds trials trained, scaled by the covers, shared among the slots."""
    trained_s = sum(
        epoch["seconds"] for trial in trials for epoch in trial.user_attrs.get("history", [])
    )
    return float(trained_s) * feed.store.count("train") / feed.count("train") / slots.count


def _trial_score(what: str, trial: FrozenTrial, test: Measurement) -> Score:
    assert trial.value is not None
    return Score(
        what=what,
        trial=trial.number,
        val_top1=trial.value,
        test=test,
        val_any_top1=trial.user_attrs["history"][-1].get(ANY_TOP1),
    )


def _baseline(config: SearchConfig, probe: Score | None) -> tuple[str, float | None]:
    """The named baseline, or the frozen probe as measured on the test split."""
    if config.baseline is not None:
        return config.baseline_name, config.baseline
    return "frozen probe", probe.test.top1 if probe is not None else None


def _gap_closed(scores: dict[str, Score], baseline: float | None) -> float | None:
    if baseline is None or "untuned" not in scores:
        return None
    untuned = scores["untuned"].test.top1
    if untuned >= baseline:
        return None
    return (scores["best"].test.top1 - untuned) / (baseline - untuned)


def _measure_trial(run: RunFolder, trial: FrozenTrial, refs: CoverRefs, cpus: int) -> Measurement:
    return _measure(trial_model(run, trial), recipe_of(trial).backbone, refs, cpus)


def _measure_probe(
    probe: Probe, weights: str, refs: CoverRefs, num_genres: int, cpus: int
) -> Measurement:
    return _measure(probe_model(probe, weights, num_genres), probe.backbone, refs, cpus)


def _measure(model: nn.Module, backbone: str, refs: CoverRefs, cpus: int) -> Measurement:
    """Runs in a worker."""
    torch.set_num_threads(cpus)
    device = pick_device(wants_gpu=bool(ray.get_gpu_ids()))
    batches = refs.batches(_BATCH, device, shuffle=False)
    return measure_model(model.to(device), get_backbone(backbone).input, batches.epoch(0))
