"""Which checkpoints stay, over real studies and real files."""

import os
import random
import signal
import subprocess
import sys
import time

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from covertune.search.config import SearchConfig
from covertune.search.record.retention import Retention, needed
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import best_trial

END_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def ended(number, value, state=TrialState.COMPLETE, role="sampled"):
    trial = create_trial(
        state=state,
        value=None if state is TrialState.FAIL else value,
        intermediate_values={} if value is None else {1: value},
        user_attrs={"role": role},
    )
    trial.number = number
    return trial


def running(number):
    return ended(number, None, TrialState.RUNNING)


class TestNeeded:
    def test_the_best_that_ended_whether_complete_or_stopped(self):
        trials = [ended(n, v) for n, v in enumerate((0.1, 0.5, 0.2, 0.4))]
        trials.append(ended(4, 0.3, TrialState.PRUNED))
        assert needed(trials, range(5), 3) == {1, 3, 4}
        assert needed(trials, range(5), 1) == {1}
        assert needed(trials, range(5), None) == set(range(5))

    def test_the_earlier_of_two_equals(self):
        assert needed([ended(0, 0.5), ended(1, 0.5)], range(2), 1) == {0}

    def test_those_that_run(self):
        assert needed([running(0), ended(1, 0.5), running(2)], range(3), 1) == {0, 1, 2}

    def test_the_untuned_one_beside_the_best(self):
        trials = [ended(0, 0.1, role="untuned"), ended(1, 0.5), ended(2, 0.4), ended(3, 0.3)]
        assert needed(trials, range(4), 2) == {0, 1, 2}
        failed = [ended(0, None, TrialState.FAIL, role="untuned"), *trials[1:]]
        assert needed(failed, range(4), 2) == {1, 2}

    def test_no_failed_one_whatever_it_measured(self):
        assert needed([ended(0, 0.9, TrialState.FAIL), ended(1, 0.1)], range(2), 3) == {1}

    def test_no_stopped_one_that_never_measured(self):
        assert needed([ended(0, None, TrialState.PRUNED), ended(1, 0.1)], range(2), 3) == {1}

    def test_who_has_none_takes_nobodys_place(self):
        assert needed([ended(0, 0.9), ended(1, 0.5), ended(2, 0.4)], {1, 2}, 1) == {1}

    def test_what_the_study_does_not_know_is_left_alone(self):
        assert needed([ended(0, 0.9), ended(1, 0.8)], {0, 1, 77}, 1) == {0, 77}


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(SearchConfig(runs_dir=tmp_path, name="a"))


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


def test_sizes_now_and_at_most(run, study):
    retention = Retention(run, study, 1)
    for number, value in enumerate((0.5, 0.4)):
        trial = study.ask()
        run.checkpoint(number).write_bytes(bytes(100 * (number + 1)))
        study.tell(trial, value)
    retention.tidy()
    assert run.checkpoint_bytes() == {0: 100}
    assert (retention.now_bytes, retention.peak_bytes) == (100, 300)
    assert Retention(run, study, 1).peak_bytes == 300, "a resumed search counts on"


def test_what_cannot_be_removed_is_said_and_does_no_harm(run, study, told):
    for value in (0.5, 0.4, 0.3):
        study.tell(study.ask(), value)
    run.checkpoint(0).touch()
    run.checkpoint(1).mkdir()  # unlink refuses, for root too
    run.checkpoint(2).touch()
    Retention(run, study, 1).tidy()
    assert set(run.checkpoint_bytes()) == {0, 1}
    assert "the checkpoint of trial 1 cannot be removed" in told.text


def test_other_files_are_left_alone(run, study):
    for name in ("trial-best.pt", "notes.txt", ".trial-00001.pt.0123.partial"):
        (run.checkpoints / name).touch()
    Retention(run, study, 1).tidy()
    assert len(list(run.checkpoints.iterdir())) == 3


@settings(max_examples=60)
@given(
    keep=st.integers(1, 4),
    slots=st.integers(1, 3),
    steps=st.lists(
        st.tuples(
            st.integers(0, 2),  # which of the running trials
            st.sampled_from([None, None, *END_STATES]),  # one more epoch, or an end
            st.integers(0, 20),  # value
            st.booleans(),  # killed before it could tidy
        ),
        max_size=40,
    ),
)
def test_never_too_few_and_in_the_end_never_too_many(tmp_path_factory, keep, slots, steps):
    """As the search does it: checkpoint, result, end, tidying; a kill leaves the rest undone."""
    folder = tmp_path_factory.mktemp("runs")
    run = RunFolder.create(SearchConfig(runs_dir=folder, name="a"))
    study = optuna.create_study(direction="maximize")
    retention = Retention(run, study, keep)
    active = []
    for which, end, value, killed in steps:
        while len(active) < slots:
            active.append(study.ask())
        trial = active[which % slots]
        if end is None:
            run.checkpoint(trial.number).touch()
            trial.report(
                value, step=max(study.trials[trial.number].intermediate_values, default=0) + 1
            )
            continue
        active.remove(trial)
        measured = list(study.trials[trial.number].intermediate_values.values())
        if end is TrialState.COMPLETE and measured:
            study.tell(trial, measured[-1])
        else:
            study.tell(
                trial, state=TrialState.PRUNED if end is TrialState.PRUNED else TrialState.FAIL
            )
        if not killed:
            retention.tidy()
            assert len(run.checkpoint_bytes()) <= keep + slots
        trials = study.get_trials(deepcopy=False)
        there = set(run.checkpoint_bytes())
        best = sorted(
            (t for t in trials if t.state in END_STATES[:2] and t.value is not None),
            key=lambda t: (-t.value, t.number),
        )
        assert {t.number for t in best[:keep]} <= there
        assert {t.number for t in trials if t.last_step and not t.state.is_finished()} <= there
    Retention(run, study, keep).tidy()  # as a resumed search does
    assert len(run.checkpoint_bytes()) <= keep + slots


# One trial after another that ends, as fast as it goes, until it is killed.
ENDLESS = """
import random, sys
from pathlib import Path
import optuna
from covertune.whole import whole_file
from covertune.search.record.retention import Retention
from covertune.search.record.run_folder import RunFolder

optuna.logging.set_verbosity(optuna.logging.ERROR)
run = RunFolder(Path(sys.argv[1]))
study = optuna.create_study(direction="maximize", storage=f"sqlite:///{run.study_file}",
                            study_name="a", load_if_exists=True)
retention = Retention(run, study, 2)
print("begun", flush=True)
while True:
    trial = study.ask()
    with whole_file(run.checkpoint(trial.number)) as out:
        out.write(bytes(1000))
    study.tell(trial, random.random())
    retention.tidy()
"""


@pytest.mark.slow
def test_killed_at_any_moment_the_best_keep_theirs(run):
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(run.path)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "begun\n"
            time.sleep(0.5 + random.Random(attempt).random())
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        study = optuna.load_study(study_name="a", storage=f"sqlite:///{run.study_file}")
        trials = study.get_trials()
        values = sorted((t for t in trials if t.value is not None), key=lambda t: -t.value)
        assert len(values) > 2
        there = set(run.checkpoint_bytes())
        assert {trial.number for trial in values[:2]} <= there
        assert best_trial(trials, with_checkpoint_in=run).number == values[0].number
        assert len(there) <= 2 + 1 + attempt + 1  # one that ran each time, one not yet removed
