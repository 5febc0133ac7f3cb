"""What the driver of a search does for each trial and each epoch, with thousands of trials behind.

    python benchmarks/driver_work.py [--finished 1000,10000] [--trials 20]

The study lies in an SQLite file, as in a run folder. It is filled with finished trials of six
epochs; then trials are asked for, report their epochs and end, by way of the searcher, the stopping
rule and the reporter of a real search, but without training. Pictures are drawn by a thread when it
has time, which it is given before anything is timed: epochs of real trials are seconds apart.
Printed are the milliseconds of

    suggest   choosing the next trial and writing it down
    epoch     judging an epoch, writing it down, ordering its pictures
    end       writing down how a trial ended

as median and 95th percentile, and the suggestion of Ray's own `OptunaSearch` over a study in
memory, which writes nothing down.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import optuna
from ray.tune.search.optuna import OptunaSearch

from covertune.models import ProgressMetrics
from covertune.search import RunFolder, SearchConfig
from covertune.search.cluster.scheduler import HalvingScheduler
from covertune.search.cluster.searcher import StudySearcher
from covertune.search.events import SearchObserver
from covertune.search.garbage import collect_rarely
from covertune.search.plan import InputVariant
from covertune.search.record.compat import close_storage
from covertune.search.record.constants import EPOCH, FINISHED, METRIC, MODE
from covertune.search.record.pictures import TrialPictures
from covertune.search.record.published_copy import PublishedCopy
from covertune.search.record.reporter import Reporter
from covertune.search.record.retention import Retention
from covertune.search.record.study import create_study
from covertune.search.record.tensorboard import TensorBoard
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.sampler import make_sampler
from covertune.search.space.search_space import BackboneOptions, SearchSpace

EPOCHS = 6
GENRES = 30
CONFUSION = [[1] * GENRES] * GENRES
BACKBONE = BackboneOptions("efficientnet_lite0", 9, True, (128,))


def finished_trials(space, number, seed=0):
    """Make finished trials with everything a real one carries."""
    rng = random.Random(seed)
    memory = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed)
    )
    for _ in range(number):
        trial = memory.ask()
        trial.set_user_attr("recipe", space.suggest(trial).model_dump(mode="json"))
        trial.set_user_attr("role", "sampled")
        trial.set_user_attr("history", [result(epoch, rng) for epoch in range(1, EPOCHS + 1)])
        for epoch in range(1, EPOCHS + 1):
            trial.report(rng.random(), epoch)
        memory.tell(trial, rng.random())
    return memory.get_trials(deepcopy=False)


def result(epoch, rng, **more):
    fields = {name: rng.random() for name in ProgressMetrics.model_fields}
    return fields | {EPOCH: epoch, "covers_seen": 1000 * epoch, FINISHED: epoch == EPOCHS, **more}


def measure(finished, trials, scratch):
    config = SearchConfig(epochs=EPOCHS, runs_dir=scratch, name=f"run-{finished}")
    space = SearchSpace(
        config.trial_plan,
        (BACKBONE,),
        frozenset({InputVariant.square(BACKBONE.name, 128, "squash")}),
    )
    run = RunFolder.create(config)
    study = create_study(run, make_sampler("tpe", 0), None)
    before = finished_trials(space, finished)
    study.add_trials(before)
    budget = Budget(None)
    rule = SuccessiveHalving(config.halving)
    portfolio = Portfolio(space)
    pictures = TrialPictures(study, run.artifacts, [f"genre {n}" for n in range(GENRES)])
    tensorboard = TensorBoard(run.tensorboard)
    retention = Retention(run, study, config.keep_checkpoints)
    searcher = StudySearcher(
        study,
        space,
        portfolio=portfolio,
        trial_limit=10**6,
        rule=rule,
        budget=budget,
        resumed=[],
        observer=Reporter(
            study,
            lambda: budget.spent_s,
            pictures,
            tensorboard,
            retention,
            PublishedCopy(run, study),
            SearchObserver(),
        ),
    )
    scheduler = HalvingScheduler(rule, searcher.halved)
    rng = random.Random(1)
    suggest_ms, epoch_ms, end_ms = [], [], []
    for number in range(trials):
        key = str(number)
        drawn(pictures)
        with timed(suggest_ms):
            trial = SimpleNamespace(config=searcher.suggest(key), trial_id=key)
        told = {"node": "here", "node_id": "1", "device": "cpu", "confusion": CONFUSION}
        for epoch in range(1, EPOCHS + 1):
            measured = result(epoch, rng, **told)
            drawn(pictures)
            if epoch == EPOCHS:
                with timed(end_ms):
                    searcher.on_trial_complete(key, measured)
                break
            with timed(epoch_ms):
                if scheduler.on_trial_result(None, trial, measured) == "CONTINUE":
                    searcher.on_trial_result(key, measured)
                    continue
            with timed(end_ms):
                searcher.on_trial_complete(key, measured)
            break
    pictures.close()
    close_storage(study)
    print(f"{finished} finished trials")
    for name, times in (("suggest", suggest_ms), ("epoch", epoch_ms), ("end", end_ms)):
        times.sort()
        late = times[int(0.95 * (len(times) - 1))]
        print(f"    {name:<10}{statistics.median(times):>8.1f} ms{late:>10.1f} ms", flush=True)
    plain_ms = plain(space, before, min(trials, 10))
    print(f"    {'OptunaSearch, in memory':<10}{statistics.median(plain_ms):>8.1f} ms")


def plain(space, finished, trials):
    """Measure the milliseconds of a suggestion by Ray's `OptunaSearch`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = OptunaSearch(
            lambda trial: space.suggest(trial) and {}, metric=METRIC, mode=MODE, seed=0
        )
    search._ot_study.add_trials(finished)
    times = []
    for number in range(trials):
        with timed(times):
            search.suggest(str(number))
    return times


def drawn(pictures):
    """Wait for the thread that draws."""
    pictures._pool.submit(bool).result()


@contextlib.contextmanager
def timed(times_ms):
    started = time.perf_counter()
    yield
    times_ms.append(1e3 * (time.perf_counter() - started))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finished", default="1000,10000")
    parser.add_argument("--trials", type=int, default=20)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    collect_rarely()  # as `covertune search` does
    with tempfile.TemporaryDirectory() as scratch:
        for finished in map(int, given.finished.split(",")):
            measure(finished, given.trials, Path(scratch))


if __name__ == "__main__":
    main()
