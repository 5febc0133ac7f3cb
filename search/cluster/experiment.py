"""The trials of a search as one experiment of Ray Tune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from covertune.search.cluster.budget_stopper import BudgetStopper
from covertune.search.cluster.compat import run_experiment
from covertune.search.cluster.scheduler import HalvingScheduler
from covertune.search.cluster.searcher import StudySearcher
from covertune.search.cluster.trainable import CoverTrial, TrialInputs
from covertune.search.plan import Slots
from covertune.search.schedule.budget import Budget

__all__ = ["run_trials"]


def run_trials(
    inputs: TrialInputs,
    slots: Slots,
    folder: Path,
    budget: Budget,
    searcher: StudySearcher,
    scheduler: HalvingScheduler,
    every_turn: Callable[[], None],
) -> None:
    """Run trials until the searcher has no more or the budget is used up.

    Args:
        inputs: What all trials share.
        slots: How many run side by side, and what each holds.
        folder: Ray Tune's, of the run; each call makes a folder of its own in it.
        budget: Ends all trials.
        searcher: Hands out trials, hears how they end.
        scheduler: Says which go on after an epoch.
        every_turn: Called in every turn of Ray's loop.

    Raises:
        RayError: One that Tune did not expect of a worker.
    """
    sessions = len(list(folder.glob("session-*")))
    run_experiment(
        tune.with_parameters(CoverTrial, inputs=inputs),
        name=f"session-{sessions + 1}",
        storage_path=str(folder),
        resources_per_trial={"cpu": slots.cpus_per_trial, "gpu": slots.gpus_per_trial},
        search_alg=searcher,
        scheduler=scheduler,
        num_samples=-1,  # the searcher knows when it is full
        max_concurrent_trials=slots.count,
        reuse_actors=True,
        stop=BudgetStopper(budget),
        max_failures=0,  # the searcher hands a trial that lost its worker out again
        raise_on_failed_trial=False,
        callbacks=[_EveryTurn(every_turn)],
        trial_dirname_creator=_trial_name,
        trial_name_creator=_trial_name,
        progress_reporter=tune.CLIReporter(),  # in a notebook Tune's own would clear the cell
        verbose=0,
    )


class _EveryTurn(tune.Callback):  # type: ignore[misc]  # Ray is untyped
    """Calls a function in every turn of Ray's loop."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_step_end(self, iteration: int, trials: list[Any], **_info: Any) -> None:
        self._call()


def _trial_name(trial: tune.experiment.Trial) -> str:
    return f"trial-{trial.config['number']:05d}"
