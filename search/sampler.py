"""TPE that also learns from failures.

Optuna's TPE (Bergstra et al. 2011; multivariate as in Falkner et al. 2018, arXiv:1807.01774) leaves
failed trials out, and so walks into the same exploding or collapsing corner again. Here a trial
whose recipe was at fault counts among the bad ones, with no value made up for it.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from search.constants import RECIPE_AT_FAULT

__all__ = ["FailureAwareTPESampler", "make_sampler"]

_STARTUP_TRIALS = 8
_SEED_STEP = 7919


class FailureAwareTPESampler(TPESampler):
    """g(x), the density of bad trials, includes trials that failed by their own fault."""

    def _build_parzen_estimator(
        self,
        study: optuna.Study,
        search_space: dict[str, Any],
        trials: list[FrozenTrial],
        handle_below: bool,
    ) -> Any:
        if not handle_below:
            failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
            trials = trials + [
                trial
                for trial in failed
                if trial.user_attrs.get(RECIPE_AT_FAULT)
                and search_space.keys() <= trial.params.keys()
            ]
        return super()._build_parzen_estimator(study, search_space, trials, handle_below)


def make_sampler(
    kind: Literal["tpe", "random"], seed: int, *, known: int = 0
) -> optuna.samplers.BaseSampler:
    """The sampler of a search.

    Args:
        kind: `tpe`, multivariate over the groups of a conditional space; or `random`.
        seed: Of the search.
        known: Trials that there were before this process, running ones included. A resumed search
            draws with another seed than the one before it: the same would draw the same random
            trials again.
    """
    seed += _SEED_STEP * known
    if kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # `group` is what makes multivariate TPE work on a conditional space.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return FailureAwareTPESampler(
            n_startup_trials=_STARTUP_TRIALS,
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=seed,
        )
