"""The Optuna study: the single source of truth about a run's trials.

What a trial carries beside Optuna's own fields: `trial_record`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any, Final

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from covertune.models import Recipe
from covertune.search.errors import RunError
from covertune.search.record.compat import close_storage, write_ahead
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.trial_record import TrialRecord
from covertune.wording import first_line

__all__ = [
    "ELAPSED_S",
    "TrialRow",
    "best_trial",
    "create_study",
    "finished_count",
    "latest_value",
    "open_study",
    "ranked",
    "read_trials",
    "recipe_of",
    "require_free_name",
    "trial_rows",
]

ELAPSED_S: Final = "elapsed_s"
_BUSY_TIMEOUT_S = 60


class TrialRow(BaseModel):
    """One line of the table of trials; the fields of `covertune trials --json`."""

    number: int = Field(description="In the study, from 0.")
    state: str = Field(description="`COMPLETE`, `PRUNED`, `FAIL`, or `RUNNING`.")
    reason: str | None = Field(description="Why it was stopped or failed.")
    value: float | None = Field(description="Validation top-1 that was measured last.")
    epochs: int = Field(description="Measured so far.")
    seconds: float = Field(description="What its epochs took.")
    params: dict[str, Any] = Field(description="Its recipe, every setting.")
    node: str | None = Field(description="The machine it ran on.")
    device: str | None = Field(description="What it computed on.")


def _storage(run: RunFolder, url: str | None, *, driven: bool = False) -> RDBStorage:
    # Optuna tells of every trial on its own logger; ours is the table.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if url is None:
        url = f"sqlite:///{run.study_file}"
    arguments = {"timeout": _BUSY_TIMEOUT_S} if url.startswith("sqlite") else {}
    try:
        storage = RDBStorage(url, engine_kwargs={"connect_args": arguments})
        if driven and url.startswith("sqlite"):
            write_ahead(storage)
        return storage
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = first_line(error, at_most=None)
        raise RunError(f"cannot open the study at {url}: {reason}") from error


def require_free_name(run: RunFolder, url: str | None) -> None:
    """Say early, before anything long starts, that a study cannot be made.

    Raises:
        RunError: The storage cannot be opened, or holds a study of the run's name.
    """
    if url is not None and run.name in optuna.get_all_study_names(_storage(run, url)):
        raise _taken(run, url)


def _taken(run: RunFolder, url: str | None) -> RunError:
    return RunError(
        f"the storage {url or run.study_file} holds a study {run.name!r} already; "
        "choose another --name"
    )


def create_study(
    run: RunFolder,
    sampler: optuna.samplers.BaseSampler,
    url: str | None,
    *,
    maybe_made: bool = False,
) -> optuna.Study:
    """Make the run's study; its name is the run's.

    Args:
        run: The run.
        sampler: Chooses what trials try.
        url: Of the storage; None: study.db in the run folder.
        maybe_made: Whether an earlier process of this run may have come this far.

    Raises:
        RunError: The storage cannot be opened, or holds a study of that name.
    """
    try:
        return optuna.create_study(
            storage=_storage(run, url, driven=True),
            sampler=sampler,
            study_name=run.name,
            direction=StudyDirection.MAXIMIZE,
            load_if_exists=maybe_made,
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise _taken(run, url) from error


def open_study(run: RunFolder, *, driven: bool = False) -> optuna.Study:
    """Load the study of an existing run.

    Args:
        run: Whose.
        driven: Whether a search is to write it.

    Raises:
        RunError: It is missing or cannot be read.
    """
    manifest = run.manifest()
    if not manifest.is_prepared:
        raise RunError(
            f"run {run.name!r} has no trial yet; unless it is being prepared at this moment, go on "
            f"with `covertune resume {os.path.relpath(run.path)}`"
        )
    url = manifest.search_config(run.manifest_file).storage
    if url is None and not run.study_file.is_file():
        raise RunError(f"run {run.path} has no study.db; bring the file back, or search anew")
    try:
        return optuna.load_study(
            study_name=manifest.study, storage=_storage(run, url, driven=driven)
        )
    except KeyError as error:
        raise RunError(
            f"{url or run.study_file} holds no study {manifest.study!r}; bring the one of run "
            f"{run.name!r} back, or search anew"
        ) from error


def read_trials(run: RunFolder) -> list[FrozenTrial]:
    """Read all trials of an existing run, by number, however they stand.

    Raises:
        RunError: As for `open_study`.
    """
    study = open_study(run)
    try:
        return study.get_trials(deepcopy=False)
    finally:
        close_storage(study)


def recipe_of(trial: FrozenTrial) -> Recipe:
    """Return the recipe a trial was trained with.

    Raises:
        RunError: It has none, or one of another version of covertune.
    """
    return TrialRecord(trial).recipe


def finished_count(study: optuna.Study) -> int:
    """Count trials that have ended, however they ended."""
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def ranked(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return trials with a value, the best first, whether they ran to the end or were stopped.

    A stopped trial's value is what its model measures too. Ties go to the earlier trial.
    """
    measured = [
        (trial.value, trial)
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.value is not None
    ]
    return [trial for value, trial in sorted(measured, key=lambda pair: (-pair[0], pair[1].number))]


def best_trial(
    trials: Iterable[FrozenTrial], *, with_checkpoint_in: RunFolder | None = None
) -> FrozenTrial | None:
    """Return the first of `ranked`; None if no trial has a value.

    Args:
        trials: Candidates.
        with_checkpoint_in: Only those whose checkpoint this run still holds.
    """
    return next(
        (
            trial
            for trial in ranked(trials)
            if with_checkpoint_in is None or with_checkpoint_in.checkpoint(trial.number).exists()
        ),
        None,
    )


def latest_value(trial: FrozenTrial) -> float | None:
    """Return what a trial measured last, running or ended; None if nothing, or if it has failed."""
    if trial.state is TrialState.FAIL or trial.last_step is None:
        return None
    return trial.intermediate_values[trial.last_step]


def trial_rows(trials: Iterable[FrozenTrial]) -> list[TrialRow]:
    """Return the table of trials."""
    return [_row(trial) for trial in trials]


def _row(trial: FrozenTrial) -> TrialRow:
    record = TrialRecord(trial)
    return TrialRow(
        number=trial.number,
        state=trial.state.name,
        reason=record.reason,
        value=latest_value(trial) if trial.state is TrialState.RUNNING else trial.value,
        epochs=len(trial.intermediate_values),
        seconds=round(record.seconds, 2),
        params=trial.params or record.settings,
        node=record.node,
        device=record.device,
    )
