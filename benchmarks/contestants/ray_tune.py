"""The plain Ray Tune script: function trainable, `OptunaSearch`, `ASHAScheduler`.

As in Ray's own examples, a report after each epoch. A trial that ASHA stops is told to Optuna as
complete, with its last value.
"""

from __future__ import annotations

from functools import partial

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from contestants.piece import Piece
from contestants.space import search_space
from contestants.training import train
from covertune.models import Recipe


def trainable(config, piece=None):
    trial = tune.get_context().get_trial_id()
    for epoch, top1 in train(piece, Recipe.model_validate(config["recipe"]), trial):
        tune.report({"epoch": epoch, "top1": top1})


def recipe_by_optuna(space, trial):
    return {"recipe": space.suggest(trial).model_dump()}


def main():
    piece = Piece.of_this_process()
    ask = partial(recipe_by_optuna, search_space(piece))
    ray.init(address="local", num_cpus=piece.cores, include_dashboard=False)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, piece=piece), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric="top1",
            mode="max",
            search_alg=OptunaSearch(space=ask, metric="top1", mode="max", seed=piece.seed),
            scheduler=ASHAScheduler(
                time_attr="epoch",
                max_t=piece.epochs,
                grace_period=piece.grace_epochs,
                reduction_factor=piece.eta,
            ),
            num_samples=-1,
            max_concurrent_trials=piece.cores,
            time_budget_s=piece.budget_s,
        ),
        run_config=tune.RunConfig(storage_path=f"{piece.folder}/tune", verbose=1),
    )
    tuner.fit()


if __name__ == "__main__":
    main()
