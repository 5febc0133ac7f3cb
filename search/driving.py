"""The trials of a search from the first to the last, and what comes of them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from covertune.search.breaking_off import go_on
from covertune.search.cluster.experiment import run_trials
from covertune.search.cluster.scheduler import HalvingScheduler
from covertune.search.cluster.searcher import StudySearcher
from covertune.search.cluster.trainable import TrialInputs
from covertune.search.config import SearchConfig
from covertune.search.errors import Interrupted, RunError, SearchError
from covertune.search.events import SearchObserver, SearchPlan
from covertune.search.finish.outcome import Outcome, conclude
from covertune.search.plan import InputVariant
from covertune.search.record.checkpoints import checkpoint_result
from covertune.search.record.exported import name_value
from covertune.search.record.owner import Ownership
from covertune.search.record.pictures import TrialPictures
from covertune.search.record.published_copy import PublishedCopy
from covertune.search.record.reporter import Reporter
from covertune.search.record.retention import Retention
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.tensorboard import TensorBoard
from covertune.search.record.trial_record import TrialRecord
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.schedule.stop_signals import stopped_by_signals
from covertune.search.schedule.trial_end import OUT_OF_TIME
from covertune.search.setup.resuming import remember_rungs
from covertune.search.setup.set_up import SearchContext
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.warm_start import EarlierRecipe
from covertune.vocabulary import SPLITS
from covertune.wording import few

__all__ = ["SearchResult", "drive"]


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What a search leaves behind."""

    run: RunFolder
    trials: list[FrozenTrial]
    outcome: Outcome

    def __repr__(self) -> str:
        """Return a few lines; a notebook shows them where a cell ends with a search."""
        best = self.outcome.best
        return (
            f"SearchResult(\n  run={str(self.run.path)!r},\n  trials={len(self.trials)},\n"
            f"  best={best.what!r}, top-1 {best.val_top1:.3f} on validation, "
            f"{best.test.top1:.3f} on test,\n  model={str(self.outcome.model)!r},\n)"
        )


def drive(
    config: SearchConfig,
    context: SearchContext,
    study: optuna.Study,
    budget: Budget,
    observer: SearchObserver,
    ownership: Ownership,
    copy: PublishedCopy,
    resumed: list[FrozenTrial],
) -> SearchResult:
    """Run trials until the budget is used up, then conclude.

    Args:
        config: Of the search.
        context: What its trials share.
        study: Keeps what they do.
        budget: Ends them.
        observer: Hears what happens.
        ownership: Tells whether the run is still this process's.
        copy: Of the study, for whoever looks on.
        resumed: Interrupted trials of an earlier process, to be taken up first.
    """
    run = context.run
    retention = Retention(run, study, config.keep_checkpoints)
    pictures = TrialPictures(study, run.artifacts, context.store.genres)
    tensorboard = TensorBoard(run.tensorboard)
    reporter = Reporter(
        study, lambda: budget.spent_s, pictures, tensorboard, retention, copy, observer
    )
    searcher, scheduler = _search_algorithm(config, context, study, budget, reporter, resumed)
    reporter.write_clock()
    name_value(study)
    trials = study.get_trials(deepcopy=False)
    observer.started(_plan(config, context), trials, budget.spent_s)
    run.outcome_file.unlink(missing_ok=True)  # until there is a new one, nothing is concluded

    def every_turn() -> None:
        reporter.keep_clock()
        reporter.keep_copy()
        if (host := ownership.taken_by) is not None:
            budget.broken_off = f"{host!r} has taken the run over"
        for warning in context.graph_check.warnings():
            reporter.warn(warning)

    with ExitStack() as ending:
        for close in (observer.ended, pictures.close, tensorboard.close, reporter.write_clock):
            ending.callback(close)
        ending.callback(context.graph_check.cancel)
        inputs = _trial_inputs(context)
        with stopped_by_signals(budget, observer.stopping):
            run_trials(inputs, context.slots, run.tune, budget, searcher, scheduler, every_turn)
        searcher.finalize_running(lambda number: _last_result(run, number))
    copy.publish()
    _require_an_end(run, study, budget, searcher, ownership)
    run.drop_partial_checkpoints()
    retention.tidy()  # a worker may have saved once more after its trial had ended
    outcome = conclude(context, study, budget.spent_s, retention, observer)
    return SearchResult(run, study.get_trials(deepcopy=False), outcome)


