"""TPE that also learns from failures, and from trials that still run.

Optuna's TPE (Bergstra et al. 2011, each parameter by itself: `docs/decisions/0023`) leaves
failed trials out, and so walks into the same exploding or collapsing corner again. Here a trial
whose recipe was at fault counts among the bad ones, with no value made up for it.

It also counts running trials among the bad ones, whatever they have measured. With successive
halving and many workers the best there are are among them, and it is drawn away from those. Here a
running trial that has measured an epoch counts as one that was stopped there. So the start-up, in
which chance chooses, ends when enough trials have measured something, not when they have ended.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from covertune.search.config import SEEDS
from covertune.search.record.compat import OpenTPESampler
from covertune.search.record.trial_record import TrialRecord

__all__ = ["FailureAwareTPESampler", "make_sampler"]

_STARTUP_TRIALS = 8
_SEED_STEP = 7919


class FailureAwareTPESampler(OpenTPESampler):
    """TPE that looks at all that was measured."""

    def trials_seen(self, study: optuna.Study) -> list[FrozenTrial]:
        """Return all trials; running ones that have measured something as if stopped there."""
        return [
            _stopped(trial) if trial.state is TrialState.RUNNING else trial
            for trial in super().trials_seen(study)
        ]

    def more_bad_trials(
        self, seen: list[FrozenTrial], search_space: dict[str, Any]
    ) -> list[FrozenTrial]:
        """Return the trials that failed by their own fault."""
        return [
            trial
            for trial in seen
            if trial.state is TrialState.FAIL
            and TrialRecord(trial).is_recipe_at_fault
            and search_space.keys() <= trial.params.keys()
        ]


def _stopped(trial: FrozenTrial) -> FrozenTrial:
    if not trial.intermediate_values:
        return trial
    stopped = copy.copy(trial)
    stopped.state = TrialState.PRUNED
    return stopped


def make_sampler(
    kind: Literal["tpe", "random"], seed: int, *, known: int = 0
) -> optuna.samplers.BaseSampler:
    """Make the sampler of a search.

    Args:
        kind: `tpe` or `random`.
        seed: Of the search.
        known: Trials that there were before this process, running ones included. A resumed search
            draws with another seed than the one before it: the same would draw the same random
            trials again.
    """
    seed = (seed + _SEED_STEP * known) % SEEDS
    if kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return FailureAwareTPESampler(
        n_startup_trials=_STARTUP_TRIALS, multivariate=False, constant_liar=True, seed=seed
    )
