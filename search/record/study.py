"""The Optuna study: the single source of truth about a run's trials.

What a trial carries beside Optuna's own fields: `trial_record`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from covertune.models import Recipe
from covertune.passwords import hide_passwords
from covertune.search.errors import RunError
from covertune.search.record.compat import close_storage, require_sound
from covertune.search.record.manifest import RunManifest
from covertune.search.record.opening import (
    driven_storage,
    is_about_the_data,
    looked_at,
    root_of,
    storage_at,
)
from covertune.search.record.published_copy import go_on_from_copy
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.trial_record import TrialRecord
from covertune.search.record.trial_rows import row_of
from covertune.wording import named_first_line

__all__ = [
    "ELAPSED_S",
    "best_trial",
    "create_study",
    "drive_study",
    "finished_count",
    "numbered",
    "open_study",
    "ranked",
    "read_trials",
    "recipe_of",
    "require_free_name",
]

ELAPSED_S: Final = "elapsed_s"


def require_free_name(run: RunFolder, url: str | None) -> None:
    """Say early, before anything long starts, that a study cannot be made.

    Raises:
        RunError: The storage cannot be opened, or holds a study of the run's name.
    """
    if url is not None and run.name in optuna.get_all_study_names(storage_at(url)):
        raise _taken(run, url)


def _taken(run: RunFolder, url: str | None) -> RunError:
    return RunError(
        f"the storage {_shown(run, url)} holds a study {run.name!r} already; choose another --name"
    )


def _shown(run: RunFolder, url: str | None) -> str:
    return str(run.study_file) if url is None else hide_passwords(url)


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
            storage=driven_storage(run.study_file) if url is None else storage_at(url),
            sampler=sampler,
            study_name=run.name,
            direction=StudyDirection.MAXIMIZE,
            load_if_exists=maybe_made,
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise _taken(run, url) from error


def open_study(run: RunFolder, *, url: str | None = None) -> optuna.Study:
    """Load the study of an existing run, to look at it: it cannot be written.

    What is seen of a run that goes on is a few seconds old.

    Args:
        run: Whose.
        url: Of the storage; None: what the run was started with.

    Raises:
        RunError: It is missing or cannot be read.
    """
    manifest = _prepared(run)
    url = url or manifest.search_config(run.manifest_file).storage
    if url is not None:
        return _readable(run, manifest.study, url)
    damages = []
    for file in (run.study_copy, run.study_file):
        if file.is_file():
            try:
                return _checked(looked_at(file), manifest.study)
            except Exception as error:  # what is damaged may raise anything
                damages.append(_damage(file, error))
    if not damages:
        raise RunError(f"run {run.path} has no study.db; bring the file back, or search anew")
    raise _beyond_repair(run, damages)


def drive_study(
    run: RunFolder, *, url: str | None = None, warn: Callable[[str], None] = lambda text: None
) -> optuna.Study:
    """Load the study of an existing run, to go on with it; nobody else may have it open.

    One that is damaged goes on from its published copy.

    Args:
        run: Whose.
        url: Of the storage; None: what the run was started with.
        warn: Hears what was lost.

    Raises:
        RunError: It is missing or cannot be read, and there is no copy to go on from.
    """
    manifest = _prepared(run)
    url = url or manifest.search_config(run.manifest_file).storage
    if url is not None:
        return _readable(run, manifest.study, url)
    if not run.study_file.is_file() and not run.study_copy.is_file():
        raise RunError(f"run {run.path} has no study.db; bring the file back, or search anew")
    damage = "study.db: it is gone"
    if run.study_file.is_file():
        try:
            return _driven(run, manifest.study)
        except Exception as error:
            damage = _damage(run.study_file, error)
    if not run.study_copy.is_file():
        raise _beyond_repair(run, [damage])
    try:
        copied = _checked(looked_at(run.study_copy), manifest.study).get_trials(deepcopy=False)
    except Exception as error:
        raise _beyond_repair(run, [damage, _damage(run.study_copy, error)]) from error
    aside = go_on_from_copy(run, copied)
    warn(
        f"the study was damaged ({damage}): going on from its last copy, with {len(copied)} "
        f"trials; what was damaged lies in {aside}"
    )
    return _driven(run, manifest.study)


def _prepared(run: RunFolder) -> RunManifest:
    manifest = run.manifest()
    if not manifest.is_prepared:
        raise RunError(
            f"run {run.name!r} has no trial yet; unless it is being prepared at this moment, go on "
            f"with `{run.resume_command}`"
        )
    return manifest


def _readable(run: RunFolder, name: str, url: str) -> optuna.Study:
    """Load a study from a storage of the user's."""
    storage = storage_at(url, to_look=True)
    try:
        return _checked(storage, name)
    except KeyError as error:
        raise RunError(
            f"{_shown(run, url)} holds no study {name!r}; bring the one of run {run.name!r} back, "
            "or search anew"
        ) from error
    except Exception as error:
        raise RunError(
            f"the study at {_shown(run, url)} cannot be read: {_why(error)}; bring it back from a "
            "backup, or search anew"
        ) from error