def _search_algorithm(
    config: SearchConfig,
    context: SearchContext,
    study: optuna.Study,
    budget: Budget,
    reporter: Reporter,
    resumed: list[FrozenTrial],
) -> tuple[StudySearcher, HalvingScheduler]:
    """Make what chooses trials, and what stops them early."""
    earlier = map(EarlierRecipe.model_validate, context.run.manifest().earlier_recipes)
    rule = SuccessiveHalving(config.halving, covers=context.feed.count("val"))
    remember_rungs(rule, study)
    searcher = StudySearcher(
        study,
        context.space,
        portfolio=Portfolio(context.space, list(earlier)),
        trial_limit=config.trial_limit,
        rule=rule,
        budget=budget,
        resumed=resumed,
        observer=reporter,
    )
    return searcher, HalvingScheduler(rule, searcher.halved)


def _plan(config: SearchConfig, context: SearchContext) -> SearchPlan:
    return SearchPlan(
        run=context.run.path,
        store=str(context.store.path),
        genres=len(context.store.genres),
        covers={split: context.feed.count(split) for split in SPLITS},
        slots=context.slots,
        trial_limit=config.trial_limit,
        time_budget_s=config.time_budget_s,
        epochs=config.epochs,
        baseline=config.baseline_or(context.probe_top1),
        mean_epochs=SuccessiveHalving(config.halving).mean_epochs(),
    )


def _trial_inputs(context: SearchContext) -> TrialInputs:
    return TrialInputs(
        splits=context.splits,
        heads={InputVariant.of(probe): probe.head for probe in context.probes},
        genres=tuple(context.store.genres),
        checkpoints=context.run.checkpoints,
        cpus_per_trial=context.slots.cpus_per_trial,
    )


def _require_an_end(
    run: RunFolder,
    study: optuna.Study,
    budget: Budget,
    searcher: StudySearcher,
    ownership: Ownership,
) -> None:
    """Require that trials have all ended, and that one at least measured something.

    Raises:
        Interrupted: The user stopped the search, and there is more to train.
        RunError: Another machine has taken the run over.
        SearchError: It broke off, or no trial measured anything.
    """
    if (host := ownership.taken_by) is not None:
        raise RunError(
            f"run {run.name!r} is driven from another machine, {host!r}, by now; follow it there"
        )
    if budget.broken_off is not None:
        raise SearchError(f"the search broke off: {budget.broken_off}; mend that, and {go_on(run)}")
    if budget.interrupted and searcher.has_work:
        raise Interrupted(go_on(run))
    trials = study.get_trials(deepcopy=False)
    if not any(trial.value is not None for trial in trials):
        raise SearchError(_why_nothing_was_measured(run, trials))


def _why_nothing_was_measured(run: RunFolder, trials: list[FrozenTrial]) -> str:
    nothing = f"no trial of run {run.name!r} measured anything"
    reasons = sorted({str(TrialRecord(trial).reason) for trial in trials})
    if set(reasons) <= {OUT_OF_TIME}:
        more = f"{run.resume_command} --time-budget 20m"
        return f"{nothing} before the time budget was spent; give it more, e.g. `{more}`"
    told = few(reasons, separator="; ", item_chars=200)
    return f"{nothing}: {told}; see {run.log_file}"


def _last_result(run: RunFolder, number: int) -> dict[str, Any] | None:
    """Return what a trial's checkpoint says it measured; None if there is no checkpoint."""
    checkpoint = run.checkpoint(number)
    return checkpoint_result(checkpoint) if checkpoint.exists() else None
