"""Runs a search from an empty folder to an exported model, and takes up one that was stopped.

open store -> run folder -> Ray -> preflight -> decode once -> probe -> trials -> outcome
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.logger import TBXLoggerCallback

from data_pipeline import CoverStore
from models import get_backbone
from search.budget import Budget, BudgetStopper
from search.cluster import log_to_file, ray_session
from search.config import SearchConfig
from search.errors import Interrupted, SearchError
from search.halving import SuccessiveHalving
from search.observer import SearchObserver, SearchPlan
from search.outcome import Outcome, conclude
from search.pictures import TrialPictures
from search.portfolio import Portfolio
from search.reporter import Reporter
from search.resuming import (
    extended,
    remember_rungs,
    require_same_store,
    require_work,
    taken_up_again,
)
from search.retention import Retention
from search.run_folder import RunFolder
from search.sample_store import sample_store
from search.sampler import make_sampler
from search.scheduler import HalvingScheduler
from search.searcher import StudySearcher
from search.staging import Stage, set_stage
from search.study import (
    ELAPSED_S,
    close_study,
    create_study,
    finished_count,
    open_study,
    require_free_name,
)
from search.trainable import CoverTrial, TrialInputs, checkpoint_result

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
        require_free_name(run, config.storage)
        with run.driven(), ray_session(config), log_to_file(run.log_file), ExitStack() as ending:
            if config.store is None:
                config = config.model_copy(update={"store": sample_store(config, observer)})
            stage = set_stage(config, run, budget, observer)
            study = create_study(run, make_sampler(config.sampler, config.seed), config.storage)
            run.write_facts(config, stage.facts() | {"study": run.name})
            begun = True
            ending.callback(close_study, study)
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

    A run whose trials are all finished, but whose ending was cut short, is concluded.

    Args:
        path: The run folder.
        trials: New number of trials in all; lifts the time budget, unless that is given too.
        time_budget_s: New seconds in all; lifts the number of trials, unless that is given too.
        observer: Hears what happens.

    Raises:
        RunError: Not a run, driven by another process, or nothing is left to do.
        SearchError, DataError: As for `run_search`.
    """
    observer = observer or SearchObserver()
    run = RunFolder.open(path)
    facts = run.facts()
    config = extended(run.config(), trials, time_budget_s)
    require_same_store(run, config)
    with run.driven(), ExitStack() as ending:
        study = open_study(run, driven=True)
        ending.callback(close_study, study)
        study.sampler = make_sampler(config.sampler, config.seed, finished=finished_count(study))
        budget = Budget(config.time_budget_s, spent_s=study.user_attrs.get(ELAPSED_S, 0.0))
        resumed = taken_up_again(study, run)
        Retention(run, study, config.keep_checkpoints).tidy()  # of what a kill left
        require_work(config, run, study, resumed, budget)
        with ray_session(config), log_to_file(run.log_file):
            image_px = {name: tuple(sizes) for name, sizes in facts["image_px"].items()}
            stage = set_stage(
                config,
                run,
                budget,
                observer,
                image_px=image_px,
                fits=tuple(facts.get("fits", ("squash",))),
                finished=finished_count(study),
            )
            run.write_facts(config, facts | stage.facts())
            return _drive(stage, study, budget, observer, resumed=resumed)


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
    retention = Retention(run, study, config.keep_checkpoints)
    reporter = Reporter(study, budget, pictures, retention, observer)
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
    run.outcome_file.unlink(missing_ok=True)  # until there is a new one, nothing is concluded
    with ExitStack() as ending:
        ending.callback(observer.ended)
        ending.callback(pictures.close)
        ending.callback(reporter.write_clock)
        with budget.stops_on_ctrl_c(observer.stopping):
            scheduler = HalvingScheduler(rule, spared=portfolio.spared)
            _run_trials(stage, budget, searcher, scheduler)
        searcher.settle(lambda number: _last_result(run, number))
    if budget.interrupted and searcher.has_work:
        raise Interrupted(f"go on with `covertune resume {os.path.relpath(run.path)}`")
    run.drop_partial_checkpoints()
    retention.tidy()  # a worker may have saved once more after its trial had ended
    trials = study.get_trials(deepcopy=False)
    if not any(trial.value is not None for trial in trials):
        reasons = sorted({str(trial.user_attrs.get("reason")) for trial in trials}) or ["no time"]
        raise SearchError(
            f"no trial of run {run.name!r} measured anything: {'; '.join(reasons)}; "
            f"see {run.log_file}"
        )
    observer.stage("measuring the winner on the test split")
    outcome = conclude(
        run,
        stage.feed,
        config,
        study,
        stage.probes,
        stage.slots,
        budget.spent_s,
        retention,
    )
    return SearchResult(run, trials, outcome)


def _last_result(run: RunFolder, number: int) -> dict[str, Any] | None:
    """What a trial's checkpoint says it measured; None if there is no checkpoint."""
    checkpoint = run.checkpoint(number)
    return checkpoint_result(checkpoint) if checkpoint.exists() else None


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
        heads={(p.backbone, p.image_px, p.fit): p.head for p in stage.probes},
        num_genres=len(stage.store.genres),
        checkpoints=run.checkpoints,
        cpus_per_trial=slots.cpus_per_trial,
    )
    sessions = len(list(run.tune.glob("session-*")))
    try:
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
    except (TuneError, OptunaError, RayError, OSError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise SearchError(
            f"the search broke off: {type(error).__name__}: {first_line}; see {run.log_file}, and "
            f"go on with `covertune resume {os.path.relpath(run.path)}`"
        ) from error


def _trial_name(trial: tune.experiment.Trial) -> str:
    return f"trial-{trial.config['number']:05d}"
