"""How fast a pile of covers becomes a store, of what the cores could do.

    python benchmarks/ingest.py [--covers 20000] [--others 2000] [--phases …]
                                [--beside COMMIT --rounds 3]

Generated covers (400 x 600, JPEG, about 60 kB, all different; made once, kept in build/) go through

    bare         a loop on one core that reads, decodes, resizes and encodes the files, no more
    covertune    a whole `prepare`: the same, and listing, checks, digests, signatures, copies,
                 splits and the store's Parquet files
    read_images  Ray Data's own: `read_images`, `map`, `write_parquet`
    DataLoader   torch's, a worker a core, whose dataset does what the loop does

Printed is the share of (cores x bare) that each reaches. What starts Ray and its workers is
measured by itself and left out, for torch's workers up to the first batch. The loop runs before and
after each, so that all see the same machine. With --beside, covertune as it was at that commit
prepares the same covers in turn, and the ratio of the two is printed, with that of the bare loop if
it resizes as covertune does.
"""

from __future__ import annotations

import argparse
import io
import logging
import shutil
import tempfile
import time
from pathlib import Path

import ray
import torch
from _covers import many_covers
from _earlier import earlier_phase
from _phases import chosen_phases, print_ratio, run_phases
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from covertune.data_pipeline import PrepareSettings, prepare_store
from covertune.data_pipeline.images._resizing import resize_fast
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.machine import usable_cpus

MAX_PX = PrepareSettings().max_px
BARE_COVERS = 800
PHASES = ("covertune", "read_images", "DataLoader")


def pillow(image, size):
    return image.resize(size, Image.Resampling.LANCZOS)


def fast(image, size):
    """Resize as covertune does."""
    return Image.fromarray(resize_fast(image, size, Image.Resampling.LANCZOS))


def bare_work(data, resized=pillow):
    with Image.open(io.BytesIO(data)) as opened:
        return encode(opened.convert("RGB"), resized)


def encode(image, resized=pillow):
    factor = MAX_PX / min(image.size)
    size = tuple(round(side * factor) for side in image.size)
    encoded = io.BytesIO()
    resized(image, size).save(encoded, "JPEG", quality=95, subsampling=0)
    return encoded.getvalue()


def bare(files, resized=pillow):
    """Measure the covers/s of the loop."""
    chosen = files[:: max(1, len(files) // BARE_COVERS)]
    started = time.perf_counter()
    for file in chosen:
        bare_work(file.read_bytes(), resized)
    return len(chosen) / (time.perf_counter() - started)


def covertune(folder, files, scratch):
    few = scratch / "few"
    for file in files[:12] + files[-12:]:
        (few / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, few / file.parent.name)
    started = time.perf_counter()
    start_local_ray()
    prepare_store(few, scratch / "few-store")
    start_s = time.perf_counter() - started
    started = time.perf_counter()
    prepare_store(folder, scratch / "store")
    return len(files), time.perf_counter() - started, start_s


def read_images(files, scratch):
    def work(row):
        return {"image": encode(Image.fromarray(row["image"]))}

    def run(chosen, out):
        images = ray.data.read_images([str(file) for file in chosen], mode="RGB")
        images.map(work).write_parquet(str(out))

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    started = time.perf_counter()
    start_local_ray()
    run(files[:8], scratch / "few-images")
    start_s = time.perf_counter() - started
    started = time.perf_counter()
    run(files, scratch / "images")
    return len(files), time.perf_counter() - started, start_s


class Encoded(Dataset):
    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return bare_work(self.files[index].read_bytes())


def data_loader(files, scratch):
    started = time.perf_counter()
    batches = iter(DataLoader(Encoded(files), 64, num_workers=usable_cpus(), collate_fn=list))
    with (scratch / "images.bin").open("wb") as out:
        first = next(batches)
        start_s = time.perf_counter() - started
        started = time.perf_counter()
        for batch in batches:
            out.writelines(batch)
    return len(files) - len(first), time.perf_counter() - started, start_s


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", type=int, default=20_000)
    parser.add_argument("--others", type=int, default=2_000, help="covers for all but covertune")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--beside", metavar="COMMIT", help="covertune as it was, in turn")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    chosen = chosen_phases(parser, given.phases, PHASES)
    torch.set_num_threads(1)
    folder = many_covers(given.covers, given.build)
    files = sorted(folder.rglob("*.jpg"))
    few = files[:: max(1, len(files) // given.others)][: given.others]

    def in_scratch(work, *arguments):
        with tempfile.TemporaryDirectory(dir=given.build) as scratch:
            return work(*arguments, Path(scratch))

    phases = {
        "covertune": lambda: in_scratch(covertune, folder, files),
        "read_images": lambda: in_scratch(read_images, few),
        "DataLoader": lambda: in_scratch(data_loader, few),
    }
    phases = {name: phases[name] for name in chosen}
    if given.beside:
        phases[f"covertune {given.beside}"] = lambda: earlier_phase(
            given.beside, given.build, "ingest.py", "--covers", str(given.covers)
        )
    print(f"{usable_cpus()} cores, {given.covers} covers")
    speeds = run_phases(phases, lambda: bare(files), given.rounds)
    if given.beside:
        print_ratio(speeds, given.beside, lambda: bare(files), lambda: bare(files, fast))


if __name__ == "__main__":
    main()
