import sqlite3
import threading
import time
from contextlib import closing

import optuna
import pytest

from covertune.search import RunError, RunFolder, SearchConfig
from covertune.search.record.compat import close_storage
from covertune.search.record.study import (
    create_study,
    open_study,
    read_trials,
    trial_rows,
)


@pytest.fixture
def run(tmp_path):
    config = SearchConfig(store=tmp_path / "store", runs_dir=tmp_path / "runs", name="run")
    run = RunFolder.create(config)
    run.start(config, store_fingerprint="0", image_px={})
    return run


@pytest.fixture
def study(run):
    study = create_study(run, optuna.samplers.RandomSampler(), None)
    yield study
    close_storage(study)


def files(run):
    return sorted(file.name for file in run.path.glob("study.db*"))


def test_readers_see_what_was_told_at_once(run, study):
    trial = study.ask()
    trial.report(0.25, 1)
    (row,) = trial_rows(read_trials(run))
    assert (row.number, row.state, row.value, row.epochs) == (0, "RUNNING", 0.25, 1)


def test_a_failed_trial_has_no_value(run, study):
    trial = study.ask()
    trial.report(0.65, 3)
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    (row,) = trial_rows(read_trials(run))
    assert (row.state, row.value, row.epochs) == ("FAIL", None, 1)


def test_what_ended_lies_in_one_file(run, study):
    study.tell(study.ask(), 0.5)
    assert len(files(run)) > 1, "the log that is written ahead"
    close_storage(study)
    assert files(run) == ["study.db"]
    assert [trial.value for trial in read_trials(run)] == [0.5]
    assert files(run) == ["study.db"]


def test_a_reader_does_not_hold_up_the_search(run, study):
    """As a dashboard would that reads for long."""
    study.tell(study.ask(), 0.5)
    with closing(sqlite3.connect(run.study_file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM trials").fetchall()
        started = time.perf_counter()
        study.tell(study.ask(), 0.75)
        assert time.perf_counter() - started < 5
    assert len(read_trials(run)) == 2


def test_a_locked_study_is_waited_for(run, study):
    study.tell(study.ask(), 0.5)
    with closing(sqlite3.connect(run.study_file, check_same_thread=False)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, writer.rollback)
        timer.start()
        study.tell(study.ask(), 0.75)
        timer.join()
    assert len(read_trials(run)) == 2


def test_a_study_that_is_gone(run):
    with pytest.raises(RunError, match=r"has no study\.db; bring the file back, or search anew$"):
        open_study(run)
