"""How soon a search trains, and how fast, beside the same search as it was at an earlier commit.

    python benchmarks/search_start.py --store build/covers5 --beside COMMIT [--rounds 3] [--px 128]

Each round runs `covertune search` with one trial of two epochs on both, one after the other, each
in a process of its own. Printed are medians: seconds from the command to the start of the trial,
covers/s of its epochs, the share of their time that it waited for covers, and seconds of the whole
command; and their ratios. The first recipe is the same if both commits begin with the same one,
which is checked.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
from _earlier import earlier_checkout, earlier_environment

TODAY = "from covertune.__main__ import main; main()"
BEFORE_THE_PACKAGE = "from search.cli import main; main()"  # what there was up to 0.1.0


def measure(store, px, name, commit, folder):
    """Return the figures of one search, and its recipe."""
    environment, main = os.environ, TODAY
    if commit:
        environment = earlier_environment(commit)
        main = TODAY if (commit / "src").exists() else BEFORE_THE_PACKAGE
    command = f"import sys; sys.argv[0] = 'covertune'; {main}"
    options = f"--trials 1 --epochs 2 --image-px {px} --runs-dir {folder} --name {name}"
    began, started = datetime.datetime.now(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", command, "search", str(store), *options.split()],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - started
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / name / 'study.db'}")
    trial = study.trials[0]
    history = trial.user_attrs["history"]
    return {
        "until the trial, s": (trial.datetime_start - began).total_seconds(),
        "covers/s": statistics.median(epoch["covers_per_s"] for epoch in history),
        "waiting, %": 100 * max(epoch["data_wait_share"] for epoch in history),
        "whole command, s": seconds,
    }, trial.params


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--beside", metavar="COMMIT", required=True)
    parser.add_argument("--px", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build", type=Path, default=Path("build"))
    given = parser.parse_args()
    sides = {"now": None, given.beside: earlier_checkout(given.beside, given.build)}
    measured = {side: [] for side in sides}
    recipes = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.rounds):
            for side, commit in sides.items():
                name = f"{side}-{number}"
                figures, recipe = measure(
                    given.store.absolute(), given.px, name, commit, Path(folder)
                )
                measured[side].append(figures)
                recipes.append(recipe)
                print(name, {what: round(of, 1) for what, of in figures.items()}, flush=True)
    assert all(recipe == recipes[0] for recipe in recipes), f"other recipes: {recipes}"
    print(f"{'medians':<22}{'now':>10}{given.beside:>10}{'ratio':>8}")
    for what in measured["now"][0]:
        now, then = (statistics.median(f[what] for f in measured[side]) for side in sides)
        ratio = f"{now / then:>8.2f}" if then else ""
        print(f"{what:<22}{now:>10.1f}{then:>10.1f}{ratio}")


if __name__ == "__main__":
    main()
