"""What a search exports where it is better than its best trial: another, or an average of several.

A search trains many good models, and its best trial is best by a noisy measurement. The validation
loss tells more of them apart than top-1 does; and the mean of their weights
(`models.training.averaging`) uses what the others have learnt. Both cost some evaluations and no
training.

Ingredients are the best trial, the others whose checkpoints are kept, and the frozen probe, all of
one backbone, size and fit. Of the trials whose top-1 is within a standard error of the best, that
with the lowest loss is taken. To it is added, again and again, whichever ingredient lowers the loss
most, until none does (Caruana et al. 2004, "Ensemble selection from libraries of models"). An
ingredient may be added twice. Models are compared at the temperature that suits each best: an
average is less sure of itself, which would lower its loss without making it better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from optuna.trial import FrozenTrial
from torch import nn

from covertune.data_pipeline import CoverRefs
from covertune.models import (
    at_temperature,
    average_weights,
    fit_temperature,
    log_loss,
)
from covertune.models.metrics import Metrics, standard_error
from covertune.models.state import load_state
from covertune.search.cluster.devices import this_device
from covertune.search.cluster.objects import results, share
from covertune.search.cluster.workers import Workers
from covertune.search.finish.export import trial_model
from covertune.search.finish.predictions import predict_refs
from covertune.search.plan import InputVariant
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import recipe_of
from covertune.search.setup.probes import Probe, probe_model

__all__ = ["Ingredients", "Soup", "least_top1", "lowest_loss"]

_ROUNDS = 5
_LEAST_GAIN = 1e-3  # of validation loss; less is not worth another model


class _Measured(Protocol):
    @property
    def top1(self) -> float: ...
    @property
    def loss(self) -> float: ...


M = TypeVar("M", bound=_Measured)


def least_top1(best_top1: float, covers: int) -> float:
    """Return the top-1 on so many covers as good as the best: a standard error behind it."""
    return best_top1 - standard_error(best_top1, covers)


def lowest_loss(models: Sequence[M], covers: int) -> M:
    """Return, of those as good in top-1 as the first, the best, the one with the lowest loss.

    Args:
        models: The best in top-1 first.
        covers: On how many they were measured.
    """
    enough = least_top1(models[0].top1, covers)
    return min((model for model in models if model.top1 >= enough), key=lambda model: model.loss)


@dataclass(frozen=True)
class Soup:
    """An average of models, perhaps of one alone.

    Attributes:
        shares: How often each is in it, by trial number; None is the frozen probe.
        metrics: On the validation split.
        loss: Mean cross-entropy there, at the temperature that suits it best.
    """

    shares: dict[int | None, int]
    metrics: Metrics
    loss: float

    @property
    def top1(self) -> float:
        """On the validation split."""
        return self.metrics.top1

    @property
    def trial(self) -> int | None:
        """The number of the trial it is, if it is one alone."""
        return next(iter(self.shares)) if len(self.shares) == 1 else None

    @property
    def in_words(self) -> str:
        """Such as `trial 3 (2), trial 7, frozen probe`."""
        parts = []
        for number, times in self.shares.items():
            name = "frozen probe" if number is None else f"trial {number}"
            parts.append(name if times == 1 else f"{name} ({times} times)")
        return ", ".join(parts)


@dataclass(frozen=True)
class Ingredients:
    """Everything an average can be made of."""

    run: RunFolder
    best: FrozenTrial
    others: tuple[FrozenTrial, ...]
    """Further trials with a checkpoint, of the best one's backbone, size and fit."""
    probe: Probe | None
    weights: str
    """The backbone's, under the probe."""
    num_genres: int

    @classmethod
    def of(
        cls,
        run: RunFolder,
        ranked: Sequence[FrozenTrial],
        probes: Sequence[Probe],
        weights: str,
        num_genres: int,
    ) -> Ingredients:
        """Take what goes with the first of the ranked trials."""
        best, *rest = ranked
        wanted = _kind(best)
        others = tuple(
            trial
            for trial in rest
            if run.checkpoint(trial.number).exists() and _kind(trial) == wanted
        )
        probe = next((p for p in probes if InputVariant.of(p) == wanted), None)
        return cls(run, best, others, probe, weights, num_genres)

    def greedy_soup(self, val: CoverRefs, workers: Workers) -> Soup | None:
        """Return the average, or the trial, with the lowest validation loss greedy steps find.

        Returns:
            None where nothing lowers the best trial's loss by as much as counts, or where top-1
            would fall behind its by more than a standard error.

        Raises:
            SearchError: A model cannot be measured.
        """
        trials = [trial.number for trial in (self.best, *self.others)]
        ingredients = trials + ([] if self.probe is None else [None])
        if len(ingredients) == 1:
            return None
        alone = self._measured([Counter([number]) for number in trials], val, workers)
        best = alone[0]
        enough = least_top1(best.top1, val.num_covers)
        soup = lowest_loss(alone, val.num_covers)
        if best.loss - soup.loss < _LEAST_GAIN:
            soup = best
        for _ in range(_ROUNDS):
            mixtures = [Counter(soup.shares) + Counter([added]) for added in ingredients]
            better = min(
                self._measured([mixture for mixture in mixtures if len(mixture) > 1], val, workers),
                key=lambda tried: tried.loss,
            )
            if better.loss > soup.loss - _LEAST_GAIN or better.top1 < enough:
                break
            soup = better
        return None if soup is best else soup

    def model(self, shares: dict[int | None, int]) -> nn.Module:
        """Return the average as a model on the CPU, ready to predict."""
        trials = {trial.number: trial for trial in (self.best, *self.others)}
        models = []
        for number in shares:
            if number is not None:
                models.append(trial_model(self.run, trials[number]))
            elif self.probe is not None:
                models.append(probe_model(self.probe, self.weights, self.num_genres))
        average = average_weights([model.state_dict() for model in models], list(shares.values()))
        load_state(models[0], average)
        # Some networks keep what they compute in eval mode until they are trained again.
        return models[0].train().eval()

    def _measured(
        self, mixtures: Sequence[Counter[int | None]], val: CoverRefs, workers: Workers
    ) -> list[Soup]:
        ingredients = share(self)
        futures = [
            workers.submit(_measure, ingredients, dict(mixture), val) for mixture in mixtures
        ]
        return results(futures, "averaging the best models", remedy=f"see {self.run.log_file}")


def _kind(trial: FrozenTrial) -> InputVariant:
    return InputVariant.of(recipe_of(trial))


def _measure(ingredients: Ingredients, shares: dict[int | None, int], val: CoverRefs) -> Soup:
    """Measure an average; runs in a worker."""
    backbone = recipe_of(ingredients.best).backbone
    load = partial(ingredients.model, shares)
    probabilities_NK, labels_N, genres_NK = predict_refs(load, backbone, val, this_device())
    temperature = fit_temperature(probabilities_NK, labels_N)
    return Soup(
        shares,
        Metrics.of(probabilities_NK, labels_N, genres_NK),
        loss=log_loss(at_temperature(probabilities_NK, temperature), labels_N),
    )
