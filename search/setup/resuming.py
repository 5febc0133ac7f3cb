"""Taking up a run: what goes on, what ends, what the new limits are."""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.distributions import check_distribution_compatibility
from optuna.trial import BaseTrial, FixedTrial, FrozenTrial, TrialState

from covertune.data_pipeline import CoverStore
from covertune.search.config import SearchConfig, checked_config
from covertune.search.errors import RunError
from covertune.search.plan import TrainedBefore
from covertune.search.record.compat import set_trial_state
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import finished_count
from covertune.search.record.trial_record import TrialRecord
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.schedule.trial_end import HALVED
from covertune.wording import quoted_path

__all__ = [
    "check_space_unchanged",
    "extended",
    "reclaim_interrupted_trials",
    "remember_rungs",
    "require_same_store",
    "require_work",
    "trained_before",
]

_CHANCES = 5


def require_same_store(run: RunFolder, config: SearchConfig) -> CoverStore:
    """Return the store a run was made on.

    Raises:
        RunError: It holds other covers now; trials could not be compared, nor genres named.
        StoreError: It is gone or damaged.
    """
    assert config.store is not None
    store = CoverStore.open(config.store)
    known = run.manifest().store_fingerprint
    if known is None:
        raise RunError(f"{run.manifest_file} is damaged: it has no store_fingerprint")
    if store.fingerprint != known:
        raise RunError(
            f"the store {store.path} has changed since run {run.name!r} was started; "
            "bring the old store back, or start a new search"
        )
    return store


def check_space_unchanged(
    run: RunFolder, study: optuna.Study, suggest: Callable[[BaseTrial], object]
) -> None:
    """Ask the questions of the search space as the trials of the study were asked them.

    Args:
        run: The run.
        study: Of the run.
        suggest: Asks them.

    Raises:
        RunError: One has other answers now, which a study does not allow.
    """
    for trial in study.get_trials(deepcopy=False):
        if not trial.params or not TrialRecord(trial).has_recipe:
            continue  # nobody asks the yardstick; one killed while it was asked is to be asked more
        asked = FixedTrial(trial.params, trial.number)
        try:
            suggest(asked)
            for name in asked.distributions.keys() & trial.distributions.keys():
                check_distribution_compatibility(
                    trial.distributions[name], asked.distributions[name]
                )
        except ValueError as error:
            what = f"trial {trial.number}: {str(error).rstrip('.')}"
            raise RunError(
                f"the search space has changed since run {run.name!r} was started ({what}); start "
                f"a new search with `--warm-start {quoted_path(run.path)}`, or go on with the "
                "covertune that started it"
            ) from error


def remember_rungs(rule: SuccessiveHalving, study: optuna.Study) -> None:
    """Put back on the rungs what earlier processes measured; yardsticks leave no mark."""
    for trial in study.get_trials(deepcopy=False):
        record = TrialRecord(trial)
        if not record.is_untuned:
            for measured in record.history:
                rule.record(trial.number, measured.epoch, measured.top1)


def reclaim_interrupted_trials(study: optuna.Study, run: RunFolder) -> list[FrozenTrial]:
    """Return interrupted trials: they go on from their checkpoint, or start over if there is none.

    One that was enqueued but never handed out (`WAITING`) is among them. One that successive
    halving had stopped when the process was killed ends here. One that was begun `_CHANCES` times
    in the same epoch ends as failed: it may be what brings the machine down.

    Half-written checkpoints of workers that were killed are removed.
    """
    run.drop_partial_checkpoints()
    going_on = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        record = TrialRecord(trial)
        if record.has_recipe:
            _ = record.recipe  # one that this version cannot read stops here, not in a worker
        history = record.history
        epochs = len(history)
        if history and record.halved_at == history[-1].epoch:
            _end(study, trial, HALVED, TrialState.PRUNED, [history[-1].top1])
            continue
        if record.times_begun_at(epochs) >= _CHANCES:
            reason = f"interrupted {_CHANCES} times in epoch {epochs + 1}"
            _end(study, trial, reason, TrialState.FAIL)
            continue
        if trial.state is TrialState.WAITING:
            set_trial_state(study, trial, TrialState.RUNNING)
        going_on.append(trial)
    return going_on


def _end(
    study: optuna.Study,
    trial: FrozenTrial,
    reason: str,
    state: TrialState,
    values: list[float] | None = None,
) -> None:
    TrialRecord.write_reason(study, trial, reason)
    set_trial_state(study, trial, state, values)


def extended(
    config: SearchConfig,
    trials: int | None,
    time_budget_s: float | None,
    storage: str | None = None,
) -> SearchConfig:
    """Return the configuration with other limits; a new limit of one kind lifts the other.

    Args:
        config: As the run was started.
        trials: In all.
        time_budget_s: In all.
        storage: Where the study lies by now.

    Raises:
        ConfigError: A limit breaks a rule.
    """
    if storage is not None:
        config = config.model_copy(update={"storage": storage}).with_absolute_paths()
    if trials is None and time_budget_s is None:
        return config
    limits = {"trials": trials, "time_budget_s": time_budget_s}
    return checked_config(config.model_dump() | limits)


def require_work(
    config: SearchConfig,
    run: RunFolder,
    study: optuna.Study,
    resumed: list[FrozenTrial],
    budget: Budget,
) -> None:
    """Refuse to start when there is nothing to do.

    Raises:
        RunError: All trials are finished, or the time is used up.
    """
    finished = finished_count(study)
    if resumed or not run.outcome_file.exists():
        return  # something to train, or an ending that was cut short
    if config.trial_limit is not None and finished >= config.trial_limit:
        done = f"all {finished} trials of run {study.study_name!r} are finished"
        if finished == 1:
            done = f"the one trial of run {study.study_name!r} is finished"
        raise RunError(f"{done}; give it more with --trials N (N > {finished}) or --time-budget")
    if budget.is_over:
        raise RunError(
            f"the time budget of run {study.study_name!r} is used up ({budget.spent_s:,.0f} s); "
            "give it more with --time-budget (in all) or --trials"
        )


def trained_before(study: optuna.Study) -> tuple[TrainedBefore, ...]:
    """Return what the trials of a study have taken so far, those that measured nothing left out."""
    records = [TrialRecord(trial) for trial in study.get_trials(deepcopy=False)]
    return tuple(
        TrainedBefore(
            record.settings["backbone"],
            record.settings["image_px"],
            history[-1].epoch,
            record.seconds,
        )
        for record in records
        if (history := record.history)
    )
