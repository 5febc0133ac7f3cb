"""Runs a search from an empty folder to an exported model, and takes up one that was stopped.

open store -> run folder -> Ray -> preflight -> decode once -> probe -> trials -> outcome
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.logger import TBXLoggerCallback

from data_pipeline import CoverStore, DecodedRefs
from models import get_backbone
from search.budget import Budget, BudgetStopper
from search.cluster import Slots, log_to_file, ray_session, slots_of
from search.config import SearchConfig
from search.errors import Interrupted, RunError, SearchError
from search.feed import Feed, RehearsalFeed, WholeFeed
from search.halving import SuccessiveHalving
from search.image_sizes import choose_image_px
from search.observer import SearchObserver, SearchPlan
from search.outcome import Outcome, conclude
from search.pictures import TrialPictures
from search.portfolio import Portfolio
from search.preflight import PreflightReport, run_preflight
from search.reporter import Reporter
from search.run_folder import RunFolder
from search.sample_store import sample_store
from search.scheduler import HalvingScheduler
from search.scouting import Probe, scout
from search.searcher import StudySearcher
from search.space import BackboneFacts, SearchSpace
from search.study import (
    ELAPSED_S,
    create_study,
    finished_count,
    open_study,
    recipe_of,
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
            stage = _prepare(config, store, run, budget, observer)
            study = create_study(run, _sampler(config, finished=0), config.storage)
            run.write_facts(config, study=run.name, store_fingerprint=store.fingerprint)
            begun = True
            return _drive(stage, study, resumed=[])
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
    config = _extended(run.config(), trials, time_budget_s)
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
        resumed = _taken_up_again(study, run)
        _require_work(config, study, resumed, budget)
        stage = _prepare(config, store, run, budget, observer)
        run.write_facts(config, study=facts["study"], store_fingerprint=store.fingerprint)
        return _drive(stage, study, resumed=resumed)


@dataclass(frozen=True)
class _Stage:
    """Everything that stands ready before the first trial."""

    config: SearchConfig
    store: CoverStore
    feed: Feed
    run: RunFolder
    slots: Slots
    budget: Budget
    observer: SearchObserver
    report: PreflightReport
    splits: dict[int, dict[str, DecodedRefs]]
    probes: list[Probe]
    space: SearchSpace


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


def _prepare(
    config: SearchConfig,
    store: CoverStore,
    run: RunFolder,
    budget: Budget,
    observer: SearchObserver,
) -> _Stage:
    observer.stage("checking the machine")
    slots = slots_of(config)
    feed: Feed = RehearsalFeed(store) if config.rehearse else WholeFeed(store)
    image_px = choose_image_px(config, on_gpu=slots.gpus_per_trial > 0)
    report = run_preflight(config, store, feed, run, slots, image_px)
    observer.preflight(report)
    for warning in report.warnings:
        observer.warn(warning)
    budget.shortest_trial_s = min(report.epoch_s.values())

    splits = {}
    for px in sorted({px for sizes in image_px.values() for px in sizes}):
        observer.stage(f"decoding covers at {px} px")
        splits[px] = feed.for_trials(px, observer.progress)

    probes = []
    for check in report.checks:
        if check.pretrained:
            observer.stage(f"probing {check.backbone} at {check.image_px} px")
            weights = config.weights_of(check.backbone)
            probes.append(
                scout(
                    run,
                    check.backbone,
                    weights,
                    check.image_px,
                    splits[check.image_px],
                    len(store.genres),
                    slots,
                )
            )
            observer.probed(probes[-1])
    facts = {
        check.backbone: BackboneFacts(
            check.backbone, check.stages, check.pretrained, image_px[check.backbone]
        )
        for check in report.checks
    }
    space = SearchSpace(
        config,
        tuple(facts.values()),
        frozenset((probe.backbone, probe.image_px) for probe in probes),
    )
    return _Stage(config, store, feed, run, slots, budget, observer, report, splits, probes, space)


def _drive(stage: _Stage, study: optuna.Study, resumed: list[FrozenTrial]) -> SearchResult:
    """Run trials until the budget is used up, then conclude."""
    config, run, budget, observer = stage.config, stage.run, stage.budget, stage.observer
    pictures = TrialPictures(study, run.artifacts, stage.store.genres)
    reporter = Reporter(study, budget, pictures, observer)
    portfolio = Portfolio(stage.space)
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    rule = SuccessiveHalving(
        grace_epochs=config.grace_epochs, max_epochs=config.epochs, eta=config.eta
    )
    _remember(rule, study)
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
            _run_trials(stage, searcher, scheduler)
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


def _run_trials(stage: _Stage, searcher: StudySearcher, scheduler: HalvingScheduler) -> None:
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
        stop=BudgetStopper(stage.budget),
        max_failures=_WORKER_RETRIES,
        raise_on_failed_trial=False,
        callbacks=[TBXLoggerCallback()],
        trial_dirname_creator=_trial_name,
        trial_name_creator=_trial_name,
        verbose=0,
    )


def _trial_name(trial: tune.experiment.Trial) -> str:
    return f"trial-{trial.config['number']:05d}"


def _remember(rule: SuccessiveHalving, study: optuna.Study) -> None:
    """Put back on the rungs what earlier processes measured; yardsticks leave no mark."""
    for trial in study.get_trials(deepcopy=False):
        if trial.user_attrs.get("role") != "untuned":
            for epoch, value in trial.intermediate_values.items():
                rule.record(trial.number, epoch, value)


def _taken_up_again(study: optuna.Study, run: RunFolder) -> list[FrozenTrial]:
    """Interrupted trials that can go on; those without a checkpoint end as failed."""
    resumable = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        if "recipe" in trial.user_attrs and run.checkpoint(trial.number).exists():
            recipe_of(trial)  # a recipe this version cannot read stops here, not in a worker
            resumable.append(trial)
            continue
        reason = "interrupted before its first checkpoint"
        study._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    return resumable


def _extended(
    config: SearchConfig, trials: int | None, time_budget_s: float | None
) -> SearchConfig:
    """The configuration with a larger budget; a new limit of one kind lifts the other."""
    if trials is None and time_budget_s is None:
        return config
    return config.model_copy(update={"trials": trials, "time_budget_s": time_budget_s})


def _require_work(
    config: SearchConfig, study: optuna.Study, resumed: list[FrozenTrial], budget: Budget
) -> None:
    finished = finished_count(study)
    full = config.trial_limit is not None and finished >= config.trial_limit and not resumed
    if full:
        raise RunError(
            f"all {finished} trials of run {study.study_name!r} are finished; "
            f"give it more with --trials N (N > {finished}) or --time-budget"
        )
    if budget.is_over:
        raise RunError(
            f"the time budget of run {study.study_name!r} is used up ({budget.spent_s:,.0f} s); "
            "give it more with --time-budget (in all) or --trials"
        )
