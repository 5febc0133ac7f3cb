"""The first pass of a prepare by Ray tasks, as it is, beside the same by Ray Data.

    python benchmarks/task_runner.py [--covers 6000] [--rounds 3]

Generated covers (400 x 600; made once, kept in build/) are read, checked, normalised and written to
a spool by the same function in the same blocks, handed out in turn by

    run_tasks        two tasks a CPU, of which one waits in its worker (decision 0013)
    Ray Data         as read tasks of a data source, one a CPU
    Ray Data, two    the same with two a CPU, each of which asks for half of one

Printed are medians of the seconds, each with its ratio to the first. Starting Ray and its workers
is left out: a few covers go through each before.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import ray
from _covers import many_covers

from covertune.data_pipeline import PrepareSettings, ray_tasks
from covertune.data_pipeline.compat import blocks_as_read, read_in_order
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.pieces import Piece, PiecesDatasource
from covertune.data_pipeline.prepare._normalising import (
    _blocks_of,
    _normalise_block,
    normalise_sources,
)
from covertune.data_pipeline.sources import find_sources

MAX_PX = PrepareSettings().max_px
ROW_BYTES = 700
FEW = 64


def by_tasks(sources, spool):
    return len(normalise_sources(sources, spool, MAX_PX).table)


def read_block(block, spool):
    """Do the work of one task; yields what it found out, the signatures as a column."""
    _, table, signatures_ND = _normalise_block(block, spool=spool, max_px=MAX_PX, downloads=None)
    yield table.append_column("signature", pa.array([row.tobytes() for row in signatures_ND]))


def by_ray_data(sources, spool, *, a_cpu=1):
    cpus = ray_tasks.num_cpus()
    pieces = [
        Piece(Path(paths[0]), len(paths), ROW_BYTES * len(paths), partial(read_block, block, spool))
        for block in _blocks_of(sources, cpus)
        for paths in [block[1]]
    ]
    dataset = read_in_order(PiecesDatasource(pieces), num_cpus=1 / a_cpu, at_once=a_cpu * cpus)
    tables = [ray.get(block) for block, _ in blocks_as_read(dataset)]
    return len(pa.concat_tables(tables))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    sources = find_sources(many_covers(given.covers, given.build)).sources
    start_local_ray()
    ways = {
        "run_tasks": by_tasks,
        "Ray Data": by_ray_data,
        "Ray Data, two": partial(by_ray_data, a_cpu=2),
    }
    seconds = {name: [] for name in ways}
    for number in range(given.rounds + 1):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory(dir=given.build) as spool:
                chosen = sources if number else sources[:FEW]
                started = time.perf_counter()
                assert way(chosen, Path(spool).absolute()) == len(chosen)
                if number:
                    seconds[name].append(time.perf_counter() - started)
    ray.shutdown()
    first = statistics.median(seconds["run_tasks"])
    for name, of in seconds.items():
        took = statistics.median(of)
        print(f"{name:<16}{took:>8.1f} s{len(sources) / took:>8.0f} covers/s{took / first:>8.2f}")


if __name__ == "__main__":
    main()
