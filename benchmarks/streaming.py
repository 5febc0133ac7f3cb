"""Training on streamed covers beside training on covers in memory.

    python benchmarks/streaming.py [--covers 2000] [--steps 24] [--rounds 3]

One EfficientNet-Lite0 is trained on one core at 128 px, fed in turn by

    resident tensors  random covers that are in memory already: the model alone
    decoded           batches from decoded covers in Ray's object store, as trials share them
    streamed          batches read from the store's Parquet files and decoded by one thread

in several rounds, so that all of them see the same machine; each round begins an epoch anew. The
process holds one core alone, so the decoding thread takes its time from training, as it does where
trials hold every core; with --cores 2 it has one to itself. Printed are covers/s, the share of the
time the training loop waited, and the ratio of streamed to decoded. The covers (400 x 600) are made
once and kept in build/.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from contextlib import closing
from pathlib import Path

import ray
import torch
from _covers import many_covers

from covertune.data_pipeline import CoverStore, StreamedRefs, decode_store, prepare_store
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.models import FineTuner, Recipe

IMAGE_PX = 128
BATCH = 32


def feeds(store, cores):
    """Return what gives the batches of an epoch, by name."""
    cpu = torch.device("cpu")
    decoded = decode_store(store, IMAGE_PX, splits=("train",))["train"]
    streamed = StreamedRefs(store, "train", IMAGE_PX, threads=1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])  # Ray has its workers by now
    resident = [
        (
            torch.randint(0, 256, (BATCH, IMAGE_PX, IMAGE_PX, 3), dtype=torch.uint8),
            torch.randint(0, len(store.genres), (BATCH,)),
        )
        for _ in range(8)
    ]
    return {
        "resident tensors": lambda _epoch: (batch for batch in itertools.cycle(resident)),
        "decoded": decoded.batches(BATCH, cpu, shuffle=True).epoch,
        "streamed": streamed.batches(BATCH, cpu, shuffle=True).epoch,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", type=int, default=2_000)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1, help="for training and decoding together")
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    start_local_ray()
    path = given.build / f"store-{given.covers}"
    if not path.exists():
        prepare_store(many_covers(given.covers, given.build), path)
    store = CoverStore.open(path)
    sources = feeds(store, given.cores)
    recipe = Recipe(
        backbone="efficientnet_lite0", image_px=IMAGE_PX, epochs=100, lr_head=1e-3, lr_backbone=1e-3
    )
    tuner = FineTuner(recipe, len(store.genres), torch.device("cpu"), steps_per_epoch=given.steps)
    speeds = {name: [] for name in sources}
    waits = {name: [] for name in sources}
    for source in sources.values():  # warm up
        with closing(source(0)) as batches:
            tuner.train_epoch(itertools.islice(batches, 2))
    for epoch in range(1, given.rounds + 1):
        for name, source in sources.items():
            with closing(source(epoch)) as batches:
                started = time.perf_counter()
                stats = tuner.train_epoch(itertools.islice(batches, given.steps))
                speeds[name].append(stats.covers / (time.perf_counter() - started))
            waits[name].append(stats.data_wait_s / stats.seconds)
    ray.shutdown()
    speed = {name: statistics.median(of) for name, of in speeds.items()}
    print(f"{'fed by':<20}{'covers/s':>10}{'waiting':>10}{'of the model alone':>20}")
    for name, wait in waits.items():
        share = speed[name] / speed["resident tensors"]
        print(f"{name:<20}{speed[name]:>10.1f}{statistics.median(wait):>10.1%}{share:>20.2f}")
    print(f"ratio streamed / decoded: {speed['streamed'] / speed['decoded']:.2f}")


if __name__ == "__main__":
    main()
