import threading
from types import SimpleNamespace

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta

from covertune.models import ProgressMetrics
from covertune.search.record import pictures
from covertune.search.record.pictures import TrialPictures


@pytest.fixture
def study(tmp_path):
    return optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")


def history(epochs):
    one = dict.fromkeys(ProgressMetrics.model_fields, 0.5)
    return [ProgressMetrics(**one | {"epoch": n, "covers_seen": 9}) for n in range(1, epochs + 1)]


def test_three_files_are_attached_and_hold_the_latest(study, tmp_path):
    (tmp_path / "artifacts").mkdir()
    drawn = TrialPictures(study, tmp_path / "artifacts", ["a", "b"])
    trial = study.ask()
    for epochs in (1, 2):
        drawn.draw(trial, history(epochs), [[3, 1], [0, 2]])
    drawn.close()
    metas = {m.filename: m for m in get_all_artifact_meta(trial, storage=study._storage)}
    assert set(metas) == {"learning_curve.png", "confusion.png", "epochs.csv"}
    content = (tmp_path / "artifacts" / metas["epochs.csv"].artifact_id).read_text()
    assert len(content.splitlines()) == 3
    png = (tmp_path / "artifacts" / metas["confusion.png"].artifact_id).read_bytes()
    assert png.startswith(b"\x89PNG")


def test_epochs_that_come_faster_than_they_are_drawn_are_left_out(study, tmp_path, monkeypatch):
    """Whatever waits, waits once for each trial."""
    (tmp_path / "artifacts").mkdir()
    going, curves = threading.Event(), []

    def slowly(history, title):
        going.wait()
        curves.append((title, len(history)))
        return SimpleNamespace(savefig=lambda picture, format: None)

    monkeypatch.setattr(pictures, "draw_curve", slowly)
    drawn = TrialPictures(study, tmp_path / "artifacts", ["a", "b"])
    trials = [study.ask(), study.ask()]
    for epochs in range(1, 30):
        for trial in trials:
            drawn.draw(trial, history(epochs), [[1, 0], [0, 1]])
    going.set()
    drawn.close()
    assert len(curves) <= 4
    assert {curve for curve in curves if curve[1] == 29} == {("trial 0", 29), ("trial 1", 29)}
