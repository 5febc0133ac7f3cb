"""From a run to a model folder anyone can load."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial, TrialState
from torch import nn

from covertune.data_pipeline import CoverStore, DataError
from covertune.models import (
    CardData,
    Classifier,
    ModelError,
    calibrate,
    calibrated,
    fold_temperature,
    get_backbone,
    load_model,
    measure_probabilities,
    model_from_checkpoint,
    save_model,
)
from covertune.search.errors import RunError
from covertune.search.finish.predictions import predict_split
from covertune.search.finish.provenance import provenance_of
from covertune.search.record.checkpoints import checkpoint_result
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import best_trial, numbered, read_trials, recipe_of
from covertune.search.record.trial_record import progress_of
from covertune.search.setup.resuming import require_same_store
from covertune.vocabulary import Fit
from covertune.wording import few

__all__ = ["Exported", "check_covers", "export_run", "trial_model"]

_CHECKED_COVERS = 16


@dataclass(frozen=True)
class Exported:
    """What `export_run` wrote.

    Attributes:
        path: The model folder.
        notes: What its user should know, a sentence each.
    """

    path: Path
    notes: tuple[str, ...] = ()


def trial_model(run: RunFolder, trial: FrozenTrial) -> nn.Module:
    """Return the trained model of a trial, on the CPU, ready to predict.

    Raises:
        RunError: The run holds no checkpoint of it.
    """
    checkpoint = run.checkpoint(trial.number)
    if not checkpoint.exists():
        raise RunError(_why_no_checkpoint(run, trial))
    model, _ = model_from_checkpoint(checkpoint)
    return model


def _why_no_checkpoint(run: RunFolder, trial: FrozenTrial) -> str:
    """Say which trial, what took its checkpoint, and what can be exported instead."""
    keep, there = run.config().keep_checkpoints, run.checkpoint_bytes()
    remedy = ""
    if not trial.state.is_finished():
        rule = "one is saved with the first epoch"
    elif trial.value is None:
        rule = "it failed" if trial.state is TrialState.FAIL else "it never measured anything"
    elif keep is None or len(there) < keep:
        rule = "its file is gone"
    else:
        best = "best" if keep == 1 else f"{keep} best"
        rule = f"of trials that have ended only the {best} and the untuned one keep theirs"
        remedy = " (a search with a larger keep_checkpoints in its --config keeps more)"
    numbers = few(there, at_most=20) or "none"
    return (
        f"trial {trial.number} of run {run.name!r} has no checkpoint: {rule}; trials that can be "
        f"exported: {numbers}{remedy}"
    )


def export_run(
    run: RunFolder, out: Path, number: int | None = None, *, url: str | None = None
) -> Exported:
    """Write a model of a run as a model folder.

    Args:
        run: The run.
        out: The folder to make.
        number: Of a trial; None: the model that the search itself exported, or the best trial
            where it has not come to that.
        url: Of its storage; None: what the run was started with.

    Raises:
        RunError: No such trial, no checkpoint, or `out` exists.
        ModelError: The model cannot be read or written.
    """
    if os.path.lexists(out):
        raise RunError(f"{out} exists already; choose another folder, or remove it first")
    store = _StoreAtHand.of(run)
    classifier, notes = _chosen_model(run, number, store, url)
    card, problem = _calibrated(classifier, run, store)
    if problem is not None:
        notes.append(f"its probabilities are not calibrated: {problem}")
    written = save_model(
        out,
        classifier.model,
        classifier.recipe,
        get_backbone(classifier.recipe.backbone),
        classifier.genres,
        card,
        check_covers(store.store, classifier.image_px, classifier.fit),
    )
    if (why := written.config.covertune.no_onnx_because) is not None:
        notes.append(f"it has no model.onnx: {why}")
    return Exported(out, tuple(notes))


def _chosen_model(
    run: RunFolder, number: int | None, store: _StoreAtHand, url: str | None
) -> tuple[Classifier, list[str]]:
    """Return the model that is asked for; and what its user should know, where it is another."""
    if number is not None:
        trial = numbered(read_trials(run, url=url), number, run)
        return _classifier_of(run, trial, store), []
    if (run.model / "config.json").exists():
        return _announced(run), []
    trials = read_trials(run, url=url)
    best = best_trial(trials, with_checkpoint_in=run)
    if best is None:
        raise RunError(_why_no_model(run, best_trial(trials)))
    note = f"the search has exported no model yet; this is its best trial, {best.number}"
    return _classifier_of(run, best, store), [note]


def _why_no_model(run: RunFolder, measured: FrozenTrial | None) -> str:
    """Say whether it is too early, or the files are gone."""
    go_on = run.resume_command
    if measured is None:
        return f"run {run.name!r} has no trial with a measured model yet; go on with `{go_on}`"
    return (
        f"the checkpoints of run {run.name!r} are gone: its best trial, {measured.number}, "
        f"measured {measured.value:.3f}, but {run.checkpoints} holds none of it; bring the files "
        f"back, or train more with `{go_on} --trials N`"
    )


def _announced(run: RunFolder) -> Classifier:
    """Return the model that the search itself exported."""
    try:
        return load_model(run.model)
    except ModelError as error:
        raise RunError(
            f"the model that the search exported cannot be read: {error}; or take one of its "
            "trials with `covertune export --trial N`"
        ) from error


@dataclass(frozen=True)
class _StoreAtHand:
    """The store of a run, if it is still there as the run knew it; or why not."""

    store: CoverStore | None
    problem: Exception | None = None

    @classmethod
    def of(cls, run: RunFolder) -> _StoreAtHand:
        try:
            return cls(require_same_store(run, run.config()))
        except (DataError, RunError) as error:
            return cls(None, error)


def _classifier_of(run: RunFolder, trial: FrozenTrial, store: _StoreAtHand) -> Classifier:
    """Return a trial as it stands in its checkpoint, with what is known of it."""
    model, recipe = trial_model(run, trial), recipe_of(trial)
    # Of the epoch the checkpoint holds: one that showed a collapse is in the history only.
    measured = progress_of(checkpoint_result(run.checkpoint(trial.number)))
    return Classifier(
        model,
        get_backbone(recipe.backbone).input.at(recipe.image_px),
        _genres_of(run, store),
        recipe,
        CardData(
            metrics={"validation": measured.values},
            provenance=provenance_of(run, store.store, {"trial": trial.number}),
        ),
    )


def _genres_of(run: RunFolder, store: _StoreAtHand) -> list[str]:
    """Return the names of a run's genres; runs of covertune 0.1 did not write them down."""
    if store.store is not None:
        return store.store.genres
    if (genres := run.manifest().genres) is not None:
        return genres
    if run.model.exists():
        return load_model(run.model).genres
    assert store.problem is not None
    raise store.problem


