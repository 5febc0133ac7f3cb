"""Memory and time that many covers take, of all processes together: a prepare, then a search.

    python benchmarks/scale_covers.py [--covers 25000 100000] [--size 96x144] [--no-search]

For each number of generated covers (made once, kept in build/) `covertune data prepare` runs, then
a search of two trials of one epoch with a small network at 64 px. The memory of each is added up
four times a second (`_memory`): the driver's, that of Ray's processes and workers, and what of
Ray's object store in shared memory is in use.

Printed are the peaks, the driver's own, what each kind of process had at the peak, and the ratios
of the last to the first.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

from _covers import many_covers
from _memory import run_watched

COVERTUNE = str(Path(sys.executable).with_name("covertune"))
SEARCH = "--backbones small_cnn --image-px 64 --trials 2 --epochs 1 --runs-dir"


def prepare(listing, scratch):
    return [COVERTUNE, "data", "prepare", str(listing), str(scratch / "store")]


def search(scratch):
    return [COVERTUNE, "search", str(scratch / "store"), *SEARCH.split(), str(scratch / "runs")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", type=int, nargs="+", default=[25_000, 100_000])
    parser.add_argument("--size", default="96x144", help="of the covers, width x height")
    parser.add_argument("--no-search", action="store_true")
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    size = tuple(int(side) for side in given.size.split("x"))
    folder = many_covers(max(given.covers), given.build, size)
    files = sorted(folder.rglob("*.jpg"), key=lambda file: file.name)
    taken = {}
    for covers in given.covers:
        listing = folder.absolute() / f"first-{covers}.csv"
        with listing.open("w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(["path", "genre"])
            rows.writerows((file.relative_to(folder), file.parent.name) for file in files[:covers])
        with tempfile.TemporaryDirectory(dir=given.build) as scratch:
            commands = {"prepare": prepare(listing, Path(scratch))}
            if not given.no_search:
                commands["search"] = search(Path(scratch))
            for name, command in commands.items():
                peak, own, seconds, _ = run_watched(command)
                taken.setdefault(name, []).append((peak.total(), own, seconds))
                print(
                    f"{name} of {covers:,} covers of {given.size}: {peak.total() / 1e9:.2f} GB at "
                    f"the peak, the driver {own / 1e9:.2f} GB, {seconds:.0f} s",
                    flush=True,
                )
                for process, nbytes in peak.most_common(6):
                    print(f"        {process:<24}{nbytes / 1e6:>8,.0f} MB", flush=True)
    for name, (first, *_, last) in taken.items() if len(given.covers) > 1 else ():
        ratios = [one / other for one, other in zip(last, first, strict=True)]
        print(
            f"{name}, last to first: peak {ratios[0]:.2f}, driver {ratios[1]:.2f}, "
            f"time {ratios[2]:.2f}"
        )


if __name__ == "__main__":
    main()
