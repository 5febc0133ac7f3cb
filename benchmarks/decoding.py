"""How fast a store is decoded when a search starts, of what the cores could do.

    python benchmarks/decoding.py [--covers 20000] [--others 2000] [--px 128] [--phases …]

Generated covers (400 x 600; made once, kept in build/) are prepared, then decoded to squares by

    bare         a loop on one core that decodes and squashes covers of the store, no more
    covertune    `decode_store`: from the store's Parquet files into arrays all trials share
    read_images  Ray Data's own, over the same covers as files, materialised
    DataLoader   torch's, a worker a core, over the same files

Printed is the share of (cores x bare) that each reaches. What starts Ray and its workers is
measured by itself and left out, for torch's workers up to the first batch. The loop runs before and
after each, so that all see the same machine.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import ray
import torch
from _covers import many_covers
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from covertune.data_pipeline import CoverStore, decode_store, prepare_store
from covertune.data_pipeline.local_ray import start_local_ray

CORES = len(os.sched_getaffinity(0))
BARE_COVERS = 1500
PHASES = ("bare", "covertune", "read_images", "DataLoader")


def square(data, px):
    with Image.open(io.BytesIO(data)) as opened:
        return np.array(opened.convert("RGB").resize((px, px), Image.Resampling.BICUBIC))


def bare(covers, px):
    """Measure the covers/s of the loop."""
    started = time.perf_counter()
    for data in covers[:BARE_COVERS]:
        square(data, px)
    return min(BARE_COVERS, len(covers)) / (time.perf_counter() - started)


def covertune(store, px):
    started = time.perf_counter()
    start_local_ray()
    decode_store(store, px, splits=("val",))
    start_s = time.perf_counter() - started
    started = time.perf_counter()
    decode_store(store, px, splits=("train",))
    return store.count("train"), time.perf_counter() - started, start_s


def read_images(files, px):
    def run(chosen):
        ray.data.read_images(chosen, mode="RGB", size=(px, px)).materialize()

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    started = time.perf_counter()
    start_local_ray()
    run(files[:8])
    start_s = time.perf_counter() - started
    started = time.perf_counter()
    run(files)
    return len(files), time.perf_counter() - started, start_s


class Squares(Dataset):
    def __init__(self, files, px):
        self.files, self.px = files, px

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return torch.from_numpy(square(Path(self.files[index]).read_bytes(), self.px))


def data_loader(files, px):
    started = time.perf_counter()
    batches = iter(DataLoader(Squares(files, px), 64, num_workers=CORES))
    first = next(batches)
    start_s = time.perf_counter() - started
    started = time.perf_counter()
    for _ in batches:
        pass
    return len(files) - len(first), time.perf_counter() - started, start_s


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", type=int, default=20_000)
    parser.add_argument("--others", type=int, default=2_000, help="covers for all but covertune")
    parser.add_argument("--px", type=int, default=128)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    chosen = given.phases.split(",")
    unknown = set(chosen) - set(PHASES)
    if unknown:
        parser.error(f"phases are {', '.join(PHASES)}, got {', '.join(unknown)}")
    torch.set_num_threads(1)
    path = given.build / f"store-{given.covers}"
    if not path.exists():
        prepare_store(many_covers(given.covers, given.build), path)
        ray.shutdown()
    store = CoverStore.open(path)
    covers, _ = store.read_images("train", limit=given.others)
    bare(covers, given.px)
    loops = [bare(covers, given.px)]
    print(
        f"{CORES} cores, {store.count('train')} covers at {given.px} px; "
        f"the bare loop on one core: {loops[0]:.0f}/s"
    )
    print(f"{'':<14}{'covers/s':>10}{'of cores x bare':>17}{'start-up':>11}")
    with tempfile.TemporaryDirectory(dir=given.build) as folder:
        files = [str(Path(folder) / f"{number:06}.jpg") for number in range(len(covers))]
        for file, data in zip(files, covers, strict=True):
            Path(file).write_bytes(data)
        phases = {
            "covertune": lambda: covertune(store, given.px),
            "read_images": lambda: read_images(files, given.px),
            "DataLoader": lambda: data_loader(files, given.px),
        }
        for name in PHASES[1:]:
            if name not in chosen:
                continue
            done, seconds, start_s = phases[name]()
            if ray.is_initialized():
                ray.shutdown()
            loops.append(bare(covers, given.px))
            speed, ceiling = done / seconds, CORES * statistics.mean(loops[-2:])
            print(f"{name:<14}{speed:>10.1f}{speed / ceiling:>16.0%}{start_s:>10.1f} s", flush=True)
    print(f"the bare loop, each time: {', '.join(f'{loop:.0f}' for loop in loops)} covers/s")


if __name__ == "__main__":
    main()
