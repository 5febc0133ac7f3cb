"""From a trial's checkpoint to a model folder anyone can load."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from torch import nn

from data_pipeline import load_square
from models import Measurement, Recipe, get_backbone, model_from_checkpoint, write_bundle
from search.constants import ANY_TOP1
from search.errors import RunError
from search.record.resuming import require_same_store
from search.record.run_folder import RunFolder
from search.record.study import best_trial, read_trials, recipe_of
from search.staging.feed import feed_of
from search.trials.trainable import checkpoint_result

__all__ = ["export_model", "export_trial", "trial_model"]

_CHECKED_COVERS = 16
_REHEARSAL = "all of these are a sample of the store's training covers"


def trial_model(run: RunFolder, trial: FrozenTrial) -> nn.Module:
    """The trained model of a trial, on the CPU, ready to predict.

    Raises:
        RunError: The run holds no checkpoint of it.
    """
    checkpoint = run.checkpoint(trial.number)
    if not checkpoint.exists():
        raise RunError(_why_no_checkpoint(run, trial))
    model, _ = model_from_checkpoint(checkpoint)
    return model


def _why_no_checkpoint(run: RunFolder, trial: FrozenTrial) -> str:
    """Which trial, what took its checkpoint, and what can be exported instead."""
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
    numbers = ", ".join(map(str, there)) or "none"
    return (
        f"trial {trial.number} of run {run.name!r} has no checkpoint: {rule}; trials that can be "
        f"exported: {numbers}{remedy}"
    )


def export_trial(
    run: RunFolder,
    out: Path,
    number: int | None = None,
    *,
    test: Measurement | None = None,
    replace: bool = False,
) -> Path:
    """Write a trial as a model folder.

    Args:
        run: The run.
        out: The folder to make.
        number: Trial number; None: the best.
        test: What it measured on the test split, for the model card.
        replace: Whether a model folder at `out` may be replaced.

    Returns:
        `out`.

    Raises:
        RunError: No such trial, no checkpoint, or `out` exists.
        ModelError: The exported graph disagrees with the model.
    """
    if out.exists() and not replace:
        raise RunError(f"{out} exists already; choose another folder, or remove it first")
    trials = read_trials(run)
    if number is None:
        trial = best_trial(trials, with_checkpoint_in=run)
        if trial is None:
            raise RunError(f"run {run.name!r} has no trial with a measured model yet")
    elif 0 <= number < len(trials):
        trial = trials[number]
    else:
        raise RunError(
            f"run {run.name!r} has no trial {number}; its trials are 0 to {len(trials) - 1}"
        )
    model = trial_model(run, trial)
    # Of the epoch the checkpoint holds: one that showed a collapse is in the history only.
    validation = checkpoint_result(run.checkpoint(trial.number))
    told = ("top1", "top3", "macro_f1", ANY_TOP1)
    return export_model(
        run,
        out,
        model,
        recipe_of(trial),
        validation={key: validation[key] for key in told if key in validation},
        test=test,
        origin={"trial": trial.number},
        replace=replace,
    )


def export_model(
    run: RunFolder,
    out: Path,
    model: nn.Module,
    recipe: Recipe,
    *,
    validation: Mapping[str, float],
    test: Measurement | None,
    origin: Mapping[str, Any],
    replace: bool = False,
) -> Path:
    """Write a model of a run as a model folder.

    Args:
        run: The run.
        out: The folder to make.
        model: On the CPU.
        recipe: How it was trained.
        validation: What it measured on the validation split.
        test: What it measured on the test split, if it was measured there.
        origin: Which trial it is, or which trials it is made of, for the model card.
        replace: Whether a model folder at `out` may be replaced.

    Returns:
        `out`.

    Raises:
        RunError: The store has changed.
        ModelError: The exported graph disagrees with the model.
    """
    config = run.config()
    store = require_same_store(run, config)
    feed = feed_of(config, store)
    covers, _ = store.read_images("val", limit=_CHECKED_COVERS)
    images_NHWC = np.stack([load_square(cover, recipe.image_px, recipe.fit) for cover in covers])
    metrics: dict[str, Any] = {"validation": dict(validation)}
    if test is not None:
        metrics["test"] = test.model_dump(mode="json")
    facts = {
        "metrics": metrics,
        "provenance": {
            "run": run.name,
            **origin,
            "store_fingerprint": store.fingerprint,
            "covers": {split: feed.count(split) for split in ("train", "val", "test")},
            **({"rehearsal": _REHEARSAL} if config.rehearse else {}),
            "covertune": version("covertune"),
            "torch": version("torch"),
        },
    }
    write_bundle(
        out,
        model,
        recipe,
        get_backbone(recipe.backbone),
        store.genres,
        facts,
        images_NHWC,
        replace=replace,
    )
    return out
