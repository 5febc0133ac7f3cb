"""Measures an exported model on one split of a cover store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from covertune.data_pipeline import CoverStore, load_square
from covertune.models import Classifier, Predictions, load_model, measure_probabilities
from covertune.search.errors import SearchError

__all__ = ["Evaluation", "evaluate_model", "predict_split"]

_BATCH = 64


class Evaluation(BaseModel):
    """The fields of `covertune evaluate --json`."""

    split: str
    n: int
    top1: float
    top1_interval: tuple[float, float]
    """95 % Wilson score interval."""
    top3: float
    macro_f1: float
    ece: float
    """Expected calibration error, 15 bins."""
    store_fingerprint: str
    any_top1: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Share given any of their genres; left out unless the store is multi."""


def evaluate_model(
    model: Path, store_path: Path, split: Literal["train", "val", "test"] | str = "test"
) -> Evaluation:
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
            f"the store {store_path} has genres the model does not know: {', '.join(unknown)}; "
            f"the model knows: {', '.join(classifier.genres)}"
        )
    told = predict_split(classifier, store, split)
    measured = measure_probabilities(*told)
    return Evaluation(split=split, store_fingerprint=store.fingerprint, **measured.model_dump())


def predict_split(classifier: Classifier, store: CoverStore, split: str) -> Predictions:
    """Have a classifier tell the genres of a split, in this process.

    Args:
        classifier: Knows all genres of the store, by name.
        store: The covers.
        split: Which of them.
    """
    to_model = np.array([classifier.genres.index(genre) for genre in store.genres])
    covers, labels_N = store.read_images(split)
    probabilities_NK = np.concatenate(
        [
            classifier.probabilities(
                np.stack(
                    [
                        load_square(cover, classifier.image_px, classifier.fit)
                        for cover in covers[start : start + _BATCH]
                    ]
                )
            )
            for start in range(0, len(covers), _BATCH)
        ]
    )
    genres_NK = store.read_genres(split)
    if genres_NK is not None:
        of_store, genres_NK = genres_NK, np.zeros(probabilities_NK.shape, dtype=np.uint8)
        genres_NK[:, to_model] = of_store
    return Predictions(probabilities_NK, to_model[labels_N], genres_NK)
