"""How fast a store is decoded when a search starts, of what the cores could do.

    python benchmarks/decoding.py [--covers 20000] [--others 2000] [--px 128] [--phases …]
                                  [--beside COMMIT --rounds 3]

Generated covers (400 x 600; made once, kept in build/) are prepared, then decoded to squares by

    bare         a loop on one core that decodes and squashes covers of the store, no more
    covertune    `decode_store`: from the store's Parquet files into arrays all trials share
    read_images  Ray Data's own, over the same covers as files, materialised
    DataLoader   torch's, a worker a core, over the same files

Printed is the share of (cores x bare) that each reaches. What starts Ray and its workers is
measured by itself and left out, for torch's workers up to the first batch. The loop runs before and
after each, so that all see the same machine. With --beside, covertune as it was at that commit
decodes the same covers in turn, and the ratio of the two is printed, with that of the bare loop if
it resizes as covertune does; and the memory that decoding adds to the driver.
"""

from __future__ import annotations

import argparse
import io
import logging
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import ray
import torch
from _covers import many_covers
from _earlier import earlier_phase
from _phases import chosen_phases, print_ratio, run_phases
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from covertune.data_pipeline import CoverStore, decode_store, prepare_store
from covertune.data_pipeline.images._resizing import resize_fast
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.machine import usable_cpus

BARE_COVERS = 1500
PHASES = ("covertune", "read_images", "DataLoader")


def pillow(image, px):
    return np.array(image.resize((px, px), Image.Resampling.BICUBIC))


def fast(image, px):
    """Resize as covertune does."""
    return resize_fast(image, (px, px), Image.Resampling.BICUBIC)


def square(data, px, resized=pillow):
    with Image.open(io.BytesIO(data)) as opened:
        return resized(opened.convert("RGB"), px)


def bare(covers, px, resized=pillow):
    """Measure the covers/s of the loop."""
    started = time.perf_counter()
    for data in covers[:BARE_COVERS]:
        square(data, px, resized)
    return min(BARE_COVERS, len(covers)) / (time.perf_counter() - started)


class Memory(threading.Thread):
    """Watches how much memory that is no other's this process takes; until it is joined."""

    def __init__(self):
        super().__init__(daemon=True)
        self._process, self._ended = psutil.Process(), threading.Event()
        self.before = self.peak = self._now()
        self.start()

    def _now(self):
        return self._process.memory_full_info().uss

    def run(self):
        while not self._ended.wait(0.1):
            self.peak = max(self.peak, self._now())

    def join(self, timeout=None):
        self._ended.set()
        super().join(timeout)


def covertune(store, px):
    started = time.perf_counter()
    start_local_ray()
    decode_store(store, px, splits=("val",))
    start_s = time.perf_counter() - started
    memory = Memory()
    started = time.perf_counter()
    decoded = decode_store(store, px, splits=("train",))
    seconds = time.perf_counter() - started
    memory.join()
    added, nbytes = memory.peak - memory.before, decoded["train"].num_covers * px * px * 3
    print(f"  the driver took {added / 1e6:.0f} MB more for {nbytes / 1e6:.0f} MB of covers")
    return store.count("train"), seconds, start_s


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
    batches = iter(DataLoader(Squares(files, px), 64, num_workers=usable_cpus()))
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
    parser.add_argument("--beside", metavar="COMMIT", help="covertune as it was, in turn")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    chosen = chosen_phases(parser, given.phases, PHASES)
    torch.set_num_threads(1)
    path = given.build / f"store-{given.covers}"
    if not path.exists():
        prepare_store(many_covers(given.covers, given.build), path)
        ray.shutdown()
    store = CoverStore.open(path)
    covers, _ = store.read_images("train", limit=given.others)
    print(f"{usable_cpus()} cores, {store.count('train')} covers at {given.px} px")
    options = ("--covers", str(given.covers), "--px", str(given.px))
    with tempfile.TemporaryDirectory(dir=given.build) as folder:
        files = [str(Path(folder) / f"{number:06}.jpg") for number in range(len(covers))]
        for file, data in zip(files, covers, strict=True):
            Path(file).write_bytes(data)
        phases = {
            "covertune": lambda: covertune(store, given.px),
            "read_images": lambda: read_images(files, given.px),
            "DataLoader": lambda: data_loader(files, given.px),
        }
        phases = {name: phases[name] for name in chosen}
        if given.beside:
            phases[f"covertune {given.beside}"] = lambda: earlier_phase(
                given.beside, given.build, "decoding.py", *options
            )
        speeds = run_phases(phases, lambda: bare(covers, given.px), given.rounds)
    if given.beside:
        print_ratio(
            speeds,
            given.beside,
            lambda: bare(covers, given.px),
            lambda: bare(covers, given.px, fast),
        )


if __name__ == "__main__":
    main()
