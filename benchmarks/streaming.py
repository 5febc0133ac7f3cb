"""Training on covers that do not fit into memory beside training on covers that do.

    python benchmarks/streaming.py [--covers 10000] [--steps 24] [--rounds 3]

One EfficientNet-Lite0, all of it, is trained on one core at 128 px, fed in turn by

    resident tensors  random covers that are in memory already: the model alone
    decoded           a part of the split that fits into Ray's object store, as trials share it
    spilled           a split of four times the object store, decoded once; Ray brings blocks back
    streamed          the same split, read from the store's Parquet files and decoded by one thread

in several rounds, so that all of them see the same machine; each round begins an epoch anew. The
process holds one core alone, so that what feeds it takes its time from training, as it does where
trials hold every core; with --cores 2 it has one to itself. Printed are covers/s, the share of the
time the training loop waited, the ratios to decoded, and the memory of this process that each feed
added. The covers (400 x 600) are made once and kept in build/.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import ray
import torch
from _covers import many_covers

from covertune.batch import Batch
from covertune.data_pipeline import (
    CoverStore,
    Part,
    cover_nbytes,
    decode_parts,
    prepare_store,
    spill_part,
    stream_part,
)
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.models import FineTuner, Recipe

IMAGE_PX = 128
BATCH = 32
PARTS = 4  # of the split, one of which the object store has room for


def feeds(store, cores):
    """Return what gives the batches of an epoch, by name."""
    cpu = torch.device("cpu")
    whole = Part(store, "train")
    fits = np.arange(0, len(whole), PARTS * 2)
    decoded = decode_parts({"fits": Part(store, "train", fits, "fits")}, IMAGE_PX, ("squash",))[
        "squash"
    ]["fits"]
    spilled = spill_part(whole, IMAGE_PX, ("squash",))["squash"]
    streamed = stream_part(whole, IMAGE_PX, "squash", threads=1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])  # Ray has its workers by now
    resident = [
        Batch(
            torch.randint(0, 256, (BATCH, IMAGE_PX, IMAGE_PX, 3), dtype=torch.uint8),
            torch.randint(0, len(store.genres), (BATCH,)),
        )
        for _ in range(8)
    ]
    return {
        "resident tensors": lambda _epoch: (batch for batch in itertools.cycle(resident)),
        "decoded": decoded.batches(BATCH, cpu, shuffle=True).epoch,
        "spilled": spilled.batches(BATCH, cpu, shuffle=True).epoch,
        "streamed": streamed.batches(BATCH, cpu, shuffle=True).epoch,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1, help="for training and decoding together")
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    path = given.build / f"store-{given.covers}"
    if not path.exists():
        prepare_store(many_covers(given.covers, given.build), path)
        ray.shutdown()
    store = CoverStore.open(path)
    split_nbytes = store.count("train") * cover_nbytes(store, IMAGE_PX)
    start_local_ray(object_store_nbytes=split_nbytes // PARTS)
    sources = feeds(store, given.cores)
    recipe = Recipe(
        backbone="efficientnet_lite0", image_px=IMAGE_PX, epochs=100, lr_head=1e-3, lr_backbone=1e-3
    )
    tuner = FineTuner(recipe, len(store.genres), torch.device("cpu"), steps_per_epoch=given.steps)
    speeds = {name: [] for name in sources}
    waits = {name: [] for name in sources}
    process, added = psutil.Process(), {}
    for name, source in sources.items():  # warm up
        before = process.memory_full_info().uss
        with closing(source(0)) as batches:
            tuner.train_epoch(itertools.islice(batches, 2))
            added[name] = process.memory_full_info().uss - before
    for epoch in range(1, given.rounds + 1):
        for name, source in sources.items():
            with closing(source(epoch)) as batches:
                started = time.perf_counter()
                stats = tuner.train_epoch(itertools.islice(batches, given.steps))
                speeds[name].append(stats.covers / (time.perf_counter() - started))
            waits[name].append(stats.data_wait_s / stats.seconds)
    ray.shutdown()
    speed = {name: statistics.median(of) for name, of in speeds.items()}
    print(f"{'fed by':<20}{'covers/s':>10}{'waiting':>10}{'of the model alone':>20}{'MB':>8}")
    for name, wait in waits.items():
        share = speed[name] / speed["resident tensors"]
        print(
            f"{name:<20}{speed[name]:>10.1f}{statistics.median(wait):>10.1%}{share:>20.2f}"
            f"{added[name] / 1e6:>8.0f}"
        )
    print(f"split: {split_nbytes / 1e6:.0f} MB, object store: a quarter of it")
    for name in ("spilled", "streamed"):
        print(f"ratio {name} / decoded: {speed[name] / speed['decoded']:.2f}")


if __name__ == "__main__":
    main()
