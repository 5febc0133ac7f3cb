"""Runs a search from an empty folder to an exported model, and takes up one that was stopped.

open store -> run folder -> Ray -> preflight -> decode once -> probe -> trials -> outcome
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial
from ray.exceptions import RayError
from ray.tune.error import TuneError
from sqlalchemy.exc import SQLAlchemyError

from covertune.data_pipeline import CoverStore
from covertune.data_pipeline.local_ray import require_main_guard
from covertune.models import ModelError, get_backbone
from covertune.passwords import hide_passwords
from covertune.search.cluster.experiment import run_trials
from covertune.search.cluster.scheduler import HalvingScheduler
from covertune.search.cluster.searcher import StudySearcher
from covertune.search.cluster.session import log_to_file, ray_session, slow_store
from covertune.search.cluster.trainable import TrialInputs
from covertune.search.config import SearchConfig
from covertune.search.errors import ConfigError, Interrupted, RunError, SearchError
from covertune.search.events import SearchObserver, SearchPlan
from covertune.search.finish.outcome import Outcome, conclude
from covertune.search.notebook import default_observer
from covertune.search.plan import InputVariant
from covertune.search.record.checkpoints import checkpoint_result
from covertune.search.record.compat import close_storage
from covertune.search.record.exported import name_value
from covertune.search.record.owner import Ownership
from covertune.search.record.pictures import TrialPictures
from covertune.search.record.published_copy import PublishedCopy
from covertune.search.record.reporter import Reporter
from covertune.search.record.retention import Retention
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import (
    ELAPSED_S,
    create_study,
    drive_study,
    finished_count,
    require_free_name,
)
from covertune.search.record.tensorboard import TensorBoard
from covertune.search.record.trial_record import TrialRecord
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.schedule.stop_signals import interrupted_by_signals, stopped_by_signals
from covertune.search.setup.resuming import (
    check_space_unchanged,
    extended,
    reclaim_interrupted_trials,
    remember_rungs,
    require_same_store,
    require_work,
    trained_before,
)
from covertune.search.setup.sample_store import sample_store
from covertune.search.setup.set_up import SearchContext, set_up
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.sampler import make_sampler
from covertune.search.space.warm_start import EarlierRecipe, earlier_recipes
from covertune.vocabulary import SPLITS
from covertune.wording import few, named_first_line, quoted_path

__all__ = ["SearchResult", "resume_search", "run_search"]

_log = logging.getLogger(__name__)
_BREAKS_OFF = (TuneError, OptunaError, SQLAlchemyError, RayError, OSError)


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


def run_search(config: SearchConfig, observer: SearchObserver | None = None) -> SearchResult:
    """Search, measure the winner on the test split once, and export it to `RUN/model`.

    Args:
        config: What to search; `store=None` searches generated sample covers.
        observer: Hears what happens; None: in a notebook lines are printed, elsewhere none.

    Raises:
        SearchError: The configuration, the folder or the machine does not allow it; nothing is
            left behind.
        Interrupted: Stopped by the user after the first trial began; the run can be resumed.
        DataError: The store cannot be used, or the main module has no guard.
    """
    require_main_guard()
    observer = observer or default_observer()
    budget = Budget(config.time_budget_s)
    config = config.with_absolute_paths()
    for backbone in config.backbones:
        _require_known(backbone)  # what is misspelt is said before Ray starts
    if config.store is not None:
        CoverStore.open(config.store)
    earlier = earlier_recipes(config.warm_start, config.backbones)
    run = RunFolder.create(config)
    with run.lock() as ownership, _as_search_error(run), interrupted_by_signals():
        try:
            require_free_name(run, config.storage)
            recipes = [given.model_dump(mode="json") for given in earlier]
            run.start(config, earlier_recipes=recipes)  # if it is killed now, it can be resumed
            return _search(run, config, budget, observer, ownership)
        finally:
            if not run.manifest_file.exists() or not run.is_prepared:
                run.remove()


def _require_known(backbone: str) -> None:
    """Make sure that there is such a backbone.

    Raises:
        ConfigError: There is none.
    """
    try:
        get_backbone(backbone)
    except ModelError as error:
        raise ConfigError(str(error)) from error


def _search(
    run: RunFolder,
    config: SearchConfig,
    budget: Budget,
    observer: SearchObserver,
    ownership: Ownership,
    *,
    maybe_made: bool = False,
) -> SearchResult:
    """Search from the start; `maybe_made` if an earlier process may have made the study."""
    with _session(run, config, observer), ExitStack() as ending:
        if config.store is None:
            config = config.model_copy(
                update={"store": sample_store(config.runs_dir, run, observer)}
            )
        context = set_up(config, run, budget, observer)
        sampler = make_sampler(config.sampler, config.seed)
        study = create_study(run, sampler, config.storage, maybe_made=maybe_made)
        ending.callback(close_storage, study)
        copy = _copy(run, config, study, ownership)
        ending.callback(copy.publish)
        copy.publish()  # before anybody learns that there is a study
        run.update(config, **context.known())
        return _drive(config, context, study, budget, observer, ownership, copy, resumed=[])


def _copy(
    run: RunFolder, config: SearchConfig, study: optuna.Study, ownership: Ownership
) -> PublishedCopy:
    of_the_run = study if config.storage is None else None  # others' storages are read as they are
    return PublishedCopy(run, of_the_run, is_ours=lambda: ownership.taken_by is None)


@contextmanager
def _session(run: RunFolder, config: SearchConfig, observer: SearchObserver) -> Iterator[None]:
    """Hold Ray, and a log that tells what broke a search off."""

    def ray_died(what: str, stopped: bool) -> None:
        if stopped:
            observer.stopped(_go_on(run))
        else:
            observer.broken_off(f"{what}; see {run.log_file}, and {_go_on(run)}")

    ray = ray_session(config.address, config.memory_gb, ray_died)
    with ray, log_to_file(run.log_file):
        if config.address is None and (warning := slow_store()) is not None:
            observer.warn(warning)
        try:
            yield
        except _BREAKS_OFF:
            _log.exception("the search broke off")
            raise


def _go_on(run: RunFolder) -> str:
    return f"go on with `covertune resume {quoted_path(os.path.relpath(run.path))}`"


@contextmanager
def _as_search_error(run: RunFolder) -> Iterator[None]:
    """Turn what breaks a search off into one line that says how to go on.

    Raises:
        Interrupted: For a Ctrl-C that did not wait for the trials.
        SearchError: A study that cannot be read or written, a full disk, a Ray that gave up.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if not run.path.exists():
            raise
        raise Interrupted(_go_on(run)) from stop
    except _BREAKS_OFF as error:
        remedy = "nothing is left behind"
        if run.path.exists():
            remedy = f"see {run.log_file}, and {_go_on(run)}"
        raise SearchError(f"the search broke off: {_cause(error)}; {remedy}") from error


