"""The same benchmark as it was at an earlier commit, run in a checkout of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def earlier_checkout(commit, build):
    """Return a folder with the files of a commit; made once, and given the same generated covers.

    Args:
        commit: As `git` names it.
        build: Where this checkout keeps its covers, and where the other one is put.
    """
    folder = (build / f"at-{commit}").absolute()
    if not folder.exists():
        folder.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    (folder / "build").mkdir(exist_ok=True)
    for covers in build.absolute().glob("covers-*"):
        link = folder / "build" / covers.name
        if not link.exists():
            link.symlink_to(covers)
    return folder


def earlier_environment(folder):
    """Return the environment in which Python finds the packages of a checkout first."""
    return {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{folder}"}


def earlier_phase(commit, build, benchmark, *options):
    """Run the phase `covertune` of a benchmark as it was at a commit.

    Returns:
        Covers and the seconds they took, so that one is the other's speed; seconds of start-up.
    """
    folder = earlier_checkout(commit, build)
    command = [sys.executable, str(Path("benchmarks") / benchmark), "--phases", "covertune"]
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        env=earlier_environment(folder),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("covertune ")]
    _, speed, _, start_s, _ = line.split()
    return float(speed), 1.0, float(start_s)
