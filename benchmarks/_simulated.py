"""The searches that `simulate.py` compares, each driven as its own framework drives it.

A contestant hands out recipes and hears of epochs; what it answers to an epoch is whether the trial
goes on. All ask the same questions of the same space, `search.space.search_space.SearchSpace`.
In the end
it has what `measured_most`, unless it chooses otherwise.
"""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import NamedTuple

import optuna
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from covertune.models import ProgressMetrics
from covertune.search.cluster.scheduler import HalvingScheduler
from covertune.search.cluster.searcher import StudySearcher
from covertune.search.config import SearchConfig
from covertune.search.events import SearchObserver
from covertune.search.finish.soup import lowest_loss
from covertune.search.plan import HalvingPlan, InputVariant, TrialPlan
from covertune.search.record.constants import (
    CONFUSION,
    EPOCH,
    FAILURE,
    FINISHED,
    METRIC,
    MODE,
    NUMBER,
    RECIPE_AT_FAULT,
    TRACEBACK,
)
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.sampler import make_sampler
from covertune.search.space.search_space import BackboneOptions, SearchSpace

__all__ = ["CONTESTANTS", "Measured", "measured_most", "space_of"]

ETA = 3
KEPT = SearchConfig().keep_checkpoints
GRACE_EPOCHS = 1


class Measured(NamedTuple):
    """An epoch of a trial: when it ended, what it measured, and what it is worth."""

    when_s: float
    trial: str
    top1: float
    loss: float
    worth: float


def measured_most(epochs, covers):
    """Return what a script exports."""
    return max(epochs, key=lambda epoch: epoch.top1)


def space_of(table, seed):
    """Return the questions of a search on the store of a table."""
    facts = table.facts
    backbone, sizes = facts["backbone"], tuple(facts["image_px"])
    probed = sizes if facts["pretrained"] else ()
    return SearchSpace(
        TrialPlan(table.epochs, seed),
        (BackboneOptions(backbone, facts["stages"], facts["pretrained"], sizes),),
        frozenset(InputVariant.square(backbone, px, "squash") for px in probed),
    )


class Covertune:
    """The real searcher, portfolio, sampler and stopping rule; the study lies in memory."""

    def __init__(self, table, seed, clock):
        self.space = space_of(table, seed)
        self.study = optuna.create_study(direction="maximize", sampler=make_sampler("tpe", seed))
        halving = HalvingPlan(GRACE_EPOCHS, table.epochs, ETA, SearchConfig().brackets)
        self.rule = SuccessiveHalving(halving, covers=table.facts["covers"]["val"])
        portfolio = Portfolio(self.space)
        self.searcher = StudySearcher(
            self.study,
            self.space,
            portfolio=portfolio,
            trial_limit=None,
            rule=self.rule,
            budget=Budget(None, clock=clock),
            resumed=[],
            observer=SearchObserver(),
        )
        self.scheduler = HalvingScheduler(self.rule, self.searcher.halved)
        self.trials = {}

    @staticmethod
    def choose(epochs, covers):
        """Choose by its own rule among the last epochs of the trials whose checkpoints it keeps."""
        latest = {epoch.trial: epoch for epoch in epochs}
        leaders = sorted(latest.values(), key=lambda epoch: -epoch.top1)[:KEPT]
        return lowest_loss(leaders, covers)

    def suggest(self, key):
        config = self.searcher.suggest(key)
        self.trials[key] = SimpleNamespace(trial_id=key, config=config)
        untuned = self.study.trials[config[NUMBER]].user_attrs["role"] == "untuned"
        return None if untuned else config["recipe"]

    def should_continue(self, key, epoch, value, *, last):
        result = dict.fromkeys(ProgressMetrics.model_fields, 0) | {EPOCH: epoch, METRIC: value}
        result |= {FINISHED: last, CONFUSION: [], "node": "", "node_id": "", "device": ""}
        if last:
            self.searcher.on_trial_complete(key, result)
            return False
        if self.scheduler.on_trial_result(None, self.trials[key], result) == "CONTINUE":
            self.searcher.on_trial_result(key, result)
            return True
        self.searcher.on_trial_complete(key, result)
        return False

    def failed(self, key):
        result = {FAILURE: "as recorded", RECIPE_AT_FAULT: True, TRACEBACK: "", FINISHED: True}
        self.searcher.on_trial_complete(key, result)


class _RayTune:
    """Ray's `OptunaSearch` and `ASHAScheduler`, called as Tune's controller calls them."""

    def __init__(self, table, seed, sampler):
        space = space_of(table, seed)
        self.recipes = {}

        def define(trial):
            self.recipes[trial.number] = space.suggest(trial).model_dump(mode="json")
            return {"number": trial.number}

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.search = OptunaSearch(define, metric=METRIC, mode=MODE, sampler=sampler)
        self.scheduler = ASHAScheduler(
            time_attr=EPOCH,
            metric=METRIC,
            mode=MODE,
            max_t=table.epochs,
            grace_period=GRACE_EPOCHS,
            reduction_factor=ETA,
        )

    def suggest(self, key):
        recipe = self.recipes[self.search.suggest(key)["number"]]
        self.scheduler.on_trial_add(None, SimpleNamespace(trial_id=key))
        return recipe

    def should_continue(self, key, epoch, value, *, last):
        result = {EPOCH: epoch, METRIC: value, "training_iteration": epoch}
        trial = SimpleNamespace(trial_id=key)
        if last:
            self.scheduler.on_trial_complete(None, trial, result)
            self.search.on_trial_complete(key, result)
            return False
        if self.scheduler.on_trial_result(None, trial, result) == "CONTINUE":
            self.search.on_trial_result(key, result)
            return True
        self.search.on_trial_complete(key, result)
        return False

    def failed(self, key):
        self.scheduler.on_trial_remove(None, SimpleNamespace(trial_id=key))
        self.search.on_trial_complete(key, error=True)


def ray_optuna(table, seed, clock):
    """Return what Ray's guide shows: `OptunaSearch` with its defaults, and ASHA."""
    return _RayTune(table, seed, optuna.samplers.TPESampler(seed=seed))


def ray_random(table, seed, clock):
    """Return random search and ASHA."""
    return _RayTune(table, seed, optuna.samplers.RandomSampler(seed=seed))


class OptunaHyperband:
    """What Optuna's guide shows: TPE and the Hyperband pruner."""

    def __init__(self, table, seed, clock):
        self.space = space_of(table, seed)
        self.study = optuna.create_study(
            direction="maximize",
            study_name=f"seed {seed}",  # the pruner draws brackets by this name
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(
                min_resource=GRACE_EPOCHS, max_resource=table.epochs, reduction_factor=ETA
            ),
        )
        self.trials = {}

    def suggest(self, key):
        self.trials[key] = self.study.ask()
        return self.space.suggest(self.trials[key]).model_dump(mode="json")

    def should_continue(self, key, epoch, value, *, last):
        trial = self.trials[key]
        trial.report(value, epoch)
        if last:
            self.study.tell(trial, value)
            return False
        if not trial.should_prune():
            return True
        self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return False

    def failed(self, key):
        self.study.tell(self.trials[key], state=optuna.trial.TrialState.FAIL)


CONTESTANTS = {
    "covertune": Covertune,
    "random + ASHA": ray_random,
    "OptunaSearch + ASHA": ray_optuna,
    "TPE + Hyperband": OptunaHyperband,
}
