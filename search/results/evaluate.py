"""Measures an exported model on one split of a cover store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from data_pipeline import CoverStore, load_square
from models import load_bundle, measure_probabilities
from search.errors import SearchError

__all__ = ["Evaluation", "evaluate_model"]

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
    classifier = load_bundle(model)
    store = CoverStore.open(store_path)
    unknown = [genre for genre in store.genres if genre not in classifier.genres]
    if unknown:
        raise SearchError(
            f"the store {store_path} has genres the model does not know: {', '.join(unknown)}; "
            f"the model knows: {', '.join(classifier.genres)}"
        )
    to_model = np.array([classifier.genres.index(genre) for genre in store.genres])
    covers, labels_N = store.read_images(split)
    probabilities_NK = np.concatenate(
        [
            classifier.probabilities(
                np.stack(
                    [
                        load_square(one, classifier.image_px, classifier.fit)
                        for one in covers[i : i + _BATCH]
                    ]
                )
            )
            for i in range(0, len(covers), _BATCH)
        ]
    )
    genres_NK = store.read_genres(split)
    if genres_NK is not None:
        of_store, genres_NK = genres_NK, np.zeros(probabilities_NK.shape, dtype=np.uint8)
        genres_NK[:, to_model] = of_store
    measured = measure_probabilities(probabilities_NK, to_model[labels_N], genres_NK)
    return Evaluation(split=split, store_fingerprint=store.fingerprint, **measured.model_dump())
