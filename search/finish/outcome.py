"""The end of a search: untuned recipe, frozen probe, best trial, exported model, the gap closed.

Here, and only after the last trial, the test split is read: once for each of these models. A
search that is given more trials ends anew, and measures its winner anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from pydantic import BaseModel, Field

from covertune.data_pipeline import CoverRefs
from covertune.models import (
    Calibration,
    Measurement,
    Metrics,
    ModelFacts,
    Predictions,
    Recipe,
    calibrate,
    calibrated,
    fold_temperature,
    get_backbone,
    measure_genres,
    measure_probabilities,
    save_model,
)
from covertune.search.cluster.devices import this_device
from covertune.search.cluster.objects import results
from covertune.search.cluster.workers import Workers
from covertune.search.events import SearchObserver
from covertune.search.finish.export import check_covers, provenance_of, trial_model
from covertune.search.finish.gap import Gap
from covertune.search.finish.predictions import LoadModel, predict_refs
from covertune.search.finish.soup import Ingredients
from covertune.search.finish.what_mattered import Insight, what_mattered
from covertune.search.plan import InputVariant
from covertune.search.record.retention import Retention
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import ranked, recipe_of
from covertune.search.record.trial_record import TrialRecord
from covertune.search.setup.feed import Feed, times_larger
from covertune.search.setup.probes import Probe, probe_model
from covertune.search.setup.set_up import SearchContext
from covertune.vocabulary import Fit
from covertune.whole import remove_partials

__all__ = ["Outcome", "Score", "conclude"]

_VALIDATION = "the best on validation"


@dataclass(frozen=True)
class _Contender:
    """A model that is measured on the test split.

    Attributes:
        what: It is, for the reader.
        load: Brings it.
        kind: Says what covers it takes.
        val: What it measured on the validation split.
        trial: See `Score`.
        average_of: See `Outcome`.
    """

    what: str
    load: LoadModel
    kind: Recipe | Probe
    val: Metrics
    trial: int | None = None
    average_of: str | None = None


class Score(BaseModel):
    """One model's accuracy on both splits."""

    what: str = Field(description="What it is, in words.")
    trial: int | None = Field(description="None for a probe or an average, which are no trials.")
    val_top1: float = Field(description="Top-1 on the validation split.")
    test: Measurement = Field(description="Measures on the test split.")
    val_any_top1: float | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Only where covers may have several genres; `test` has one then too.",
    )


class Outcome(BaseModel):
    """What the search was worth; written to RUN/outcome.json."""

    untuned: Score | None = Field(description="The untuned recipe; null if it was not trained.")
    probe: Score | None = Field(description="The best frozen probe; null if there is none.")
    best_trial: Score = Field(description="The trial with the highest validation top-1.")
    best: Score = Field(
        description="Of the model in RUN/model: best trial, another one or an average."
    )
    average_of: str | None = Field(description="Of which; null where the model is one trial's.")
    calibration: Calibration = Field(
        description="Of the model in RUN/model; `best.test` is what it measured calibrated."
    )
    baseline_name: str = Field(description="What the best is compared with.")
    baseline_top1: float | None = Field(description="What that has.")
    gap_closed: float | None = Field(
        description="(best - untuned) / (baseline - untuned) on the test split; null if it has no "
        "meaning."
    )
    trials: int = Field(description="Trials of the study.")
    completed: int = Field(description="Of these, trained to the last epoch.")
    pruned: int = Field(description="Of these, stopped early.")
    failed: int = Field(description="Of these, failed.")
    elapsed_s: float = Field(description="Seconds the search took, all its processes together.")
    whole_search_s: float | None = Field(
        description="After a rehearsal: estimated seconds of the same trials on the whole store."
    )
    mattered: Insight = Field(
        description="Which parameters told the good trials from the poor ones."
    )
    checkpoint_bytes: int = Field(description="What the checkpoints take on disk.")
    checkpoint_peak_bytes: int = Field(description="The most they took during the search.")
    model: Path = Field(description="The model folder.")


