"""Whole searches in seconds: recorded learning curves through the real searcher and stopping rule.

    python benchmarks/simulate.py [--table covers5] [--seeds 50] [--workers 1,8,64] [--json FILE]

Workers ask a search for recipes; each recipe measures what a forest over the recorded trials
says, with an error as theirs have, and its epochs take as long as those of recorded ones with as
much to compute (`_curves.py`). Compared are covertune's own searcher (portfolio and yardstick
included), Ray's ASHA with random search and with `OptunaSearch`, and Optuna's TPE with its
Hyperband pruner; same space, rungs, curves and seeds. What starting a trial costs is left out for
all, and so is the probe that covertune fits before.

Printed is the regret, in points of top-1: the most that any epoch of 4,096 random recipes is worth,
less what that trial and epoch are worth that would be exported. Not what it measured: a search that
tries more measures more, by luck. Exported is the trial and epoch that measured most; by covertune
what its end of a search chooses, averages left out (`search/results/soup.py`). After 10, 30 and
100 % of the budget, the mean over seeds with a 95 % interval (bootstrap). The budget is so many
whole trials for each worker as keep the sums comparable (`BUDGETS`).
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import logging
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import optuna
from _curves import CurveTable
from _simulated import CONTESTANTS, Measured, measured_most, space_of

from covertune.machine import usable_cpus

BUDGETS = {1: 32.0, 8: 8.0, 64: 2.0}
"""Whole trials a worker could train, by the number of workers."""

SHARES = (0.1, 0.3, 1.0)
_SOME = 8.0
_RANDOM_RECIPES = 4096


def search(table, contestant, workers, budget_s, seed):
    """Run one search.

    Returns:
        Each epoch `Measured` within the budget, in order; and the number of trials begun.
    """
    now = 0.0
    contestant = CONTESTANTS[contestant](table, seed, lambda: now)
    numbers = itertools.count()
    events = []  # (when, tie-breaker, trial's key, curve, epoch that ends)
    measured = []

    def begin():
        number = next(numbers)
        recipe = contestant.suggest(str(number))
        curve = table.untuned if recipe is None else table.curve(recipe, seed)
        heapq.heappush(events, (now + curve.seconds_E[0], number, str(number), curve, 1))

    for _ in range(workers):
        begin()
    while events[0][0] <= budget_s:
        now, number, key, curve, epoch = heapq.heappop(events)
        if epoch > len(curve.top1_E):
            contestant.failed(key)
            begin()
            continue
        value = curve.top1_E[epoch - 1]
        worth = value if curve.expected_E is None else curve.expected_E[epoch - 1]
        measured.append(Measured(now, key, value, curve.loss_E[epoch - 1], worth))
        last = epoch == len(curve.top1_E) and curve.failure is None
        if contestant.should_continue(key, epoch, value, last=last):
            seconds = curve.seconds_E[min(epoch, len(curve.seconds_E) - 1)]
            heapq.heappush(events, (now + seconds, number, key, curve, epoch + 1))
        else:
            begin()
    return measured, next(numbers)


@cache
def best_there_is(name):
    """Return the most that any epoch of very many recipes is worth."""
    table = CurveTable.load(name)
    space = space_of(table, seed=0)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return table.best_of(
        [space.suggest(study.ask()).model_dump(mode="json") for _ in range(_RANDOM_RECIPES)]
    )


def regrets(table, best, contestant, measured, budget_s):
    """Return regrets in points of top-1, after each of `SHARES` of the budget."""
    choose = getattr(CONTESTANTS[contestant], "choose", measured_most)
    answer = []
    for share in SHARES:
        so_far = [epoch for epoch in measured if epoch.when_s <= share * budget_s]
        worth = choose(so_far, table.facts["covers"]["val"]).worth if so_far else table.chance
        answer.append(100 * max(0.0, best - worth))
    return answer


def one(name, contestant, workers, seed):
    """Run in a process of its own: regrets, and how many trials were begun."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    table = CurveTable.load(name)
    budget_s = BUDGETS.get(workers, _SOME) * table.whole_trial_s
    measured, trials = search(table, contestant, workers, budget_s, seed)
    return regrets(table, best_there_is(name), contestant, measured, budget_s), trials


def interval(values_S, draws=2000):
    """Return the 95 % interval of a mean, by bootstrap."""
    picks = np.random.default_rng(0).integers(0, len(values_S), (draws, len(values_S)))
    return np.percentile(np.asarray(values_S)[picks].mean(axis=1), [2.5, 97.5]).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="covers5")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--workers", default="1,8,64")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--json", type=Path, help="write all regrets here")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = CurveTable.load(given.table)
    print(
        f"{given.table}: {len(table)} curves of {table.epochs} epochs, "
        f"best top-1 {best_there_is(given.table):.3f}; {table.explained():.0%} of the variance "
        f"explained, one measurement errs by {table.noise:.3f}"
    )
    everything = []
    with ProcessPoolExecutor(usable_cpus()) as pool:
        for workers in map(int, given.workers.split(",")):
            whole = BUDGETS.get(workers, _SOME)
            print(f"\n{workers} workers, time for {whole:g} whole trials each")
            print(f"{'regret in points after':<24}" + "".join(f"{s:>22.0%}" for s in SHARES))
            for contestant in given.contestants.split(","):
                jobs = [
                    pool.submit(one, given.table, contestant, workers, seed)
                    for seed in range(given.seeds)
                ]
                results = [job.result() for job in jobs]
                regret_SH = np.array([regret for regret, _ in results])
                trials = np.mean([trials for _, trials in results])
                cells = []
                for at in range(len(SHARES)):
                    low, high = interval(regret_SH[:, at])
                    cells.append(f"{regret_SH[:, at].mean():6.2f} ({low:.2f} to {high:.2f})")
                row = "".join(f"{cell:>22}" for cell in cells)
                print(f"{contestant:<24}{row}   {trials:.0f} trials", flush=True)
                everything.append(
                    {
                        "table": given.table,
                        "workers": workers,
                        "contestant": contestant,
                        "regret": regret_SH.tolist(),
                    }
                )
    if given.json:
        given.json.write_text(json.dumps(everything), "utf-8")


if __name__ == "__main__":
    main()
