"""The memory of a command and of all that it starts, watched while it runs.

The figure is the proportional set size (PSS, /proc/PID/smaps_rollup), which counts a page that
several processes share once.
"""

from __future__ import annotations

import collections
import subprocess
import time
from pathlib import Path

import psutil

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


def run_watched(command):
    """Run a command, asking four times a second.

    Returns:
        The peak as bytes by the name of a process, the most that the command's own process took,
        seconds, and what was printed.
    """
    started = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    process, peak, own = psutil.Process(running.pid), collections.Counter(), 0
    while running.poll() is None:
        now = pss_by_name(process)
        peak = max(peak, now, key=lambda taken: taken.total())
        try:
            own = max(own, process.memory_full_info().uss)
        except psutil.Error:
            break  # it has just ended
        time.sleep(SAMPLE_S)
    printed, _ = running.communicate()
    if running.returncode:
        raise SystemExit(f"{' '.join(command[:3])} … failed")
    return peak, own, time.perf_counter() - started, printed
