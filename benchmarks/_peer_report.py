"""The tables and the figure of `peers.py`, from the results that are there."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict

import numpy as np
from contestants.piece import EXPORTED

_AT_MINUTES = (1, 2, 5, 10, 15)
_LABELS = {
    "covertune": "covertune",
    "ray_tune": "plain Ray Tune script",
    "optuna_study": "plain Optuna",
    "syne_tune_asha": "Syne Tune, ASHA",
}


def report(settings, results, figure):
    """Print what was measured and draw the curves."""
    by_contestant = defaultdict(dict)
    for result in results:
        by_contestant[result["contestant"]][result["seed"]] = result
    shown = {name: by_contestant[name] for name in _LABELS if name in by_contestant}
    if not shown:
        print("nothing was measured yet")
        return
    covers = ", ".join(f"{count} {split}" for split, count in settings["covers"].items())
    print(
        f"{covers} covers, {settings['image_px']} px, {settings['minutes']:g} min, "
        f"{settings['cores']} cores; median (least to most) over seeds"
    )
    print_curves(settings, shown)
    print_ends(shown)
    if "covertune" in shown and len(shown) > 1:
        print_races(settings, shown)
    draw(settings, shown, figure)
    print(f"\ndrawn: {figure}")


def print_curves(settings, shown):
    minutes = [minute for minute in _AT_MINUTES if minute < settings["minutes"]]
    minutes.append(settings["minutes"])
    print("\nbest validation top-1 after")
    print(f"{'':<24}" + "".join(f"{f'{minute:g} min':>24}" for minute in minutes))
    for name, runs in shown.items():
        cells = [[best_at(run, minute * 60) for run in runs.values()] for minute in minutes]
        print(f"{_LABELS[name]:<24}" + "".join(f"{spread(cell):>24}" for cell in cells))


def print_ends(shown):
    print("\nthe winner of each seed on the test split, with its 95 % interval")
    for name, runs in shown.items():
        tests = [run["winner"]["test"] for _, run in sorted(runs.items())]
        ends = "   ".join(
            "{:.3f} ({:.3f} to {:.3f})".format(test["top1"], *test["top1_interval"])
            for test in tests
        )
        print(f"{_LABELS[name]:<24}{spread([test['top1'] for test in tests]):>24}   {ends}")
    print("\ntrials that measured an epoch, and epochs")
    for name, runs in shown.items():
        trained = [[e for e in run["events"] if e["trial"] != EXPORTED] for run in runs.values()]
        trials = [len({event["trial"] for event in events}) for events in trained]
        epochs = [len(events) for events in trained]
        print(f"{_LABELS[name]:<24}{spread(trials, '.0f'):>24}{spread(epochs, '.0f'):>24}")


def print_races(settings, shown):
    """Print how long covertune takes, with the same seed, to what a peer has in the end."""
    print("\nseconds covertune needs to what a peer has at the end, same seed; share of the budget")
    budget_s = settings["minutes"] * 60
    ours = shown["covertune"]
    for name, runs in shown.items():
        seeds = sorted(ours.keys() & runs.keys())
        if name == "covertune" or not seeds:
            continue
        times = [first_time(ours[seed], best_at(runs[seed], budget_s)) for seed in seeds]
        shares = [seconds / budget_s for seconds in times]
        print(f"{_LABELS[name]:<24}{spread(times, '.0f'):>24}{spread(shares, '.2f'):>24}")


def best_at(run, seconds):
    """Return the best validation top-1 so far; NaN before the first."""
    seen = [event["top1"] for event in run["events"] if event["seconds"] <= seconds]
    return max(seen, default=math.nan)


def first_time(run, top1):
    """Return when a run had so much; infinite if it never had."""
    return min((e["seconds"] for e in run["events"] if e["top1"] >= top1), default=math.inf)


def spread(values, form=".3f"):
    """Write median and range; a dash where a seed has no value, `never` where it is infinite."""
    if any(math.isnan(value) for value in values):
        return "-"
    middle, low, high = (
        "never" if math.isinf(value) else format(value, form)
        for value in (statistics.median(values), min(values), max(values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def draw(settings, shown, figure):
    """Draw the best validation top-1 over time: the median over seeds, and the range as a band."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    canvas, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, runs in shown.items():
        ends = {event["seconds"] for run in runs.values() for event in run["events"]}
        seconds = np.array([0.0, *sorted(ends), settings["minutes"] * 60])
        # NaN until every seed has measured something: nothing is drawn there.
        curves = np.array([[best_at(run, end) for end in seconds] for run in runs.values()])
        (line,) = axes.step(
            seconds / 60,
            np.median(curves, axis=0),
            where="post",
            label=f"{_LABELS[name]} ({len(runs)} {'runs' if len(runs) > 1 else 'run'})",
            linewidth=2.2 if name == "covertune" else 1.4,
        )
        low, high = curves.min(axis=0), curves.max(axis=0)
        axes.fill_between(seconds / 60, low, high, step="post", alpha=0.15, color=line.get_color())
    axes.set(xlabel="minutes since the start", ylabel="best validation top-1")
    axes.set_xlim(0, settings["minutes"])
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(figure, metadata={"Date": None} if figure.suffix == ".svg" else None)
    plt.close(canvas)