def _cause(error: BaseException) -> str:
    """Return what it was, which stands at the root.

    Optuna says of any trouble with its database the same, and Ray makes a traceback the message.
    """
    while isinstance(error, OptunaError | SQLAlchemyError | TuneError):
        beneath = error.__cause__ or error.__context__
        if beneath is None:
            break
        error = beneath
    return hide_passwords(named_first_line(error, at_most=None))


def resume_search(
    path: Path,
    *,
    trials: int | None = None,
    time_budget_s: float | None = None,
    storage: str | None = None,
    take_over: bool = False,
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Go on with a run: what is finished stays, what was running continues.

    A run whose trials are all finished, but whose ending was cut short, is concluded.

    Args:
        path: The run folder.
        trials: New number of trials in all; lifts the time budget, unless that is given too.
        time_budget_s: New seconds in all; lifts the number of trials, unless that is given too.
        storage: URL of its storage, where that is another by now or has a password, which run.json
            does not keep.
        take_over: Take the run from another machine, which is gone.
        observer: As for `run_search`.

    Raises:
        RunError: Not a run, driven by another process, or nothing is left to do.
        SearchError, DataError: As for `run_search`.
    """
    require_main_guard()
    observer = observer or default_observer()
    run = RunFolder.open(path)
    with (
        run.lock(take_over=take_over) as ownership,
        _as_search_error(run),
        interrupted_by_signals(),
        ExitStack() as ending,
    ):
        manifest = run.manifest()
        prepared_s = manifest.elapsed_s  # by a process that was killed before it trained
        config = extended(run.config(), trials, time_budget_s, storage)
        if not manifest.is_prepared:
            run.update(config)
            budget = Budget(config.time_budget_s, spent_s=prepared_s)
            return _search(run, config, budget, observer, ownership, maybe_made=True)
        require_same_store(run, config)
        study = drive_study(run, url=config.storage, warn=observer.warn)
        ending.callback(close_storage, study)
        copy = _copy(run, config, study, ownership)
        ending.callback(copy.publish)
        copy.publish()  # of covertune 0.1, say, there is none; and one may be damaged
        known = len(study.get_trials(deepcopy=False))
        study.sampler = make_sampler(config.sampler, config.seed, known=known)
        spent_s = max(prepared_s, study.user_attrs.get(ELAPSED_S, 0.0))
        budget = Budget(config.time_budget_s, spent_s=spent_s)
        resumed = reclaim_interrupted_trials(study, run)
        require_work(config, run, study, resumed, budget)
        Retention(run, study, config.keep_checkpoints).tidy()  # of what a kill left
        run.update(config)  # the new limits hold from here on
        with _session(run, config, observer):
            context = set_up(
                config,
                run,
                budget,
                observer,
                image_px=manifest.image_px,
                fits=manifest.fits or ("squash",),
                finished=finished_count(study),
                before=trained_before(study),
            )
            check_space_unchanged(run, study, context.space.suggest)
            run.update(config, **context.known())
            return _drive(
                config, context, study, budget, observer, ownership, copy, resumed=resumed
            )


def _drive(
    config: SearchConfig,
    context: SearchContext,
    study: optuna.Study,
    budget: Budget,
    observer: SearchObserver,
    ownership: Ownership,
    copy: PublishedCopy,
    resumed: list[FrozenTrial],
) -> SearchResult:
    """Run trials until the budget is used up, then conclude."""
    run = context.run
    pictures = TrialPictures(study, run.artifacts, context.store.genres)
    retention = Retention(run, study, config.keep_checkpoints)
    tensorboard = TensorBoard(run.tensorboard)
    reporter = Reporter(
        study, lambda: budget.spent_s, pictures, tensorboard, retention, copy, observer
    )
    earlier = map(EarlierRecipe.model_validate, run.manifest().earlier_recipes)
    portfolio = Portfolio(context.space, list(earlier))
    rule = SuccessiveHalving(config.halving, covers=context.feed.count("val"))
    remember_rungs(rule, study)
    searcher = StudySearcher(
        study,
        context.space,
        portfolio=portfolio,
        trial_limit=config.trial_limit,
        rule=rule,
        budget=budget,
        resumed=resumed,
        observer=reporter,
    )
    reporter.write_clock()
    name_value(study)
    trials = study.get_trials(deepcopy=False)
    observer.started(_plan(config, context), trials, budget.spent_s)
    run.outcome_file.unlink(missing_ok=True)  # until there is a new one, nothing is concluded
    with ExitStack() as ending:
        ending.callback(observer.ended)
        ending.callback(pictures.close)
        ending.callback(tensorboard.close)
        ending.callback(reporter.write_clock)
        ending.callback(context.graph_check.cancel)

        def every_turn() -> None:
            reporter.keep_clock()
            reporter.keep_copy()
            if (host := ownership.taken_by) is not None:
                budget.broken_off = f"{host!r} has taken the run over"
            for warning in context.graph_check.warnings():
                reporter.warn(warning)

        with stopped_by_signals(budget, observer.stopping):
            run_trials(
                _trial_inputs(context),
                context.slots,
                run.tune,
                budget,
                searcher,
                HalvingScheduler(rule, searcher.halved),
                every_turn,
            )
        searcher.finalize_running(lambda number: _last_result(run, number))
    copy.publish()
    if (host := ownership.taken_by) is not None:
        raise RunError(
            f"run {run.name!r} is driven from another machine, {host!r}, by now; follow it there"
        )
    _require_an_end(run, study, budget, searcher)
    run.drop_partial_checkpoints()
    retention.tidy()  # a worker may have saved once more after its trial had ended
    outcome = conclude(context, study, budget.spent_s, retention, observer)
    return SearchResult(run, study.get_trials(deepcopy=False), outcome)


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
        num_genres=len(context.store.genres),
        checkpoints=context.run.checkpoints,
        cpus_per_trial=context.slots.cpus_per_trial,
    )


def _require_an_end(
    run: RunFolder, study: optuna.Study, budget: Budget, searcher: StudySearcher
) -> None:
    """Require that trials have all ended, and that one at least measured something.

    Raises:
        Interrupted: The user stopped the search, and there is more to train.
        SearchError: It broke off, or no trial measured anything.
    """
    if budget.broken_off is not None:
        raise SearchError(
            f"the search broke off: {budget.broken_off}; mend that, and {_go_on(run)}"
        )
    if budget.interrupted and searcher.has_work:
        raise Interrupted(_go_on(run))
    trials = study.get_trials(deepcopy=False)
    if not any(trial.value is not None for trial in trials):
        reasons = sorted({str(TrialRecord(trial).reason) for trial in trials}) or ["no time"]
        raise SearchError(
            f"no trial of run {run.name!r} measured anything: "
            f"{few(reasons, separator='; ', item_chars=200)}; see {run.log_file}"
        )


def _last_result(run: RunFolder, number: int) -> dict[str, Any] | None:
    """Return what a trial's checkpoint says it measured; None if there is no checkpoint."""
    checkpoint = run.checkpoint(number)
    return checkpoint_result(checkpoint) if checkpoint.exists() else None