def conclude(
    context: SearchContext,
    study: optuna.Study,
    elapsed_s: float,
    retention: Retention,
    observer: SearchObserver,
) -> Outcome:
    """Measure the winner and its yardsticks on the test split, export it, write the outcome.

    The outcome is written last: a run without one is concluded when it is resumed.

    Args:
        context: Of the search.
        study: With one measured trial at least.
        elapsed_s: What the search took.
        retention: Knows what the checkpoints take.
        observer: Hears what happens.
    """
    run = context.run
    config = run.config()
    trials = study.get_trials(deepcopy=False)
    leaders = ranked(trials)
    with Workers(context.slots) as workers:
        observer.phase("averaging the best models")
        better = _better(context, leaders, workers)
        contenders = _contenders(context, leaders) | ({} if better is None else {"better": better})

        observer.phase("measuring the winner on the test split")
        best = "best trial" if better is None else "better"
        told = _predicted(context, contenders, best, workers)
    calibration = calibrate(told[_VALIDATION], told[best])
    told |= {name: calibrated(told[name], calibration.temperature) for name in (best, _VALIDATION)}
    scores = {name: _score(model, told[name]) for name, model in contenders.items()}
    no_graph = _export(context, contenders[best], calibration, told[_VALIDATION], told[best])
    if no_graph is not None:
        observer.warn(f"the model has no model.onnx: {no_graph}")
    probe, untuned = scores.get("probe"), scores.get("untuned")
    baseline = config.baseline_or(None if probe is None else probe.test.top1)
    gap = Gap(None if untuned is None else untuned.test.top1, scores[best].test.top1, baseline)
    states = [trial.state.name for trial in trials]
    outcome = Outcome(
        untuned=untuned,
        probe=probe,
        best_trial=scores["best trial"],
        best=scores[best],
        average_of=contenders[best].average_of,
        calibration=calibration,
        baseline_name=baseline.name,
        baseline_top1=baseline.top1,
        gap_closed=gap.closed,
        trials=len(trials),
        completed=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        elapsed_s=elapsed_s,
        whole_search_s=_whole_search_s(context, trials) if config.rehearse else None,
        mattered=what_mattered(trials, config.grace_epochs, seed=config.seed),
        checkpoint_bytes=retention.now_bytes,
        checkpoint_peak_bytes=retention.peak_bytes,
        model=run.model,
    )
    run.write_outcome(outcome.model_dump_json(indent=2))
    return outcome


def _contenders(context: SearchContext, leaders: Sequence[FrozenTrial]) -> dict[str, _Contender]:
    """The best trial, and of the yardsticks, untuned and probe, those that there are."""
    run, num_genres = context.run, len(context.store.genres)
    contenders = {"best trial": _contending_trial("best trial", run, leaders[0])}
    untuned = (trial for trial in leaders if TrialRecord(trial).is_untuned)
    kept = next((trial for trial in untuned if run.checkpoint(trial.number).exists()), None)
    if kept is not None:
        contenders["untuned"] = _contending_trial("untuned recipe", run, kept)
    probe = max(context.probes, key=lambda probe: probe.metrics.top1, default=None)
    if probe is not None:
        load = partial(probe_model, probe, context.plan.weights_of(probe.backbone), num_genres)
        contenders["probe"] = _Contender("frozen probe", load, probe, probe.metrics)
    return contenders


def _better(
    context: SearchContext, leaders: Sequence[FrozenTrial], workers: Workers
) -> _Contender | None:
    """Another trial, or an average, if it is better than the first of the leaders."""
    run, recipe = context.run, recipe_of(leaders[0])
    ingredients = Ingredients.of(
        run,
        leaders,
        context.probes,
        context.plan.weights_of(recipe.backbone),
        len(context.store.genres),
    )
    soup = ingredients.greedy_soup(context.splits[InputVariant.of(recipe)]["val"], workers)
    if soup is None:
        return None
    if soup.trial is not None:
        (chosen,) = (trial for trial in leaders if trial.number == soup.trial)
        return _contending_trial("lowest loss", run, chosen)
    return _Contender(
        "average of the best",
        partial(ingredients.model, soup.shares),
        recipe,
        soup.metrics,
        average_of=soup.in_words,
    )


