"""Runs a search from an empty folder to an exported model, and takes up one that was stopped.

open store -> run folder -> Ray -> preflight -> decode once -> probe -> trials -> outcome
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from ray import tune
from ray.tune.logger import TBXLoggerCallback

from data_pipeline import CoverStore
from models import get_backbone
from search.budget import Budget, BudgetStopper
from search.cluster import log_to_file, ray_session
from search.config import SearchConfig
from search.errors import Interrupted, RunError, SearchError
from search.halving import SuccessiveHalving
from search.observer import SearchObserver, SearchPlan
from search.outcome import Outcome, conclude
from search.pictures import TrialPictures
from search.portfolio import Portfolio
from search.reporter import Reporter
from search.resuming import extended, remember_rungs, require_work, taken_up_again
from search.run_folder import RunFolder
from search.sample_store import sample_store
from search.scheduler import HalvingScheduler
from search.searcher import StudySearcher
from search.staging import Stage, set_stage
from search.study import (
    ELAPSED_S,
    create_study,
    finished_count,
    open_study,
)
from search.trainable import CoverTrial, TrialInputs

__all__ = ["SearchResult", "resume_search", "run_search"]

_WORKER_RETRIES = 2


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves behind."""

    run: RunFolder
    trials: list[FrozenTrial]
    outcome: Outcome


def run_search(config: SearchConfig, observer: SearchObserver | None = None) -> SearchResult:
    """Search, measure the winner on the test split once, and export it to `RUN/model`.

    Args:
        config: What to search; `store=None` searches generated sample covers.
        observer: Hears what happens.

    Raises:
        SearchError: The configuration, the folder or the machine does not allow it; nothing is
            left behind.
        Interrupted: Stopped by the user after the first trial began; the run can be resumed.
        DataError: The store cannot be used.
    """
    observer = observer or SearchObserver()
    budget = Budget(config.time_budget_s)
    config = config.from_any_folder()
    for backbone in config.backbones:
        get_backbone(backbone)  # what is misspelt is said before Ray starts
    if config.store is not None:
        CoverStore.open(config.store)
    run = RunFolder.create(config)
    begun = False
    try:
        with run.driven(), ray_session(config), log_to_file(run.log_file):
            if config.store is None:
                config = config.model_copy(update={"store": sample_store(config, observer)})
            store = _open_store(config)
            stage = set_stage(config, store, run, budget, observer)
            study = create_study(run, _sampler(config, finished=0), config.storage)
            run.write_facts(config, study=run.name, store_fingerprint=store.fingerprint)
            begun = True
            return _drive(stage, study, budget, observer, resumed=[])
    finally:
        if not begun:
            run.remove()


