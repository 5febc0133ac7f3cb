"""Memory and time that many rows take between the two passes of a prepare, which is in one process.

    python benchmarks/scale_rows.py [--rows 250000 1000000] [--seed 0]

For each number of rows a process of its own reads a table of so many made-up paths, genres and
authors, finds the copies among as many signatures, settles labels, groups, draws the splits, orders
the covers, takes the fingerprint and writes the manifest and what was refused. There are no
pictures: a signature is drawn at random with the means and covariances of those of 2,000 generated
covers; 2 % of the rows repeat the pixels of another, 3 % its signature with some noise. Pairs that
would be looked at closely are judged by the cosine of their signatures; how many there are is
printed, since each takes about 4 ms of a core in a prepare.

Printed are the seconds of each step, the peak of the process's memory, and what making the
signatures and the table of outcomes left in it before, which a prepare holds as well.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from _covers import many_covers
from PIL import Image

from covertune.data_pipeline import PrepareSettings
from covertune.data_pipeline.dedup import signature
from covertune.data_pipeline.dedup.signature import COEFFICIENTS, CUTS, SIGNATURE_BYTES
from covertune.data_pipeline.prepare import _prepare, _writing
from covertune.data_pipeline.prepare._normalising import NormalisedSources
from covertune.data_pipeline.prepare._selecting import select_covers
from covertune.data_pipeline.sources import find_sources

GENRES = 30
DRAWN = 2_000
CHUNK = 50_000
SAME_PIXELS, NEAR_COPIES = 0.02, 0.03
NOISE = 2.0  # levels of 127
COPY_COSINE = 0.985


def cuts_of_waves():
    """Return (COEFFICIENTS, cuts * COEFFICIENTS): what each wave of a whole picture is in its cuts.

    The same sums as in `signature.compute_signature`, over pictures that are one wave each.
    """
    px = signature._THUMB_PX
    slowest, spans = signature._SLOWEST, len(signature._SPANS)
    waves = np.cos(np.pi * np.outer(np.arange(slowest), (np.arange(px) + 0.5) / px))
    rows = []
    for number in range(1, COEFFICIENTS + 1):
        down, across = divmod(number, slowest)
        grey = np.outer(waves[down], waves[across])
        basis = signature._BASIS
        by_spans = (basis @ grey @ basis.T).reshape(spans, slowest, spans, slowest)
        squares = by_spans[signature._DOWN, :, signature._ACROSS, :].reshape(len(CUTS), -1)
        strengths = squares[:, 1:] * signature._WEIGHT
        rows.append((strengths / strengths[0, number - 1]).ravel())
    return np.array(rows, dtype=np.float32)


def drawn_waves(build):
    """Return the mean and covariance of the coefficients of generated covers."""
    signatures = []
    for file in sorted(many_covers(DRAWN, build, (120, 180)).rglob("*.jpg")):
        with Image.open(file) as image:
            signatures.append(np.frombuffer(signature.compute_signature(image), np.uint8))
    whole = signature.dct_coefficients(np.stack(signatures))[:, 0].astype(np.float32)
    return whole.mean(axis=0), np.cov(whole, rowvar=False)


def make_signatures(rows, waves, rng):
    """Return (rows, SIGNATURE_BYTES) uint8; and for each row the one that it repeats, or itself."""
    mean, covariance = waves
    in_cuts = cuts_of_waves()
    signatures = np.empty((rows, SIGNATURE_BYTES), dtype=np.uint8)
    signatures[:, :2] = 200, 40  # all in colour, none of them blank
    for start in range(0, rows, CHUNK):
        here = slice(start, min(start + CHUNK, rows))
        drawn = rng.multivariate_normal(mean, covariance, here.stop - start, method="eigh")
        cuts = (drawn.astype(np.float32) @ in_cuts).reshape(-1, len(CUTS), COEFFICIENTS)
        cuts *= 254 / np.linalg.norm(cuts, axis=2, keepdims=True)
        levels = np.rint(cuts).clip(-127, 127).astype(np.int8)
        signatures[here, 2:] = levels.view(np.uint8).reshape(len(levels), -1)
    original = np.arange(rows)
    repeats = rng.permutation(rows)[: int(rows * (SAME_PIXELS + NEAR_COPIES))]
    others = np.setdiff1d(original, repeats)
    original[repeats] = rng.choice(others, len(repeats))
    signatures[repeats] = signatures[original[repeats]]
    near = repeats[int(rows * SAME_PIXELS) :]
    levels = signatures[near, 2:].view(np.int8) + rng.normal(0, NOISE, (len(near), 1))
    levels = levels + rng.normal(0, NOISE, levels.shape)
    signatures[near, 2:] = np.rint(levels).clip(-127, 127).astype(np.int8).view(np.uint8)
    original[near] = near  # other pixels
    return signatures, original


def make_outcomes(original, rng):
    ids = np.array([f"{number:016x}" for number in rng.permutation(len(original)).tolist()])
    rows = len(original)
    sizes = rng.integers(200, 500, (rows, 2))
    columns = {
        "cover_id": ids[original],
        "width": sizes[original, 0],
        "height": sizes[original, 1],
        "spool": np.full(rows, "0.bin"),
        "offset": np.arange(rows) * 40_000,
        "length": rng.integers(20_000, 40_000, rows),
        "reason": np.full(rows, ""),
        "detail": np.full(rows, ""),
    }
    return pa.table({name: pa.array(column) for name, column in columns.items()})


def write_listing(folder, rows, rng):
    (folder / "covers").mkdir()
    with (folder / "covers.csv").open("w", newline="") as out:
        listing = csv.writer(out)
        listing.writerow(["path", "genre", "author"])
        genres, authors = rng.integers(0, GENRES, rows), rng.integers(0, rows // 3, rows)
        for number, genre, author in zip(
            range(rows), genres.tolist(), authors.tolist(), strict=True
        ):
            listing.writerow([f"covers/{number:07}.jpg", f"genre {genre}", f"author {author}"])
    return folder / "covers.csv"


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(rows, seed, waves, folder):
    """Take the steps of a prepare that are the driver's; runs in a process of its own."""
    rng = np.random.default_rng(seed)
    seconds = {}

    @contextmanager
    def step(name):
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started

    listing = write_listing(folder, rows, rng)
    signatures, original = make_signatures(rows, waves, rng)
    normalised = NormalisedSources(make_outcomes(original, rng), signatures)
    before, compared = peak_bytes(), []

    def compare(pairs, _shown_by):
        compared.append(len(pairs))
        return pairs.cosine_P > COPY_COSINE

    settings = PrepareSettings(seed=seed)
    with step("reading the table"):
        found = find_sources(str(listing), key_columns=("author",))
    with step("copies, labels, groups"):
        chosen = select_covers(found.sources, normalised, settings, compare)
    with step("splits and order"):
        covers = _prepare._covers(found.sources, normalised, chosen, settings)
        covers = _writing.order_in_store(covers)
    with step("fingerprint, manifest, refused"):
        rejected = _prepare.rejected_rows(found.sources, chosen)
        _writing.write_rejected(folder, rejected)
        manifest = _prepare.make_manifest(
            found, str(listing), settings, chosen, covers, rejected, parts=[]
        )
        _writing.write_manifest(folder, manifest)
    return seconds, manifest.reasons, manifest.kept, sum(compared), before, peak_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    waves = drawn_waves(given.build)
    for rows in given.rows:
        fresh = multiprocessing.get_context("spawn")  # its peak is its own
        with (
            tempfile.TemporaryDirectory(dir=given.build) as folder,
            ProcessPoolExecutor(1, mp_context=fresh) as one,
        ):
            seconds, reasons, kept, compared, before, peak = one.submit(
                measure, rows, given.seed, waves, Path(folder)
            ).result()
        print(
            f"{rows:,} rows: {kept:,} kept, {reasons}; {compared:,} pairs to look at; "
            f"{peak / 1e9:.2f} GB at the peak, {before / 1e9:.2f} GB before the first step"
        )
        for name, taken in seconds.items():
            print(f"    {name:<34}{taken:>8.1f} s", flush=True)
        print(f"    {'all':<34}{sum(seconds.values()):>8.1f} s", flush=True)


if __name__ == "__main__":
    main()
