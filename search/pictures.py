"""A learning curve, a confusion matrix and a table for each trial, attached to the study.

optuna-dashboard shows them beside the trial. They are drawn on a thread of their own, so that the
loop that feeds the workers never waits for them.
"""

from __future__ import annotations

import csv
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.trial import FrozenTrial

from search.constants import EPOCH, METRIC

__all__ = ["TrialPictures", "draw_confusion", "draw_curve"]

_log = logging.getLogger("ray.tune.covertune")
_LABELLED_GENRES = 40


class TrialPictures:
    """Draws and uploads in the background; `close` waits for what is left."""

    def __init__(self, study: optuna.Study, folder: Path, genres: list[str]) -> None:
        """Attach to a study whose artifacts live in `folder`."""
        self._storage = study._storage
        self._store = FileSystemArtifactStore(folder)
        self._genres = genres
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")

    def add(self, trial: FrozenTrial, confusion: list[list[int]] | None) -> None:
        """Queue the pictures of an ended trial; without an epoch there are none."""
        history = trial.user_attrs.get("history")
        if history:
            self._pool.submit(self._draw, trial, history, confusion)

    def close(self) -> None:
        """Wait until everything is uploaded."""
        self._pool.shutdown(wait=True)

    def _draw(
        self,
        trial: FrozenTrial,
        history: list[dict[str, Any]],
        confusion: list[list[int]] | None,
    ) -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                files = [_write_table(history, Path(folder) / "epochs.csv")]
                curve = Path(folder) / "learning_curve.png"
                draw_curve(history, f"trial {trial.number}").savefig(curve)
                files.append(curve)
                if confusion is not None:
                    matrix = Path(folder) / "confusion.png"
                    draw_confusion(np.array(confusion), self._genres).savefig(matrix)
                    files.append(matrix)
                for file in files:
                    upload_artifact(
                        artifact_store=self._store,
                        file_path=str(file),
                        study_or_trial=trial,
                        storage=self._storage,
                    )
        except Exception:  # a picture must never cost a trial
            _log.exception("no pictures for trial %d", trial.number)


def _write_table(history: list[dict[str, Any]], file: Path) -> Path:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    return file


def draw_curve(history: list[dict[str, Any]], title: str) -> Figure:
    """Accuracy and loss by epoch.

    Args:
        history: One mapping per epoch, as the study keeps it.
        title: Above the picture.
    """
    epochs = [row[EPOCH] for row in history]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained", dpi=110)
    accuracy, loss = figure.subplots(1, 2)
    for field, label in ((METRIC, "top-1"), ("top3", "top-3"), ("macro_f1", "macro F1")):
        accuracy.plot(epochs, [row[field] for row in history], marker="o", label=label)
    accuracy.set(title=f"{title}: validation", xlabel="epoch", ylim=(0, 1))
    for field, label in (("train_loss", "training"), ("val_loss", "validation")):
        loss.plot(epochs, [row[field] for row in history], marker="o", label=label)
    loss.set(title="loss", xlabel="epoch")
    for axes in (accuracy, loss):
        axes.legend(frameon=False, fontsize="small")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_confusion(confusion_KK: np.ndarray, genres: list[str]) -> Figure:
    """Rows are true genres, columns predicted ones; shade is the share of the row.

    Args:
        confusion_KK: (K, K) counts.
        genres: K names in label order.
    """
    shares = confusion_KK / np.maximum(confusion_KK.sum(axis=1, keepdims=True), 1)
    side = min(3.0 + 0.28 * len(genres), 12.0)
    figure = Figure(figsize=(side + 1.0, side), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title="confusion on validation", xlabel="predicted", ylabel="true")
    if len(genres) <= _LABELLED_GENRES:
        axes.set_xticks(range(len(genres)), genres, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(range(len(genres)), genres, fontsize=7)
    if len(genres) <= 12:
        for row, column in np.ndindex(*confusion_KK.shape):
            axes.text(
                column,
                row,
                str(confusion_KK[row, column]),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if shares[row, column] > 0.5 else "black",
            )
    return figure
