"""Genres of single covers, told by an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from covertune.data_pipeline import ImageRejected, load_square
from covertune.models import Classifier, load_model
from covertune.wording import reason_of

__all__ = ["CoverAnswer", "GenreProbability", "predict_covers"]

_BATCH = 64


class GenreProbability(BaseModel):
    """One genre and how likely it is, in [0, 1]."""

    genre: str = Field(description="Its name.")
    probability: float = Field(description="In [0, 1]; those of a cover sum to 1.")


class CoverAnswer(BaseModel):
    """All genres of one cover, the likeliest first; or why there are none."""

    path: str = Field(description="The file, as it was given.")
    genres: list[GenreProbability] = Field(description="All; none where there is an error.")
    error: str | None = Field(default=None, description="Why there are no genres.")


def predict_covers(model: Path | Classifier, images: Sequence[Path]) -> list[CoverAnswer]:
    """Tell the genres of covers.

    Args:
        model: A model folder, or one that is loaded.
        images: Files; one that cannot be read gets an answer with an error.

    Returns:
        One answer per file, in order.

    Raises:
        ModelError: The folder is no model.
    """
    classifier = model if isinstance(model, Classifier) else load_model(model)
    answers: list[CoverAnswer] = []
    for start in range(0, len(images), _BATCH):
        answers += _answer(classifier, images[start : start + _BATCH])
    return answers


def _answer(classifier: Classifier, paths: Sequence[Path]) -> list[CoverAnswer]:
    pixels: dict[int, np.ndarray] = {}
    errors: dict[int, str] = {}
    for index, path in enumerate(paths):
        try:
            pixels[index] = load_square(path, classifier.image_px, classifier.fit)
        except ImageRejected as rejected:
            errors[index] = str(rejected)
        except OSError as error:
            errors[index] = reason_of(error)
    by_index: dict[int, np.ndarray] = {}
    if pixels:
        told_NK = classifier.probabilities(np.stack(list(pixels.values())))
        by_index = dict(zip(pixels, told_NK, strict=True))
    return [
        CoverAnswer(path=str(path), genres=[], error=errors[index])
        if index in errors
        else CoverAnswer(path=str(path), genres=_ranked(classifier.genres, by_index[index]))
        for index, path in enumerate(paths)
    ]


def _ranked(genres: Sequence[str], probabilities_K: np.ndarray) -> list[GenreProbability]:
    order = np.argsort(-probabilities_K, kind="stable")
    return [
        GenreProbability(genre=genres[index], probability=float(probabilities_K[index]))
        for index in order
    ]
