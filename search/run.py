"""Runs a search from an empty folder to an exported model, and takes up one that was stopped.

open store -> run folder -> Ray -> preflight -> decode once -> probe -> trials -> outcome
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna

from covertune.data_pipeline import CoverStore
from covertune.data_pipeline.local_ray import require_main_guard
from covertune.models import ModelError, get_backbone
from covertune.search.breaking_off import as_search_error, held_session
from covertune.search.config import SearchConfig
from covertune.search.driving import SearchResult, drive
from covertune.search.errors import ConfigError, SearchError
from covertune.search.events import SearchObserver
from covertune.search.notebook import default_observer
from covertune.search.record.compat import close_storage
from covertune.search.record.owner import Ownership
from covertune.search.record.published_copy import PublishedCopy
from covertune.search.record.retention import Retention
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import (
    ELAPSED_S,
    create_study,
    drive_study,
    finished_count,
    require_free_name,
)
from covertune.search.schedule.budget import Budget
from covertune.search.setup.resuming import (
    check_space_unchanged,
    extended,
    reclaim_interrupted_trials,
    require_same_store,
    require_work,
    trained_before,
)
from covertune.search.setup.sample_store import sample_store
from covertune.search.setup.set_up import set_up
from covertune.search.space.sampler import make_sampler
from covertune.search.space.warm_start import earlier_recipes
from covertune.stops import interrupted_by_stops

__all__ = ["SearchResult", "resume_search", "run_search"]


_searching = threading.Lock()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the one search that a process may run.

    Raises:
        SearchError: Another thread holds it.
    """
    if not _searching.acquire(blocking=False):
        raise SearchError(
            "this process is searching already, and Ray Tune runs one search at a time; wait for "
            "its end, or start the other one in a process of its own"
        )
    try:
        yield
    finally:
        _searching.release()


@_one_at_a_time()
def run_search(config: SearchConfig, observer: SearchObserver | None = None) -> SearchResult:
    """Search, measure the winner on the test split once, and export it to `RUN/model`.

    Args:
        config: What to search; `store=None` searches generated sample covers.
        observer: Hears what happens; None: in a notebook lines are printed, elsewhere none.

    Raises:
        SearchError: The configuration, the folder or the machine does not allow it, or this process
            is searching already; nothing is left behind.
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
    with run.lock() as ownership, as_search_error(run), interrupted_by_stops():
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
    with held_session(run, config, observer), ExitStack() as ending:
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
        return drive(config, context, study, budget, observer, ownership, copy, resumed=[])


def _copy(
    run: RunFolder, config: SearchConfig, study: optuna.Study, ownership: Ownership
) -> PublishedCopy:
    of_the_run = study if config.storage is None else None  # others' storages are read as they are
    return PublishedCopy(run, of_the_run, is_ours=lambda: ownership.taken_by is None)


@_one_at_a_time()
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
        as_search_error(run),
        interrupted_by_stops(),
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
        return _go_on_with(run, config, study, observer, ownership, copy)


def _go_on_with(
    run: RunFolder,
    config: SearchConfig,
    study: optuna.Study,
    observer: SearchObserver,
    ownership: Ownership,
    copy: PublishedCopy,
) -> SearchResult:
    """Search on from what the study holds."""
    manifest, known = run.manifest(), len(study.get_trials(deepcopy=False))
    study.sampler = make_sampler(config.sampler, config.seed, known=known)
    # A process that was killed before it trained has told run.json alone.
    spent_s = max(manifest.elapsed_s, study.user_attrs.get(ELAPSED_S, 0.0))
    budget = Budget(config.time_budget_s, spent_s=spent_s)
    resumed = reclaim_interrupted_trials(study, run)
    require_work(config, run, study, resumed, budget)
    Retention(run, study, config.keep_checkpoints).tidy()  # of what a kill left
    run.update(config)  # the new limits hold from here on
    with held_session(run, config, observer):
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
        return drive(config, context, study, budget, observer, ownership, copy, resumed=resumed)
