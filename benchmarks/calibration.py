"""How sure exported models are of themselves: the calibration error with and without temperature.

    python benchmarks/calibration.py [--store STORE] [--px 128]

Trains a few recipes that leave a classifier too sure (the untuned one) or not sure enough (mixing
and smoothed labels), fits one temperature on the validation split as `covertune export` does, and
measures the expected calibration error (15 bins) on the test split before and after.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from covertune.data_pipeline import CoverStore, PrepareSettings, decode_store, prepare_store
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.sample import draw_sample
from covertune.models import (
    UNTUNED,
    FineTuner,
    Recipe,
    calibrate,
    get_backbone,
    predict_probabilities,
)
from covertune.models.metrics import top_k
from covertune.vocabulary import SPLITS

CPU = torch.device("cpu")
MIXED = Recipe(
    backbone="efficientnet_lite0",
    image_px=128,
    epochs=6,
    batch_size=16,
    lr_head=1.1e-3,
    lr_backbone=3e-4,
    layer_decay=0.6,
    frozen_stages=6,
    batch_norm="frozen",
    head_init="zero",
    schedule="cosine",
    warmup_epochs=0.3,
    mixup_alpha=0.69,
    label_smoothing=0.1,
    drop_rate=0.4,
    ema_decay=0.97,
)
RECIPES = {
    "untuned": UNTUNED,
    "mixed": MIXED,
    "mixed and cut": MIXED.model_copy(update={"cutmix_alpha": 1.0, "label_smoothing": 0.2}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="none: generated covers")
    parser.add_argument("--px", type=int, default=128)
    given = parser.parse_args()
    start_local_ray()
    with tempfile.TemporaryDirectory() as folder:
        path = given.store
        if path is None:
            path = Path(folder) / "store"
            draw_sample(Path(folder) / "covers", covers_per_genre=100, genres=8)
            prepare_store(Path(folder) / "covers", path, settings=PrepareSettings(max_px=256))
        compare(CoverStore.open(path), given.px)


def compare(store, px):
    """Train each recipe, and print a line."""
    splits = decode_store(store, px, splits=SPLITS)
    print(f"{'recipe':14} top-1   T      ECE before  after")
    for name, recipe in RECIPES.items():
        recipe = recipe.model_copy(update={"image_px": px})
        train = splits["train"].batches(recipe.batch_size, CPU, shuffle=True, seed=0)
        tuner = FineTuner(recipe, len(store.genres), CPU, steps_per_epoch=len(train))
        for epoch in range(1, recipe.epochs + 1):
            tuner.train_epoch(train.epoch(epoch))
        told = {
            split: predict_probabilities(
                tuner.export_model(),
                get_backbone(recipe.backbone).input,
                splits[split].batches(32, CPU, shuffle=False).epoch(0),
            )
            for split in ("val", "test")
        }
        found = calibrate(told["val"], told["test"])
        top1 = top_k(told["test"].probabilities_NK, told["test"].labels_N, 1)
        print(
            f"{name:14} {top1:.3f}  {found.temperature:5.2f}  {found.test_ece_before:10.3f}  "
            f"{found.test_ece_after:5.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