def _driven(run: RunFolder, name: str) -> optuna.Study:
    storage = driven_storage(run.study_file)
    try:
        return _checked(storage, name, thoroughly=True)
    except BaseException:
        storage.remove_session()
        storage.engine.dispose()
        raise


def _checked(storage: RDBStorage, name: str, *, thoroughly: bool = False) -> optuna.Study:
    """Load a study and read all of it once.

    Raises:
        Exception: Anything, if what it holds is not what was written.
    """
    if thoroughly:
        require_sound(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    require_readable(study)
    return study


def require_readable(study: optuna.Study) -> None:
    """Read all of a study once.

    Raises:
        Exception: Anything, if what it holds is not what was written.
    """
    float(study.user_attrs.get(ELAPSED_S, 0.0))
    for place, trial in enumerate(study.get_trials(deepcopy=False)):
        if trial.number != place:
            raise ValueError(f"trial {trial.number} is in the place of {place}")
        for name, distribution in trial.distributions.items():
            distribution.to_internal_repr(trial.params[name])
        for step, value in trial.intermediate_values.items():
            if not isinstance(value, float) or not isinstance(step, int):
                raise ValueError(f"trial {place} has the value {value!r} at epoch {step!r}")
        row_of(trial, exported=False)
        TrialRecord(trial).require_readable()


def _why(error: Exception) -> str:
    """Say in a few words what is wrong with a study."""
    return hide_passwords(named_first_line(root_of(error)))


def _damage(file: Path, error: Exception) -> str:
    """Say what a file holds that cannot be read.

    Raises:
        RunError: It is the machine that does not let it be read.
    """
    if isinstance(error, RunError):
        raise error
    if not is_about_the_data(error):
        raise RunError(
            f"cannot read {file}: {_why(error)}; see to the disk and its permissions"
        ) from error
    return f"{file.name}: {_why(error)}"


def _beyond_repair(run: RunFolder, damages: list[str]) -> RunError:
    return RunError(
        f"the study of run {run.name!r} is damaged ({'; '.join(damages)}), and so there is nothing "
        "to go on from; bring study.db back from a backup, or search anew"
    )


def read_trials(run: RunFolder, *, url: str | None = None) -> list[FrozenTrial]:
    """Read all trials of an existing run, by number, however they stand.

    Args:
        run: Whose.
        url: Of the storage; None: what the run was started with.

    Raises:
        RunError: As for `open_study`.
    """
    study = open_study(run, url=url)
    try:
        return study.get_trials(deepcopy=False)
    finally:
        close_storage(study)


def numbered(trials: Sequence[FrozenTrial], number: int, run: RunFolder) -> FrozenTrial:
    """Return the trial of a number.

    Args:
        trials: All of the run's, by number.
        number: Asked for.
        run: For the message.

    Raises:
        RunError: There is none.
    """
    if 0 <= number < len(trials):
        return trials[number]
    known = f"its trials are 0 to {len(trials) - 1}" if trials else "it has none yet"
    raise RunError(f"run {run.name!r} has no trial {number}; {known}")


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