def resume_search(
    path: Path,
    *,
    trials: int | None = None,
    time_budget_s: float | None = None,
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Go on with a run: what is finished stays, what was running continues.

    Args:
        path: The run folder.
        trials: New total number of trials; None: as before.
        time_budget_s: New total time in seconds; None: as before.
        observer: Hears what happens.

    Raises:
        RunError: Not a run, driven by another process, or nothing is left to do.
        SearchError, DataError: As for `run_search`.
    """
    observer = observer or SearchObserver()
    run = RunFolder.open(path)
    facts = run.facts()
    config = extended(run.config(), trials, time_budget_s)
    store = _open_store(config)
    if store.fingerprint != facts["store_fingerprint"]:
        raise RunError(
            f"the store {store.path} has changed since run {run.name!r} was started; "
            "start a new search, or bring the old store back"
        )
    with run.driven(), ray_session(config), log_to_file(run.log_file):
        study = open_study(run)
        study.sampler = _sampler(config, finished=finished_count(study))
        budget = Budget(config.time_budget_s, spent_s=study.user_attrs.get(ELAPSED_S, 0.0))
        resumed = taken_up_again(study, run)
        require_work(config, study, resumed, budget)
        stage = set_stage(config, store, run, budget, observer)
        run.write_facts(config, study=facts["study"], store_fingerprint=store.fingerprint)
        return _drive(stage, study, budget, observer, resumed=resumed)


def _open_store(config: SearchConfig) -> CoverStore:
    assert config.store is not None
    return CoverStore.open(config.store)


def _sampler(config: SearchConfig, *, finished: int) -> optuna.samplers.TPESampler:
    """Multivariate TPE over the groups of a conditional space.

    A resumed search draws with another seed than the one that ran before it: the same seed would
    draw the same random trials again.
    """
    return optuna.samplers.TPESampler(
        n_startup_trials=8,
        multivariate=True,
        group=True,
        constant_liar=True,
        seed=config.seed + 7919 * finished,
    )


def _drive(
    stage: Stage,
    study: optuna.Study,
    budget: Budget,
    observer: SearchObserver,
    resumed: list[FrozenTrial],
) -> SearchResult:
    """Run trials until the budget is used up, then conclude."""
    config, run = stage.config, stage.run
    pictures = TrialPictures(study, run.artifacts, stage.store.genres)
    reporter = Reporter(study, budget, pictures, observer)
    portfolio = Portfolio(stage.space)
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    rule = SuccessiveHalving(
        grace_epochs=config.grace_epochs, max_epochs=config.epochs, eta=config.eta
    )
    remember_rungs(rule, study)
    searcher = StudySearcher(
        study,
        stage.space,
        portfolio=portfolio,
        trial_limit=config.trial_limit,
        rule=rule,
        budget=budget,
        resumed=resumed,
        observer=reporter,
    )
    observer.started(
        SearchPlan(
            run=run,
            store=str(stage.store.path),
            genres=len(stage.store.genres),
            covers={split: stage.feed.count(split) for split in ("train", "val", "test")},
            slots=stage.slots,
            trial_limit=config.trial_limit,
            time_budget_s=config.time_budget_s,
            epochs=config.epochs,
        ),
        ended,
        budget.spent_s,
    )
    try:
        with budget.stops_on_ctrl_c(observer.stopping):
            scheduler = HalvingScheduler(rule, spared=portfolio.spared)
            _run_trials(stage, budget, searcher, scheduler)
        searcher.settle()
    finally:
        reporter.write_clock()
        pictures.close()
        observer.ended()
    if budget.interrupted:
        raise Interrupted(f"go on with `covertune resume {os.path.relpath(run.path)}`")
    trials = study.get_trials(deepcopy=False)
    if not any(trial.value is not None for trial in trials):
        reasons = sorted({str(trial.user_attrs.get("reason")) for trial in trials}) or ["no time"]
        raise SearchError(
            f"no trial of run {run.name!r} measured anything: {'; '.join(reasons)}; "
            f"see {run.log_file}"
        )
    observer.stage("measuring the winner on the test split")
    outcome = conclude(run, stage.feed, config, study, stage.probes, stage.slots, budget.spent_s)
    return SearchResult(run, trials, outcome)


def _run_trials(
    stage: Stage, budget: Budget, searcher: StudySearcher, scheduler: HalvingScheduler
) -> None:
    """Hand the experiment to Ray Tune.

    `tune.run`, because a `Tuner` pickles the searcher and the callbacks, for a restore that is not
    ours: a run is resumed from its study.
    """
    run, slots = stage.run, stage.slots
    inputs = TrialInputs(
        splits=stage.splits,
        heads={(probe.backbone, probe.image_px): probe.head for probe in stage.probes},
        num_genres=len(stage.store.genres),
        checkpoints=run.checkpoints,
        cpus_per_trial=slots.cpus_per_trial,
    )
    sessions = len(list(run.tune.glob("session-*")))
    tune.run(
        tune.with_parameters(CoverTrial, inputs=inputs),
        name=f"session-{sessions + 1}",
        storage_path=str(run.tune),
        resources_per_trial={"cpu": slots.cpus_per_trial, "gpu": slots.gpus_per_trial},
        search_alg=searcher,
        scheduler=scheduler,
        num_samples=-1,  # the searcher knows when it is full
        max_concurrent_trials=slots.count,
        reuse_actors=True,
        stop=BudgetStopper(budget),
        max_failures=_WORKER_RETRIES,
        raise_on_failed_trial=False,
        callbacks=[TBXLoggerCallback()],
        trial_dirname_creator=_trial_name,
        trial_name_creator=_trial_name,
        verbose=0,
    )


def _trial_name(trial: tune.experiment.Trial) -> str:
    return f"trial-{trial.config['number']:05d}"
