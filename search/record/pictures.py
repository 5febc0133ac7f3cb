"""A learning curve, a confusion matrix and a table for each trial, attached to the study.

optuna-dashboard shows them beside the trial. They are drawn on a thread of their own, so that the
loop that feeds the workers never waits for them.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from covertune.models import Metrics, ProgressMetrics
from covertune.search.record.compat import storage_of
from covertune.wording import escaped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TrialPictures", "draw_confusion", "draw_curve"]

_log = logging.getLogger(__name__)
_LABELLED_GENRES = 40
_GENRE_CHARS = 30
_CURVE, _CONFUSION, _TABLE = _FILES = ("learning_curve.png", "confusion.png", "epochs.csv")


class TrialPictures:
    """Draws in the background, anew after each epoch, so that the dashboard shows curves grow.

    Optuna takes no artifact for a trial that has ended. So the files are registered, empty, with
    the first epoch, and their content is written to the artifact store whenever there is more.
    """

    def __init__(self, study: optuna.Study, folder: Path, genres: list[str]) -> None:
        """Attach to a study whose artifacts live in `folder`."""
        self._storage = storage_of(study)
        self._store = FileSystemArtifactStore(folder)
        self._genres = genres
        self._ids: dict[int, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._latest: dict[int, tuple[list[ProgressMetrics], np.ndarray]] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")

    def draw(
        self, trial: optuna.Trial, history: list[ProgressMetrics], confusion: list[list[int]]
    ) -> None:
        """Queue the pictures of a trial as it stands.

        Args:
            trial: Running.
            history: What each epoch measured.
            confusion: (K, K) counts of the last epoch.
        """
        if trial.number not in self._ids:
            self._ids[trial.number] = self._register(trial)
        # Where epochs come faster than they are drawn, those in between are left out.
        with self._lock:
            waits_already = trial.number in self._latest
            self._latest[trial.number] = list(history), np.array(confusion)
        if not waits_already:
            self._pool.submit(self._draw, trial.number)

    def close(self) -> None:
        """Wait until everything is written."""
        self._pool.shutdown(wait=True)

    def _register(self, trial: optuna.Trial) -> dict[str, str]:
        known = {
            meta.filename: meta.artifact_id
            for meta in get_all_artifact_meta(trial, storage=self._storage)
        }
        with tempfile.TemporaryDirectory() as folder:
            for name in _FILES:
                if name not in known:
                    empty = Path(folder) / name
                    empty.touch()
                    known[name] = upload_artifact(
                        artifact_store=self._store, file_path=str(empty), study_or_trial=trial
                    )
        return known

    def _draw(self, number: int) -> None:
        with self._lock:
            history, confusion_KK = self._latest.pop(number)
        try:
            files = {
                _CURVE: _as_png(draw_curve(history, f"trial {number}")),
                _CONFUSION: _as_png(draw_confusion(confusion_KK, self._genres)),
                _TABLE: _as_csv(history),
            }
            for name, content in files.items():
                self._store.write(self._ids[number][name], io.BytesIO(content))
        except Exception:  # a picture must never cost a trial
            _log.exception("no pictures for trial %d", number)


def _as_csv(history: list[ProgressMetrics]) -> bytes:
    text = io.StringIO(newline="")
    rows = [progress.model_dump() for progress in history]
    writer = csv.DictWriter(text, fieldnames=sorted(rows[-1], key=lambda name: name != "epoch"))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _as_png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def draw_curve(history: list[ProgressMetrics], title: str) -> Figure:
    """Draw accuracy and loss by epoch.

    Args:
        history: What each epoch measured.
        title: Above the picture.
    """
    from matplotlib.figure import Figure  # a second that need not pass before the first trial

    epochs = [progress.epoch for progress in history]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained", dpi=110)
    accuracy, loss = figure.subplots(1, 2)
    for metric, title in Metrics.titles().items():
        values = [progress.values.get(metric, math.nan) for progress in history]
        if not all(map(math.isnan, values)):
            accuracy.plot(epochs, values, marker="o", label=title)
    accuracy.set(title=f"{title}: validation", xlabel="epoch", ylim=(0, 1))
    for field, label in (("train_loss", "training"), ("val_loss", "validation")):
        values = [getattr(progress, field) for progress in history]
        loss.plot(epochs, values, marker="o", label=label)
    loss.set(title="loss", xlabel="epoch")
    for axes in (accuracy, loss):
        axes.legend(frameon=False, fontsize="small")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_confusion(confusion_KK: np.ndarray, genres: list[str]) -> Figure:
    """Draw true genres as rows, predicted ones as columns; shade is the share of the row.

    Args:
        confusion_KK: (K, K) counts.
        genres: K names in label order.
    """
    from matplotlib.figure import Figure

    shares = confusion_KK / np.maximum(confusion_KK.sum(axis=1, keepdims=True), 1)
    side = min(3.0 + 0.28 * len(genres), 12.0)
    figure = Figure(figsize=(side + 1.0, side), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title="confusion on validation", xlabel="predicted", ylabel="true")
    if len(genres) <= _LABELLED_GENRES:
        # `$` in a name is no formula, and a line end no second line
        names = [escaped(genre, at_most=_GENRE_CHARS) for genre in genres]
        text = {"fontsize": 7, "parse_math": False}
        axes.set_xticks(range(len(genres)), names, rotation=60, ha="right", **text)
        axes.set_yticks(range(len(genres)), names, **text)
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
