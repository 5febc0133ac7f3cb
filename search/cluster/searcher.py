"""Optuna behind Ray Tune's `Searcher`: asks for trials, tells how they ended.

Ray's own `OptunaSearch` tells stopped trials as COMPLETE, loses their last epoch and leaves a trial
with a NaN metric RUNNING for ever; here a trial ends as exactly one of

    COMPLETE  trained to its last epoch
    PRUNED    stopped by successive halving or the budget; value = last measured
    FAIL      error, non-finite loss, collapse; the reason is a user attribute

Whoever is RUNNING when the search is interrupted stays so, and is taken up again on resume. So is,
at once, a trial whose worker is lost; it fails where that happens again and again in one epoch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from covertune.models import ProgressMetrics
from covertune.search.events import SearchObserver
from covertune.search.record.compat import running_trial
from covertune.search.record.constants import (
    BROKEN_OFF,
    CONFUSION,
    EPOCH,
    EXEMPT_FROM_HALVING,
    FAILURE,
    FINISHED,
    METRIC,
    MICRO_BATCH,
    MODE,
    NUMBER,
    RECIPE_AT_FAULT,
    TRACEBACK,
)
from covertune.search.record.trial_record import ROLE_SAMPLED, TrialRecord, progress_of
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.schedule.trial_end import (
    Complete,
    Fail,
    Prune,
    Retry,
    Suspend,
    TrialEnd,
    decide,
)
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.search_space import SearchSpace

__all__ = ["StudySearcher"]

_log = logging.getLogger(__name__)


class StudySearcher(Searcher):  # type: ignore[misc]  # Ray is untyped
    """Ask and tell; holds no state that the study does not hold too."""

    def __init__(
        self,
        study: optuna.Study,
        space: SearchSpace,
        *,
        portfolio: Portfolio,
        trial_limit: int | None,
        rule: SuccessiveHalving,
        budget: Budget,
        resumed: list[FrozenTrial],
        observer: SearchObserver,
    ) -> None:
        """Serve trials until the limit or the time is reached.

        Args:
            study: Written by this object alone while the search runs.
            space: Turns an Optuna trial into a recipe.
            portfolio: Recipes to try before the sampler chooses.
            trial_limit: Trials of the study, ended ones included; None: no limit.
            rule: Keeps what was measured at rungs.
            budget: Says whether another trial may start; learns what first epochs take.
            resumed: RUNNING trials of an earlier process, to be taken up again first.
            observer: Hears of each start and each end.
        """
        super().__init__(metric=METRIC, mode=MODE)
        self._study = study
        self._space = space
        self._portfolio = portfolio
        self._trial_limit = trial_limit
        self._rule = rule
        self._budget = budget
        self._resumed = list(resumed)
        self._observer = observer
        self._running: dict[str, optuna.Trial] = {}
        self._history: dict[int, list[ProgressMetrics]] = {}
        self._halved: set[int] = set()
        self._was_full = False
        for trial in study.get_trials(deepcopy=False):
            for first in TrialRecord(trial).history[:1]:
                budget.first_epoch_took(first.seconds)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of the next trial, None for not now, or `Searcher.FINISHED`."""
        if self._resumed:
            stored = self._resumed.pop(0)
            trial = running_trial(self._study, stored)
            self._history[trial.number] = TrialRecord(stored).history
            return self._start(trial_id, trial)
        if not self._budget.admits_a_trial or self._is_full():
            # Ray takes FINISHED as the last word, and a trial that runs may yet lose its worker.
            ends = not self._running or self._budget.is_halted or self._budget.is_over
            return str(Searcher.FINISHED) if ends else None
        self._portfolio.enqueue_next(self._study)
        return self._start(trial_id, self._study.ask())

    def _is_full(self) -> bool:
        if self._trial_limit is not None and not self._was_full:  # once full, always full
            self._was_full = len(self._study.get_trials(deepcopy=False)) >= self._trial_limit
        return self._was_full

    def _start(self, trial_id: str, trial: optuna.Trial) -> dict[str, Any]:
        """Start a trial, also one whose process was killed in here: what it was given, it keeps."""
        record = TrialRecord(trial)
        if record.role is None:
            record.set_role(ROLE_SAMPLED)
        if not record.has_recipe:
            record.set_recipe(self._space.suggest(trial))
        record.begin(len(self._history.get(trial.number, [])))
        self._running[trial_id] = trial
        self._observer.trial_started(trial.number, record.role or ROLE_SAMPLED, record.recipe)
        return {
            NUMBER: trial.number,
            "recipe": record.settings,
            EXEMPT_FROM_HALVING: record.is_untuned,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hear that an epoch was measured and the trial goes on."""
        self._report(self._running[trial_id], result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Hear that a trial has ended; `on_trial_result` has not seen `result`, its last."""
        trial = self._running.get(trial_id)
        if trial is None:
            return
        result = result or {}
        if BROKEN_OFF in result:
            self._budget.broken_off = result[BROKEN_OFF]
        end = self._end_of(trial, result, lost=error)
        decision = decide(end)
        match decision:
            case Suspend():
                return
            case Retry():
                self._resumed.append(self._stored(trial))
                self._forget(trial_id, trial)
                return
        if METRIC in result:
            if end.halved:
                TrialRecord(trial).set_halved_at(result[EPOCH])
            self._report(trial, result)
        match decision:
            case Complete():
                ended = self._study.tell(trial, result[METRIC])
            case Prune(reason):
                TrialRecord(trial).set_end(reason)
                # Optuna takes the last intermediate value as the value, or none if there is none.
                ended = self._study.tell(trial, state=TrialState.PRUNED)
            case Fail():
                ended = self._fail(trial, decision, result)
        # Only now: if the study could not be written, Ray stops the trial once more.
        self._forget(trial_id, trial)
        self._observer.trial_ended(ended)

    def _end_of(self, trial: optuna.Trial, result: dict[str, Any], *, lost: bool) -> TrialEnd:
        """Return what is known of an end; counts a lost worker."""
        halted = self._budget.is_halted
        # A worker that is lost while the search stops, or after its time, is not the trial's doing.
        counts = lost and not halted and not self._budget.is_over
        return TrialEnd(
            finished=bool(result.get(FINISHED)),
            halved=trial.number in self._halved,
            failure=None if FAILURE not in result else str(result[FAILURE]),
            recipe_at_fault=bool(result.get(RECIPE_AT_FAULT)),
            lost_workers=self._count_lost_worker(trial) if counts else 0,
            is_time_over=self._budget.is_over,
            is_search_halted=halted,
        )

    def halved(self, number: int) -> None:
        """Hear that successive halving has stopped a trial; its end is about to come."""
        self._halved.add(number)

    @property
    def _goes_on_later(self) -> bool:
        """Whether trials that have not ended are left to a later process."""
        return self._budget.is_halted and not self._budget.is_over

    def _count_lost_worker(self, trial: optuna.Trial) -> int:
        """Return how many workers its epoch has cost, one more than before."""
        epochs = len(self._history.get(trial.number, []))
        _log.warning("trial %d lost its worker in epoch %d", trial.number, epochs + 1)
        return TrialRecord(trial).count_lost_worker(epochs)

    def _stored(self, trial: optuna.Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[trial.number]

    def _forget(self, trial_id: str, trial: optuna.Trial) -> None:
        del self._running[trial_id]
        self._history.pop(trial.number, None)

    def finalize_running(self, last_result: Callable[[int], dict[str, Any] | None]) -> None:
        """End what Ray stopped without a word, as it does when a whole experiment ends.

        Args:
            last_result: The result of a trial's checkpoint, by number: the worker may have
                measured one more epoch than Ray passed on.
        """
        if not self._goes_on_later:
            for trial_id in [f"never taken up {number}" for number in range(len(self._resumed))]:
                self.suggest(trial_id)
        for trial_id, trial in list(self._running.items()):
            self.on_trial_complete(trial_id, last_result(trial.number))

    @property
    def has_work(self) -> bool:
        """Whether a resumed search would have anything to train."""
        if self._running or self._resumed:
            return True
        return not (self._budget.is_over or self._is_full())

    def _report(self, trial: optuna.Trial, result: dict[str, Any]) -> None:
        history = self._history.get(trial.number, [])
        progress = progress_of(result)
        if history and history[-1].epoch >= progress.epoch:
            return  # measured before the interruption, and measured again since
        if progress.epoch == 1:
            self._budget.first_epoch_took(progress.seconds)
        trial.report(result[METRIC], step=int(progress.epoch))
        record = TrialRecord(trial)
        record.set_history([*history, progress])
        self._history[trial.number] = [*history, progress]  # once the study has it
        record.set_place(**{name: result[name] for name in ("node", "node_id", "device")})
        if result.get(MICRO_BATCH) not in (None, record.micro_batch):
            self._tell_micro_batch(trial.number, record, result[MICRO_BATCH])
        self._observer.epoch(trial, progress, result[CONFUSION])

    def _tell_micro_batch(self, number: int, record: TrialRecord, covers: int) -> None:
        record.set_micro_batch(covers)
        _log.warning(
            "trial %d ran out of memory: it goes on with its batch of %d, at most %d at a time",
            *(number, record.recipe.batch_size, covers),
        )

    def _fail(self, trial: optuna.Trial, decision: Fail, result: dict[str, Any]) -> FrozenTrial:
        if FAILURE in result:
            if METRIC in result and not TrialRecord(trial).is_untuned:
                self._rule.record(trial.number, result[EPOCH], result[METRIC])
            _log.warning("trial %d failed:\n%s", trial.number, result[TRACEBACK])
        TrialRecord(trial).set_end(decision.reason, recipe_at_fault=decision.recipe_at_fault)
        return self._study.tell(trial, state=TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        """Write the study's name where Ray saves searchers; ours lives in the study."""
        Path(checkpoint_path).write_text(json.dumps({"study": self._study.study_name}))

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a run is resumed from its study."""
