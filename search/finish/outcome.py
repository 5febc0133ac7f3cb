"""The end of a search: untuned recipe, frozen probe, best trial, exported model, the gap closed.

Here, and only after the last trial, the test split is read: once for each of these models. A
search that is given more trials ends anew, and measures its winner anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from pydantic import BaseModel, Field

from covertune.models import (
    Calibration,
    CardData,
    Measurement,
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
from covertune.search.cluster.workers import Workers
from covertune.search.config import SearchConfig
from covertune.search.events import SearchObserver
from covertune.search.finish.announced import model_of
from covertune.search.finish.contenders import (
    Contender,
    better_than_the_best_trial,
    contenders_of,
    predict_all,
)
from covertune.search.finish.export import check_covers
from covertune.search.finish.gap import Gap
from covertune.search.finish.provenance import provenance_of
from covertune.search.finish.what_mattered import Insight, what_mattered
from covertune.search.record.exported import note_exported
from covertune.search.record.retention import Retention
from covertune.search.record.study import ranked
from covertune.search.record.trial_record import TrialRecord
from covertune.search.setup.feed import times_larger
from covertune.search.setup.set_up import SearchContext
from covertune.whole import remove_partials

__all__ = ["Outcome", "Score", "conclude"]


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
        description="(best - untuned) / (baseline - untuned) on the test split; null if the test "
        "covers cannot tell the baseline from the untuned recipe, so that it has no meaning."
    )
    gap_closed_interval: tuple[float, float] | None = Field(
        default=None, description="Its 95 % interval, by Fieller."
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
    run, trials = context.run, study.get_trials(deepcopy=False)
    config, leaders = run.config(), ranked(trials)
    with Workers(context.slots) as workers:
        observer.phase("averaging the best models")
        contenders, best = contenders_of(context, leaders), "best trial"
        if (better := better_than_the_best_trial(context, leaders, workers)) is not None:
            best = "better"
            contenders[best] = better
        observer.phase("measuring the winner on the test split")
        test, val = predict_all(context, contenders, best, workers)
    calibration = calibrate(val, test[best])
    test[best], val = (calibrated(told, calibration.temperature) for told in (test[best], val))
    _export(context, contenders[best], calibration, val, test[best], observer)
    if (model := model_of(contenders[best].origin)) is not None:
        note_exported(study, model.in_words, model.trials)
    scores = {name: _score(model, test[name]) for name, model in contenders.items()}
    gap = _gap(config, scores, best)
    states = [trial.state.name for trial in trials]
    outcome = Outcome(
        untuned=scores.get("untuned"),
        probe=scores.get("probe"),
        best_trial=scores["best trial"],
        best=scores[best],
        average_of=contenders[best].average_of,
        calibration=calibration,
        baseline_name=gap.baseline.name,
        baseline_top1=gap.baseline.top1,
        gap_closed=gap.closed,
        gap_closed_interval=gap.closed_interval,
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


def _export(
    context: SearchContext,
    best: Contender,
    calibration: Calibration,
    val: Predictions,
    test: Predictions,
    observer: SearchObserver,
) -> None:
    """Write the model folder of a run, in the place of the one it may have."""
    run, store, recipe = context.run, context.store, best.kind
    assert isinstance(recipe, Recipe)
    remove_partials(run.path, run.model.name)  # of a process that was killed here
    model = best.load()
    fold_temperature(model, calibration.temperature)
    card = CardData(
        metrics={
            split: measure_probabilities(*told).model_dump(mode="json")
            for split, told in (("validation", val), ("test", test))
        },
        by_genre=measure_genres(test.probabilities_NK, test.labels_N, store.genres),
        calibration=calibration,
        provenance=provenance_of(run, store, best.origin),
    )
    written = save_model(
        run.model,
        model,
        recipe,
        get_backbone(recipe.backbone),
        store.genres,
        card,
        check_covers(store, recipe.image_px, recipe.fit),
        replace=True,
    )
    if (why := written.config.covertune.no_onnx_because) is not None:
        observer.warn(f"the model has no model.onnx: {why}")


def _score(model: Contender, told: Predictions) -> Score:
    return Score(
        what=model.what,
        trial=model.trial,
        val_top1=model.val.top1,
        test=measure_probabilities(*told),
        val_any_top1=model.val.any_top1,
    )


def _gap(config: SearchConfig, scores: Mapping[str, Score], best: str) -> Gap:
    """Return how far the search has come, on test covers."""
    untuned, probe = (
        scores[name].test.top1 if name in scores else None for name in ("untuned", "probe")
    )
    test = scores[best].test
    return Gap(untuned, test.top1, config.baseline_or(probe), test.n)


def _whole_search_s(context: SearchContext, trials: list[FrozenTrial]) -> float:
    """Return the seconds trials trained, scaled by the covers, shared among the slots."""
    trained_s = sum(TrialRecord(trial).seconds for trial in trials)
    return trained_s * times_larger(context.feed) / context.slots.count
