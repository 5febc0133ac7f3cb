"""Measures an exported model on one split of a cover store."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from covertune.data_pipeline import CoverStore
from covertune.models import Measurement, load_model, measure_probabilities
from covertune.search.errors import SearchError
from covertune.search.finish.predictions import predict_split
from covertune.vocabulary import Split
from covertune.wording import few

__all__ = ["Evaluation", "evaluate_model"]


class Evaluation(Measurement):
    """The fields of `covertune evaluate --json`."""

    split: str = Field(description="The split of the store.")
    store_fingerprint: str = Field(description="SHA-256 of the store's content.")


def evaluate_model(model: Path, store_path: Path, split: Split | str = "test") -> Evaluation:
    """Measure a model folder on a store.

    Args:
        model: Model folder.
        store_path: Store whose genres are among the model's, by name.
        split: Which covers.

    Raises:
        ModelError, DataError: One of the folders is not what it should be.
        SearchError: The store has genres the model does not know.
    """
    classifier = load_model(model)
    store = CoverStore.open(store_path)
    unknown = [genre for genre in store.genres if genre not in classifier.genres]
    if unknown:
        raise SearchError(
            f"the store {store_path} has genres the model does not know: {few(unknown)}; "
            f"the model knows: {few(classifier.genres, at_most=8)}"
        )
    told = predict_split(classifier, store, split)
    measured = measure_probabilities(*told)
    return Evaluation(split=split, store_fingerprint=store.fingerprint, **measured.model_dump())
