"""Every hook into Optuna's insides. `tests/search/record/test_compat.py` fails when one changes.

Optuna 5.0. What is not public there, and why it is used:

    Study._storage                  a trial's attributes and state without a second `Study`
    _CachedStorage._backend, RDBStorage.engine      SQLAlchemy's engine, to copy and to close it
    RDBStorage(engine_kwargs={"creator", "poolclass"})    connections of our own making; once the
                                    tables are there and checked it never takes two at once
    FrozenTrial._trial_id           the storage's own number of a trial
    Study.set_metric_names          may change: it warns that it is an experiment
    TPESampler._build_parzen_estimator, Study._get_trials    which trials the sampler learns from
"""

from __future__ import annotations

import copy
import sqlite3
import warnings
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

__all__ = [
    "OpenTPESampler",
    "close_storage",
    "copy_database",
    "exclusive_storage",
    "name_metric",
    "read_only_storage",
    "require_sound",
    "running_trial",
    "set_trial_attribute",
    "set_trial_state",
    "storage_of",
]


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return the storage a study lies in."""
    return study._storage


def close_storage(study: optuna.Study) -> None:
    """Let go of a study's database; SQLite leaves one file once nobody else has it open."""
    storage: Any = getattr(study._storage, "_backend", study._storage)
    storage.remove_session()
    storage.engine.dispose()


def exclusive_storage(file: Path, *, timeout_s: float) -> RDBStorage:
    """Open or make a study's file for this process alone.

    It is written ahead: SQLite appends to a log, which it merges now and then, and waits for the
    disk only there. A write takes 1 ms instead of 16, and a process that is killed loses nothing.
    Locked before it is written ahead, it needs no memory shared with other processes, which no
    network file system has. https://sqlite.org/wal.html#noshm

    All threads share its one connection, each waits for its turn.

    Args:
        file: The database.
        timeout_s: How long to wait for another program that has it open.
    """

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(file, timeout=timeout_s, check_same_thread=False)
        try:
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")  # to hold the lock from now on
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection

    # Making and checking the tables, Optuna takes a second connection while it holds one.
    made = RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": StaticPool})
    made.remove_session()
    made.engine.dispose()
    return RDBStorage(
        "sqlite://",
        engine_kwargs={
            "creator": connect,
            "poolclass": QueuePool,
            "pool_size": 1,
            "max_overflow": 0,
        },
        skip_compatibility_check=True,
        skip_table_creation=True,
    )


def require_sound(storage: RDBStorage) -> None:
    """Have SQLite look through a whole database.

    Raises:
        sqlite3.DatabaseError: It is damaged.
    """
    connection = storage.engine.raw_connection()
    try:
        [[found], *_] = connection.cursor().execute("PRAGMA quick_check(1)").fetchall()
    finally:
        connection.close()
    if found != "ok":
        raise sqlite3.DatabaseError(" ".join(found.split()))


def read_only_storage(connect: Callable[[], sqlite3.Connection]) -> RDBStorage:
    """Open a study that is only looked at.

    Each look has a connection of its own, and so sees what lies there by then.

    Args:
        connect: Makes a connection that any thread may use.
    """
    return RDBStorage(
        "sqlite://",
        engine_kwargs={"creator": connect, "poolclass": NullPool},
        skip_table_creation=True,
    )


def copy_database(study: optuna.Study, into: str) -> None:
    """Copy the database a study lies in, as it stands, into an empty file.

    Raises:
        sqlite3.Error: It is damaged, or the file cannot be written.
    """
    storage: Any = getattr(study._storage, "_backend", study._storage)
    connection = storage.engine.raw_connection()
    try:
        connection.cursor().execute("VACUUM INTO ?", (into,))
    finally:
        connection.close()


def name_metric(study: optuna.Study, name: str) -> None:
    """Say what the value of trials is."""
    if study.metric_names != [name]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([name])


def running_trial(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """Return a trial that still runs, to be reported to and told."""
    return optuna.Trial(study, trial._trial_id)


def set_trial_attribute(study: optuna.Study, trial: FrozenTrial, name: str, value: Any) -> None:
    """Set a user attribute of a trial that nobody runs."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def set_trial_state(
    study: optuna.Study, trial: FrozenTrial, state: TrialState, values: list[float] | None = None
) -> None:
    """Set the state of a trial that nobody runs."""
    study._storage.set_trial_state_values(trial._trial_id, state, values)


class OpenTPESampler(TPESampler):
    """TPE whose view of the trials a subclass may change."""

    _view: tuple[int, _StudyView] | None = None  # of the trial that is being asked for

    def trials_seen(self, study: optuna.Study) -> list[FrozenTrial]:
        """Return the trials it learns from; asked once for each trial that it samples."""
        return study.get_trials(deepcopy=False)

    def more_bad_trials(
        self, seen: list[FrozenTrial], search_space: dict[str, Any]
    ) -> list[FrozenTrial]:
        """Return trials that join those of g(x), the density of bad ones."""
        return []

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `BaseSampler`."""
        if self._view is None or self._view[0] != trial.number:
            self._view = trial.number, _StudyView(study, self.trials_seen(study))
        view = cast(optuna.Study, self._view[1])
        return super().sample_independent(view, trial, param_name, param_distribution)

    def _build_parzen_estimator(
        self,
        study: optuna.Study,
        search_space: dict[str, Any],
        trials: list[FrozenTrial],
        handle_below: bool,
    ) -> Any:
        if not handle_below:
            seen = study._get_trials(deepcopy=False)
            trials = trials + self.more_bad_trials(seen, search_space)
        return super()._build_parzen_estimator(study, search_space, trials, handle_below)


class _StudyView:
    """A study with other trials, as it was when it was looked at.

    One process alone writes it, and reading it anew for each parameter takes milliseconds.
    """

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        self._viewed_study = study
        self._viewed_trials = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._viewed_study, name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = [t for t in self._viewed_trials if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials
