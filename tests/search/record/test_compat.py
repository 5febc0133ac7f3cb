"""Optuna's insides are as `record.compat` takes them to be."""

import inspect
import sqlite3

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from covertune.search.record.compat import (
    OpenTPESampler,
    close_storage,
    copy_database,
    exclusive_storage,
    read_only_storage,
    require_sound,
    running_trial,
    set_trial_attribute,
    set_trial_state,
    storage_of,
)


def study_in(folder, **options):
    return optuna.create_study(
        storage=f"sqlite:///{folder / 'study.db'}", direction="maximize", **options
    )


def test_a_trial_nobody_runs_is_changed_through_the_storage(tmp_path):
    study = study_in(tmp_path)
    study.ask()
    [trial] = study.get_trials()
    set_trial_attribute(study, trial, "reason", "lost")
    set_trial_state(study, trial, TrialState.PRUNED, [0.5])
    [trial] = study.get_trials()
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.5)
    assert trial.user_attrs == {"reason": "lost"}


def test_a_running_trial_goes_on(tmp_path):
    study = study_in(tmp_path)
    study.ask()
    again = running_trial(study, study.get_trials()[0])
    again.report(0.3, step=1)
    study.tell(again, 0.4)
    assert study.trials[0].intermediate_values == {1: 0.3}


def test_closing_reaches_the_engine_behind_the_cache(tmp_path):
    study = study_in(tmp_path)
    storage = storage_of(study)
    assert isinstance(storage._backend, RDBStorage)
    assert storage._backend.engine.pool.checkedin() >= 0
    close_storage(study)
    assert storage._backend.engine.pool.checkedin() == 0


def test_what_is_driven_is_written_ahead_and_locked(tmp_path):
    storage = exclusive_storage(tmp_path / "study.db", timeout_s=0.1)
    study = optuna.create_study(storage=storage)
    study.ask()
    assert not (tmp_path / "study.db-shm").exists()
    with storage.engine.connect() as connection:
        told = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "locking_mode")
        ]
    assert told == ["wal", 1, "exclusive"]
    with pytest.raises(OperationalError, match="database is locked"):
        exclusive_storage(tmp_path / "study.db", timeout_s=0.1)
    close_storage(study)
    again = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert len(again.trials) == 1, "once it is closed, anybody may"
    close_storage(again)


def test_a_copy_is_whole_and_is_read_as_it_stands(tmp_path):
    study = optuna.create_study(storage=exclusive_storage(tmp_path / "study.db", timeout_s=1))
    study.tell(study.ask(), 0.5)
    copy = tmp_path / "copy.db"
    copy.touch()
    copy_database(study, str(copy))
    storage = read_only_storage(
        lambda: sqlite3.connect(f"file:{copy}?immutable=1", uri=True, check_same_thread=False)
    )
    looking = optuna.load_study(study_name=study.study_name, storage=storage)
    assert [trial.value for trial in looking.trials] == [0.5]
    study.tell(study.ask(), 0.75)
    (tmp_path / "next.db").touch()
    copy_database(study, str(tmp_path / "next.db"))
    (tmp_path / "next.db").rename(copy)
    assert [trial.value for trial in looking.trials] == [0.5, 0.75]
    require_sound(storage)
    close_storage(study)


def test_the_samplers_hooks_are_where_they_were():
    wanted = ["self", "study", "search_space", "trials", "handle_below"]
    assert list(inspect.signature(TPESampler._build_parzen_estimator).parameters) == wanted
    parameters = inspect.signature(optuna.Study._get_trials).parameters
    assert list(parameters) == ["self", "deepcopy", "states", "use_cache"]


def test_the_sampler_learns_from_what_it_is_shown():
    """Its view is asked for once a trial, and more bad trials once a parameter."""
    shown, bad = [], []

    class Sampler(OpenTPESampler):
        def trials_seen(self, study):
            kept = [trial for trial in super().trials_seen(study) if trial.number % 2]
            shown.append({trial.number for trial in kept})
            return kept

        def more_bad_trials(self, seen, search_space):
            bad.append({trial.number for trial in seen})
            return []

    sampler = Sampler(n_startup_trials=4, multivariate=False, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
    for number in range(12):
        params = {"x": number / 12, "y": 0.5}
        study.add_trial(create_trial(params=params, distributions=distributions, value=number / 12))
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.suggest_float("y", 0, 1)
    assert shown == [{1, 3, 5, 7, 9, 11}]
    assert bad == [shown[0], shown[0]]
