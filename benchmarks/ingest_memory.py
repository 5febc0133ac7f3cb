"""Memory that a prepare takes, of all its processes together.

    python benchmarks/ingest_memory.py [--covers 20000 60000] [--size 120x180]

For each number of generated covers (made once, kept in build/) a prepare runs in a process of its
own, whose memory is added up four times a second: the driver's, that of Ray's processes and
workers, and what of Ray's object store in shared memory is in use. The figure is the proportional
set size (PSS, /proc/PID/smaps_rollup), which counts a page that several processes share once.

Printed are the peaks, what each kind of process had at the peak, and the ratio of the last to the
first.
"""

from __future__ import annotations

import argparse
import collections
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from _covers import many_covers

PREPARE = """
import sys
from pathlib import Path
from covertune.data_pipeline import prepare_store

summary = prepare_store(Path(sys.argv[1]), Path(sys.argv[2]))
print(summary.kept, summary.rejected)
"""
SAMPLE_S = 0.25


def pss_by_name(process):
    """Return bytes by the name of a process, over a process and all that it has started."""
    taken = collections.Counter()
    for one in [process, *process.children(recursive=True)]:
        try:
            rollup = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
            name = one.name().split("(")[0]
        except (OSError, psutil.Error):
            continue  # it has just ended
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                taken[name] += int(line.split()[1]) * 1024
    return taken


def measured(listing, out):
    """Return the peak and what it was made of, seconds, and what the prepare printed."""
    started = time.perf_counter()
    command = [sys.executable, "-c", PREPARE, str(listing), str(out)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    process, peak = psutil.Process(running.pid), collections.Counter()
    while running.poll() is None:
        now = pss_by_name(process)
        peak = max(peak, now, key=lambda taken: taken.total())
        time.sleep(SAMPLE_S)
    if running.returncode:
        raise SystemExit("the prepare failed")
    return peak, time.perf_counter() - started, running.stdout.read().split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", type=int, nargs="+", default=[20_000, 60_000])
    parser.add_argument("--size", default="120x180", help="of the covers, width x height")
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    size = tuple(int(side) for side in given.size.split("x"))
    folder = many_covers(max(given.covers), given.build, size)
    files = sorted(folder.rglob("*.jpg"), key=lambda file: file.name)
    peaks = []
    for covers in given.covers:
        listing = folder.absolute() / f"first-{covers}.csv"
        with listing.open("w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(["path", "genre"])
            rows.writerows((file.relative_to(folder), file.parent.name) for file in files[:covers])
        with tempfile.TemporaryDirectory(dir=given.build) as scratch:
            peak, seconds, (kept, rejected) = measured(listing, Path(scratch) / "store")
        peaks.append(peak.total())
        print(
            f"{covers:>7} covers of {given.size}: {peak.total() / 1e9:.2f} GB at the peak, "
            f"{seconds:.0f} s, {kept} kept, {rejected} refused",
            flush=True,
        )
        for name, taken in peak.most_common(6):
            print(f"        {name:<24}{taken / 1e6:>8,.0f} MB")
    if len(peaks) > 1:
        print(f"ratio of the last to the first: {peaks[-1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
