"""Who is measured on the test split: the best of a search, and what it is held against.

The test split is read here alone, after the last trial, and once for each of these models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from optuna.trial import FrozenTrial

from covertune.data_pipeline import CoverRefs
from covertune.models import Metrics, Predictions, Recipe
from covertune.search.cluster.devices import this_device
from covertune.search.cluster.objects import results
from covertune.search.cluster.workers import Workers
from covertune.search.finish.export import trial_model
from covertune.search.finish.predictions import LoadModel, predict_refs
from covertune.search.finish.soup import Ingredients
from covertune.search.plan import InputVariant
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import recipe_of
from covertune.search.record.trial_record import TrialRecord
from covertune.search.setup.feed import Feed
from covertune.search.setup.probes import Probe, probe_model
from covertune.search.setup.set_up import SearchContext
from covertune.vocabulary import Fit

__all__ = ["Contender", "better_than_the_best_trial", "contenders_of", "predict_all"]


@dataclass(frozen=True)
class Contender:
    """A model that is measured on the test split.

    Attributes:
        what: It is, for the reader.
        load: Brings it.
        kind: Says what covers it takes.
        val: What it measured on the validation split.
        trial: See `Score`.
        average_of: See `Outcome`.
        trials: Numbers of the trials it is made of.
    """

    what: str
    load: LoadModel
    kind: Recipe | Probe
    val: Metrics
    trial: int | None = None
    average_of: str | None = None
    trials: tuple[int, ...] = ()

    @property
    def origin(self) -> dict[str, Any]:
        """Where it comes from, as its model folder keeps it; of a trial or an average."""
        if self.trial is not None:
            return {"trial": self.trial}
        return {"average_of": self.average_of, "trials": list(self.trials)}


def contenders_of(context: SearchContext, leaders: Sequence[FrozenTrial]) -> dict[str, Contender]:
    """Return "best trial", and of the yardsticks "untuned" and "probe" those that there are.

    Args:
        context: Of the search.
        leaders: Its measured trials, the best first.
    """
    run, num_genres = context.run, len(context.store.genres)
    contenders = {"best trial": _contending_trial("best trial", run, leaders[0])}
    untuned = (trial for trial in leaders if TrialRecord(trial).is_untuned)
    kept = next((trial for trial in untuned if run.checkpoint(trial.number).exists()), None)
    if kept is not None:
        contenders["untuned"] = _contending_trial("untuned recipe", run, kept)
    probe = max(context.probes, key=lambda probe: probe.metrics.top1, default=None)
    if probe is not None:
        load = partial(probe_model, probe, context.plan.weights_of(probe.backbone), num_genres)
        contenders["probe"] = Contender("frozen probe", load, probe, probe.metrics)
    return contenders


def better_than_the_best_trial(
    context: SearchContext, leaders: Sequence[FrozenTrial], workers: Workers
) -> Contender | None:
    """Return another trial or an average that is better than the first of the leaders, if any.

    Args:
        context: Of the search.
        leaders: Its measured trials, the best first.
        workers: Measure on the validation split.
    """
    run, recipe = context.run, recipe_of(leaders[0])
    ingredients = Ingredients.of(
        run,
        leaders,
        context.probes,
        context.plan.weights_of(recipe.backbone),
        len(context.store.genres),
    )
    soup = ingredients.greedy_soup(context.splits[InputVariant.of(recipe)]["val"], workers)
    if soup is None:
        return None
    if soup.trial is not None:
        (chosen,) = (trial for trial in leaders if trial.number == soup.trial)
        return _contending_trial("lowest loss", run, chosen)
    return Contender(
        "average of the best",
        partial(ingredients.model, soup.shares),
        recipe,
        soup.metrics,
        average_of=soup.in_words,
        trials=tuple(number for number in soup.shares if number is not None),
    )


def _contending_trial(what: str, run: RunFolder, trial: FrozenTrial) -> Contender:
    return Contender(
        what,
        partial(trial_model, run, trial),
        recipe_of(trial),
        TrialRecord(trial).history[-1],
        trial.number,
        trials=(trial.number,),
    )


def predict_all(
    context: SearchContext, contenders: Mapping[str, Contender], best: str, workers: Workers
) -> tuple[dict[str, Predictions], Predictions]:
    """Ask the models, side by side; a trial that is two of them is asked once.

    Args:
        context: Of the search.
        contenders: Who is asked.
        best: The name of the one that will leave.
        workers: Do it.

    Returns:
        What each tells of the test split, and what the best tells of the validation split.

    Raises:
        SearchError: One of them cannot be loaded, or its worker died.
    """
    keys = {
        name: name if model.trial is None else f"trial {model.trial}"
        for name, model in contenders.items()
    }
    models = {keys[name]: model for name, model in contenders.items()}
    test = _test_covers(context.feed, [model.kind for model in models.values()])
    winner = contenders[best]
    val = context.splits[InputVariant.of(winner.kind)]["val"]
    work = [(model, test[InputVariant.of(model.kind)]) for model in models.values()]
    futures = [
        workers.submit(_predict, model.load, model.kind.backbone, covers)
        for model, covers in [*work, (winner, val)]
    ]
    remedy = f"`{context.run.resume_command}` tries again"
    *of_test, of_val = results(futures, "measuring on the test split", remedy=remedy)
    by_key = dict(zip(models, of_test, strict=True))
    return {name: by_key[key] for name, key in keys.items()}, of_val


def _test_covers(feed: Feed, models: Sequence[Recipe | Probe]) -> dict[InputVariant, CoverRefs]:
    """Return the test split as each of the models takes it, decoded once per size."""
    fits_by_px: dict[int, set[Fit]] = {}
    for model in models:
        fits_by_px.setdefault(model.image_px, set()).add(model.fit)
    by_size = {px: feed.test_split(px, sorted(fits)) for px, fits in sorted(fits_by_px.items())}
    return {InputVariant.of(model): by_size[model.image_px][model.fit]["test"] for model in models}


def _predict(load: LoadModel, backbone: str, refs: CoverRefs) -> Predictions:
    """Have a model predict; runs in a worker."""
    return predict_refs(load, backbone, refs, this_device())
