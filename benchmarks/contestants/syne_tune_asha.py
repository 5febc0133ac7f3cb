"""Syne Tune's ASHA (random sampling, stopping variant) with its local backend.

Runs in an environment of its own that `peers.py` makes. Each trial is a process that starts from
nothing (`syne_trial`); that is how the local backend works. It looks for news every 5 s unless told
otherwise, which costs a trial that is to be stopped up to as much: here it looks every second.
"""

from __future__ import annotations

from pathlib import Path

from optuna.distributions import CategoricalDistribution, IntDistribution
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import choice, loguniform, randint, uniform
from syne_tune.optimizer.baselines import ASHA

from contestants.piece import Piece
from contestants.space import questions

_LOOK_EVERY_S = 1.0
_ANY_NUMBER = 1_000_000  # of failed trials; one with a loss that is not finite is no reason to stop


def domain(distribution):
    """Return a distribution of Optuna's as Syne Tune writes it."""
    if isinstance(distribution, CategoricalDistribution):
        return choice(list(distribution.choices))
    if isinstance(distribution, IntDistribution):
        return randint(distribution.low, distribution.high)
    scale = loguniform if distribution.log else uniform
    return scale(distribution.low, distribution.high)


def main():
    piece = Piece.of_this_process()
    space = {name: domain(asked) for name, asked in questions(piece).items()}
    scheduler = ASHA(
        space,
        metric="top1",
        do_minimize=False,
        time_attr="epoch",
        max_t=piece.epochs,
        grace_period=piece.grace_epochs,
        reduction_factor=piece.eta,
        random_seed=piece.seed,
    )
    tuner = Tuner(
        trial_backend=LocalBackend(
            str(Path(__file__).with_name("syne_trial.py")), pass_args_as_json=True
        ),
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_wallclock_time=piece.budget_s),
        n_workers=piece.cores,
        sleep_time=_LOOK_EVERY_S,
        max_failures=_ANY_NUMBER,
    )
    tuner.run()


if __name__ == "__main__":
    main()