def _calibrated(
    classifier: Classifier, run: RunFolder, store: _StoreAtHand
) -> tuple[CardData, str | None]:
    """Fold a temperature into the classifier, unless it has one.

    Returns:
        What is then known of it; and why it is not calibrated. The folder says no more than that
        the store was not there: paths of this machine are nobody else's business.
    """
    card = classifier.card
    if card.calibration is not None:
        return card, None

    def uncalibrated(because: str, problem: object = None) -> tuple[CardData, str]:
        return card.model_copy(update={"uncalibrated_because": because}), str(problem or because)

    if run.config().rehearse:
        return uncalibrated("it comes from a rehearsal")
    if store.store is None:
        return uncalibrated("the store was not at hand", store.problem)
    try:
        val = predict_split(classifier, store.store, "val")
    except DataError as error:
        return uncalibrated("the store was damaged", error)
    calibration = calibrate(val)
    fold_temperature(classifier.model, calibration.temperature)
    measured = measure_probabilities(*calibrated(val, calibration.temperature))
    metrics = {**card.metrics, "validation": measured.model_dump(mode="json")}
    if (test := metrics.get("test")) is not None:  # of covertune 0.1: measured uncalibrated
        calibration = calibration.model_copy(update={"test_ece_before": test.get("ece")})
        metrics["test"] = {name: value for name, value in test.items() if name != "ece"}
    return card.model_copy(update={"metrics": metrics, "calibration": calibration}), None


def check_covers(store: CoverStore | None, image_px: int, fit: Fit) -> npt.NDArray[np.uint8]:
    """Return a few covers to compare the ways into a model folder on; noise if none can be read."""
    try:
        if store is not None:
            covers, _ = store.read_images("val", limit=_CHECKED_COVERS)
            return np.stack([store.load_square(cover, image_px, fit) for cover in covers])
    except DataError:
        pass
    shape = (_CHECKED_COVERS, image_px, image_px, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
