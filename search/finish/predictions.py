"""What a classifier tells of a split: of a store in this process, of decoded covers in a worker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from covertune.data_pipeline import CoverRefs, CoverStore
from covertune.models import (
    Classifier,
    Predictions,
    get_backbone,
    inference_batch_size,
    predict_probabilities,
)

__all__ = ["LoadModel", "predict_refs", "predict_split"]

LoadModel = Callable[[], nn.Module]
"""Brings a model, on the CPU, ready to predict."""

_BATCH = 64


def predict_split(classifier: Classifier, store: CoverStore, split: str) -> Predictions:
    """Have a classifier tell the genres of a split, in this process.

    Args:
        classifier: Knows all genres of the store, by name.
        store: The covers.
        split: Which of them.

    Raises:
        StoreError: The store is damaged.
    """
    to_model = np.array([classifier.genres.index(genre) for genre in store.genres])
    covers, labels_N = store.read_images(split)
    probabilities_NK = np.concatenate(
        [
            classifier.probabilities(
                np.stack(
                    [
                        store.load_square(cover, classifier.image_px, classifier.fit)
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


def predict_refs(
    load: LoadModel, backbone: str, refs: CoverRefs, device: torch.device
) -> Predictions:
    """Have a model tell the genres of covers that are shared among processes.

    Args:
        load: Brings the model.
        backbone: What was fine-tuned.
        refs: The covers.
        device: Where to compute.
    """
    batches = refs.batches(inference_batch_size(refs.image_px, device), device, shuffle=False)
    return predict_probabilities(load().to(device), get_backbone(backbone).input, batches.epoch(0))
