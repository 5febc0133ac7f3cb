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
from collections.abc import Container
from typing import Any, Literal, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from covertune.search.config import SEEDS
from covertune.search.record.constants import RECIPE_AT_FAULT

__all__ = ["FailureAwareTPESampler", "make_sampler"]

_STARTUP_TRIALS = 8
_SEED_STEP = 7919


class FailureAwareTPESampler(TPESampler):
    """TPE that looks at all that was measured."""

    _view: tuple[int, _AsMeasured] | None = None  # of the trial that is being asked for

    def _as_measured(self, study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
        """One view for all questions of a trial."""
        if self._view is None or self._view[0] != trial.number:
            self._view = trial.number, _AsMeasured(study)
        return cast(optuna.Study, self._view[1])

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `BaseSampler`."""
        return super().sample_independent(
            self._as_measured(study, trial), trial, param_name, param_distribution
        )

    def _build_parzen_estimator(
        self,
        study: optuna.Study,
        search_space: dict[str, Any],
        trials: list[FrozenTrial],
        handle_below: bool,
    ) -> Any:
        """g(x), the density of bad trials, includes trials that failed by their own fault."""
        if not handle_below:
            failed = study._get_trials(deepcopy=False, states=(TrialState.FAIL,))
            trials = trials + [
                trial
                for trial in failed
                if trial.user_attrs.get(RECIPE_AT_FAULT)
                and search_space.keys() <= trial.params.keys()
            ]
        return super()._build_parzen_estimator(study, search_space, trials, handle_below)


class _AsMeasured:
    """A study in which running trials that have measured something were stopped there.

    As it was when the trial was asked for: one process alone writes it, and reading it anew for
    each parameter takes milliseconds.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._measured_study = study
        self._measured_trials: list[FrozenTrial] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._measured_study, name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        if self._measured_trials is None:
            self._measured_trials = [
                _stopped(trial) if trial.state is TrialState.RUNNING else trial
                for trial in self._measured_study.get_trials(deepcopy=False)
            ]
        trials = [t for t in self._measured_trials if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


def _stopped(trial: FrozenTrial) -> FrozenTrial:
    if not trial.intermediate_values:
        return trial
    stopped = copy.copy(trial)
    stopped.state = TrialState.PRUNED
    return stopped


def make_sampler(
    kind: Literal["tpe", "random"], seed: int, *, known: int = 0
) -> optuna.samplers.BaseSampler:
    """The sampler of a search.

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