def _export(
    context: SearchContext,
    best: _Contender,
    calibration: Calibration,
    val: Predictions,
    test: Predictions,
) -> str | None:
    """Write the model folder of a run, in the place of the one it may have.

    Returns:
        Why it has no ONNX graph; None if it has one.
    """
    run, store, recipe = context.run, context.store, best.kind
    assert isinstance(recipe, Recipe)
    remove_partials(run.path, run.model.name)  # of a process that was killed here
    model = best.load()
    fold_temperature(model, calibration.temperature)
    origin = {"trial": best.trial} if best.trial is not None else {"average_of": best.average_of}
    facts = ModelFacts(
        metrics={
            split: measure_probabilities(*told).model_dump(mode="json")
            for split, told in (("validation", val), ("test", test))
        },
        by_genre=measure_genres(test.probabilities_NK, test.labels_N, store.genres),
        calibration=calibration,
        provenance=provenance_of(run, store, origin),
    )
    written = save_model(
        run.model,
        model,
        recipe,
        get_backbone(recipe.backbone),
        store.genres,
        facts,
        check_covers(store, recipe.image_px, recipe.fit),
        replace=True,
    )
    return written.config.covertune.no_onnx_because


def _contending_trial(what: str, run: RunFolder, trial: FrozenTrial) -> _Contender:
    return _Contender(
        what,
        partial(trial_model, run, trial),
        recipe_of(trial),
        TrialRecord(trial).history[-1],
        trial.number,
    )


def _predicted(
    context: SearchContext, contenders: Mapping[str, _Contender], best: str, workers: Workers
) -> dict[str, Predictions]:
    """What each of the models tells of the test split, and the best of the validation split.

    All side by side; a trial that is two of them is asked once.
    """
    keys = {
        name: name if model.trial is None else f"trial {model.trial}"
        for name, model in contenders.items()
    }
    models = {keys[name]: model for name, model in contenders.items()}
    test = _test_covers(context.feed, [model.kind for model in models.values()])
    winner = contenders[best]
    val = context.splits[InputVariant.of(winner.kind)]["val"]
    work = [(model, test[InputVariant.of(model.kind)]) for model in models.values()]
    futures = [
        workers.submit(_predict, model.load, model.kind.backbone, covers)
        for model, covers in [*work, (winner, val)]
    ]
    remedy = f"`covertune resume {os.path.relpath(context.run.path)}` tries again"
    *of_test, of_val = results(futures, "measuring on the test split", remedy=remedy)
    by_key = dict(zip(models, of_test, strict=True))
    return {name: by_key[key] for name, key in keys.items()} | {_VALIDATION: of_val}


def _score(model: _Contender, told: Predictions) -> Score:
    return Score(
        what=model.what,
        trial=model.trial,
        val_top1=model.val.top1,
        test=measure_probabilities(*told),
        val_any_top1=model.val.any_top1,
    )


def _test_covers(feed: Feed, models: Sequence[Recipe | Probe]) -> dict[InputVariant, CoverRefs]:
    """Return the test split as each of the models takes it, decoded once per size."""
    fits_by_px: dict[int, set[Fit]] = {}
    for model in models:
        fits_by_px.setdefault(model.image_px, set()).add(model.fit)
    by_size = {px: feed.test_split(px, sorted(fits)) for px, fits in sorted(fits_by_px.items())}
    return {InputVariant.of(model): by_size[model.image_px][model.fit]["test"] for model in models}


def _whole_search_s(context: SearchContext, trials: list[FrozenTrial]) -> float:
    """The seconds trials trained, scaled by the covers, shared among the slots."""
    trained_s = sum(TrialRecord(trial).seconds for trial in trials)
    return trained_s * times_larger(context.feed) / context.slots.count


def _predict(load: LoadModel, backbone: str, refs: CoverRefs) -> Predictions:
    """Runs in a worker."""
    return predict_refs(load, backbone, refs, this_device())
