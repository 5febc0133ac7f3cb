"""How covers should meet the square: what a frozen probe makes of squashed, padded, cropped ones.

    python benchmarks/fits.py [--store STORE] [--px 96 128] [--backbone efficientnet_lite0]

Features of all covers of a store are extracted once per size and fit; then a logistic regression
is fitted and measured on each of five folds, the same for every fit. Printed are the mean top-1 and
its difference from squashing, with the standard error of that difference over the folds. Without
--store, generated covers, which are tall (2 to 3), of ten genres.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import ray
import torch

from covertune.data_pipeline import (
    CoverStore,
    EpochBatches,
    PrepareSettings,
    decode_fits,
    prepare_store,
)
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.sample import draw_sample
from covertune.models import Features, extract_features, fit_probe, get_backbone
from covertune.vocabulary import FITS, SPLITS

FOLDS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--px", type=int, nargs="+", default=[96, 128])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--covers-per-genre", type=int, default=80)
    parser.add_argument("--genres", type=int, default=10)
    given = parser.parse_args()
    start_local_ray(num_cpus=2)
    with tempfile.TemporaryDirectory() as folder:
        path = given.store
        if path is None:
            path = Path(folder) / "store"
            covers = Path(folder) / "covers"
            draw_sample(covers, covers_per_genre=given.covers_per_genre, genres=given.genres)
            prepare_store(covers, path, settings=PrepareSettings(max_px=256))
        store = CoverStore.open(path)
        sides = store.read_columns(["width", "height"]).to_pydict()
        shapes = [h / w for w, h in zip(sides["width"], sides["height"], strict=True)]
        print(
            f"{store.manifest.kept} covers of {len(store.genres)} genres, height to width "
            f"{statistics.median(shapes):.2f} ({min(shapes):.2f} to {max(shapes):.2f})"
        )
        for px in given.px:
            measure(store, px, given.backbone)
    ray.shutdown()


def measure(store, px, backbone):
    started = time.perf_counter()
    decoded = decode_fits(store, px, FITS, splits=SPLITS)
    print(f"\n{backbone} at {px} px; decoding into {len(FITS)} fits: ", end="")
    print(f"{time.perf_counter() - started:.1f} s")
    print(f"{'fit':<10}{'top-1':>8}{'top-3':>8}{'from squash':>16}")
    squash = None
    for fit in FITS:
        scores = probe_scores(store, decoded[fit], px, backbone)
        top1 = [one for one, _ in scores]
        squash = squash or top1
        gains = [mine - theirs for mine, theirs in zip(top1, squash, strict=True)]
        error = statistics.stdev(gains) / FOLDS**0.5
        top3 = statistics.mean(three for _, three in scores)
        gain = f"{statistics.mean(gains):+.3f} ± {error:.3f}" if fit != FITS[0] else ""
        print(f"{fit:<10}{statistics.mean(top1):>8.3f}{top3:>8.3f}{gain:>16}", flush=True)


def probe_scores(store, splits, px, backbone):
    """Return (top-1, top-3) on each fold; which covers are in one depends on the store alone."""
    found = get_backbone(backbone)
    model = found.build(2, image_px=px, weights="default")
    device = torch.device("cpu")
    parts = []
    for refs in splits.values():
        batches = EpochBatches(refs.get(), 64, device, shuffle=False)
        input_spec = found.input.at(px)
        parts.append(extract_features(model, batches.epoch(0), device, input_spec=input_spec))
    X, y, _ = Features.joined(parts)
    fold_of = np.random.default_rng(0).permutation(len(y)) % FOLDS
    scores = []
    for fold in range(FOLDS):
        held_out = torch.from_numpy(fold_of == fold)
        result = fit_probe(
            Features(X[~held_out], y[~held_out]),
            Features(X[held_out], y[held_out]),
            len(store.genres),
        )
        scores.append((result.val_metrics.top1, result.val_metrics.top3))
    return scores


if __name__ == "__main__":
    main()
