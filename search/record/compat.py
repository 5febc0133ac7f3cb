"""Every hook into Optuna's insides. `tests/search/record/test_compat.py` fails when one changes.

Optuna 5.0. What is not public there, and why it is used:

    Study._storage                  a trial's attributes and state without a second `Study`
    _CachedStorage._backend, RDBStorage.engine      SQLAlchemy's engine, to set it up and close it
    FrozenTrial._trial_id           the storage's own number of a trial
    TPESampler._build_parzen_estimator, Study._get_trials    which trials the sampler learns from
"""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

__all__ = [
    "OpenTPESampler",
    "close_storage",
    "running_trial",
    "set_trial_attribute",
    "set_trial_state",
    "storage_of",
    "write_ahead",
]


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return the storage a study lies in."""
    return study._storage


def close_storage(study: optuna.Study) -> None:
    """Let go of a study's database; SQLite leaves one file once nobody else has it open."""
    storage: Any = getattr(study._storage, "_backend", study._storage)
    storage.remove_session()
    storage.engine.dispose()


def write_ahead(storage: RDBStorage) -> None:
    """Let SQLite append to a log, which it merges now and then, and wait for the disk only there.

    A write takes 1 ms instead of 16, and dashboards that read do not hold it up. A process that is
    killed loses nothing; the log lies beside the file until it is opened again. Where a file system
    cannot do it, SQLite stays as it is. https://sqlite.org/wal.html
    """

    def set_up(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(storage.engine, "connect", set_up)
    storage.engine.dispose()  # connections made before


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
