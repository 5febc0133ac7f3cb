"""Time spent waiting for data: our batches beside a DataLoader over the image files.

    python benchmarks/data_wait.py [--store STORE] [--steps 24] [--rounds 3]

One EfficientNet-Lite0 is trained on one core at 128 px, fed in turn by

    resident tensors     random covers that are in memory already: the model alone
    covertune            batches from the decoded covers all trials share
    DataLoader, 0 and 1  torch's, over the JPEG files, decoded and resized per epoch, in the
                         training process and in a worker process of its own

in several rounds, so that all of them see the same machine. Printed are covers/s, the share of the
time the training loop waited, and the ratio to the model alone. Without --store, generated covers.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import ray
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from covertune.batch import Batch
from covertune.data_pipeline import (
    CoverStore,
    EpochBatches,
    PrepareSettings,
    decode_store,
    prepare_store,
)
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.sample import draw_sample
from covertune.models import FineTuner, Recipe

IMAGE_PX = 128
BATCH = 32


class CoverFiles(Dataset):
    """What one writes by hand: open, convert, resize, for each cover and epoch anew."""

    def __init__(self, files, labels):
        self.files, self.labels = files, labels

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with Image.open(self.files[index]) as image:
            square = image.convert("RGB").resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(square)), self.labels[index]


def forever(make_epoch):
    for epoch in itertools.count():
        yield from make_epoch(epoch)


def feeds(store, folder):
    """Return endless batches by name."""
    refs = decode_store(store, IMAGE_PX, splits=("train",))["train"]
    split = refs.get()
    ours = EpochBatches(split, BATCH, torch.device("cpu"), shuffle=True, seed=0)
    covers, labels = store.read_images("train")
    files = []
    for number, cover in enumerate(covers):
        files.append(folder / f"{number}.jpg")
        files[-1].write_bytes(cover)
    dataset = CoverFiles(files, [int(label) for label in labels])
    resident = [
        Batch(
            torch.randint(0, 256, (BATCH, IMAGE_PX, IMAGE_PX, 3), dtype=torch.uint8),
            torch.randint(0, len(store.genres), (BATCH,)),
        )
        for _ in range(8)
    ]

    def loader(workers):
        made = DataLoader(
            dataset,
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        return forever(lambda _epoch: (Batch(*batch) for batch in made))

    return {
        "resident tensors": itertools.cycle(resident),
        "covertune": forever(ours.epoch),
        "DataLoader, 0 workers": loader(0),
        "DataLoader, 1 worker": loader(1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    start_local_ray(num_cpus=2)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        path = given.store
        if path is None:
            path = folder / "store"
            draw_sample(folder / "covers")
            prepare_store(folder / "covers", path, settings=PrepareSettings(max_px=128))
        store = CoverStore.open(path)
        sources = feeds(store, folder)
        recipe = Recipe(
            backbone="efficientnet_lite0",
            image_px=IMAGE_PX,
            epochs=100,
            lr_head=1e-3,
            lr_backbone=1e-3,
        )
        tuner = FineTuner(
            recipe, len(store.genres), torch.device("cpu"), steps_per_epoch=given.steps
        )
        speeds = {name: [] for name in sources}
        waits = {name: [] for name in sources}
        for source in sources.values():  # warm up: the first batch starts workers
            tuner.train_epoch([next(source), next(source)])
        for _ in range(given.rounds):
            for name, source in sources.items():
                started = time.perf_counter()
                stats = tuner.train_epoch(itertools.islice(source, given.steps))
                speeds[name].append(stats.covers / (time.perf_counter() - started))
                waits[name].append(stats.data_wait_s / stats.seconds)
    ray.shutdown()
    alone = statistics.median(speeds["resident tensors"])
    print(f"{'fed by':<24}{'covers/s':>10}{'waiting':>10}{'of the model alone':>20}")
    for name in sources:
        speed, wait = statistics.median(speeds[name]), statistics.median(waits[name])
        print(f"{name:<24}{speed:>10.1f}{wait:>10.1%}{speed / alone:>20.2f}")


if __name__ == "__main__":
    main()
