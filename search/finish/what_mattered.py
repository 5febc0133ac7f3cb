"""What mattered in a search, in words, and only where the trials support it.

Trials are compared by what they measured at the first rung, the one epoch that all of them reached:
later ones saw the good trials, and half of the others at most. Importances are PED-ANOVA's
(Watanabe et al. 2023, arXiv:2304.10255; Optuna's, for conditional parameters too): how differently
a parameter is distributed among the best quarter and among all trials.

Whether that is more than chance is told by permutation: the measured values are dealt out among the
trials anew many times, and an importance counts if it is beyond the largest importance of any
parameter in 95 of 100 deals (Westfall and Young 1993; so all claims together are wrong in 5 of 100
searches in which nothing matters). A sampler that learns does not draw trials independently, which
makes this a rule of thumb.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import BaseModel, Field

from covertune.search.record.trial_record import TrialRecord
from covertune.wording import counted

__all__ = ["Insight", "Setting", "what_mattered"]

_FEWEST_TRIALS = 20
_BEST_SHARE = 0.25
_DEALS = 200
_LEVEL = 0.05


class Setting(BaseModel):
    """One parameter of the search space."""

    name: str = Field(description="What the study calls it.")
    importance: float = Field(description="PED-ANOVA; 0 if the best trials chose it as all did.")
    chance: float = Field(
        description="Share of random deals in which some parameter seemed that important."
    )
    best: str = Field(description="What the best quarter of the trials chose.")
    all: str = Field(description="What all trials chose.")

    @property
    def mattered(self) -> bool:
        """Whether that is hardly chance."""
        return self.chance <= _LEVEL

    @property
    def in_words(self) -> str:
        """One clause."""
        return f"{self.name}: {self.best} among the best quarter, {self.all} among all"


class Insight(BaseModel):
    """What a search tells about its parameters."""

    epoch: int = Field(description="Where trials were compared.")
    trials: int = Field(description="How many were.")
    settings: list[Setting] = Field(description="The most important first.")

    @property
    def in_words(self) -> str:
        """What may be claimed, and what may not."""
        if self.trials < _FEWEST_TRIALS:
            return (
                f"What mattered: too few to say, {counted(self.trials, 'trial')} to compare at "
                f"epoch {self.epoch}; "
                f"{_FEWEST_TRIALS} are needed."
            )
        found = [setting for setting in self.settings if setting.mattered]
        compared = f"{counted(self.trials, 'trial')} compared at epoch {self.epoch}"
        if not found:
            return f"What mattered: no single parameter beyond chance ({compared})."
        clauses = "; ".join(setting.in_words for setting in found)
        return f"What mattered ({compared}; of the others nothing can be claimed): {clauses}."


def what_mattered(trials: Sequence[FrozenTrial], epoch: int, *, seed: int = 0) -> Insight:
    """Compare trials at an epoch.

    Args:
        trials: Of a study; those with no value at that epoch are left out, but failures for which
            the recipe was at fault count as the worst. The yardstick is no part of the space.
        epoch: The first rung.
        seed: Of the deals.
    """
    compared = [
        (trial, value)
        for trial in trials
        if trial.params and not TrialRecord(trial).is_untuned
        if (value := _value(trial, epoch)) is not None
    ]
    if len(compared) < _FEWEST_TRIALS:
        return Insight(epoch=epoch, trials=len(compared), settings=[])
    study = optuna.create_study()
    study.add_trials(
        create_trial(params=trial.params, distributions=trial.distributions, value=value)
        for trial, value in compared
    )
    values_T = np.array([value for _, value in compared])
    found = _importances(study, values_T)
    rng = np.random.default_rng(seed)
    dealt = [max(_importances(study, rng.permutation(values_T)).values()) for _ in range(_DEALS)]
    best = np.argsort(-values_T, kind="stable")[: math.ceil(_BEST_SHARE * len(values_T))]
    best_trials = [compared[at][0] for at in best]
    return Insight(
        epoch=epoch,
        trials=len(compared),
        settings=[
            Setting(
                name=name.rpartition(".")[2],
                importance=round(importance, 4),
                chance=float(np.mean([largest >= importance for largest in dealt])),
                best=_chosen(best_trials, name),
                all=_chosen([trial for trial, _ in compared], name),
            )
            for name, importance in sorted(found.items(), key=lambda item: -item[1])
        ],
    )


def _value(trial: FrozenTrial, epoch: int) -> float | None:
    if trial.state is TrialState.FAIL:
        return 0.0 if TrialRecord(trial).is_recipe_at_fault else None
    return trial.intermediate_values.get(epoch)


def _importances(study: optuna.Study, values_T: np.ndarray) -> dict[str, float]:
    # Here, because it brings scikit-learn, which takes seconds to load.
    from optuna.importance import PedAnovaImportanceEvaluator

    evaluator = PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it looks for low values, which it is given
        return evaluator.evaluate(study, target=lambda trial: -float(values_T[trial.number]))


def _chosen(trials: Sequence[FrozenTrial], name: str) -> str:
    """Say what trials chose: the middle eight tenths of numbers, or the commonest option."""
    asked = [trial for trial in trials if name in trial.params]
    if not asked:
        return "never asked"
    values = [trial.params[name] for trial in asked]
    if isinstance(asked[0].distributions[name], CategoricalDistribution):
        option, times = Counter(values).most_common(1)[0]
        return f"{option} {times} of {len(values)} times"
    low, high = np.quantile(values, [0.1, 0.9])
    return f"{low:.2g} to {high:.2g}"
