"""What a trial costs beyond its training: covertune beside the plain Ray Tune script.

    python benchmarks/trial_overhead.py [--trials 12]

The plain script is the one of Ray's own examples: a function trainable, `OptunaSearch`,
`ASHAScheduler`, `tune.report` with a checkpoint after each epoch. Both search the same space of
learning rates with the same network on the same decoded covers, one trial at a time, on this
machine, one after the other. The overhead of a trial is the time from the end of the one before to
its own end, less the seconds it spent training and measuring. The first trial of each, which pays
for the first worker, is left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from covertune.data_pipeline import CoverStore, PrepareSettings, load_square, prepare_store
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.sample import draw_sample
from covertune.models import get_backbone
from covertune.search import SearchConfig, SearchObserver, run_search

IMAGE_PX = 64
EPOCHS = 3


class Ends(SearchObserver):
    """When trials of covertune end, and how long they trained."""

    def __init__(self):
        self.seen = []

    def trial_ended(self, trial):
        trained_s = sum(epoch["seconds"] for epoch in trial.user_attrs.get("history", []))
        self.seen.append((time.perf_counter(), trained_s))


class PlainEnds(tune.Callback):
    """The same for the plain script."""

    def __init__(self):
        self.seen = []

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.seen.append((time.perf_counter(), trial.last_result["trained_s"]))


def overheads_s(seen):
    return [end - before - trained for (before, _), (end, trained) in pairwise(seen)]


def covertune_overheads(store, folder, trials):
    ends = Ends()
    run_search(
        SearchConfig(
            store=store,
            runs_dir=folder / "runs",
            name="ours",
            backbones=("small_cnn",),
            image_px=(IMAGE_PX,),
            trials=trials,
            epochs=EPOCHS,
            concurrency=1,
        ),
        ends,
    )
    return overheads_s(ends.seen)


def plain_trial(config, arrays=None):
    """Train as Ray's examples do: build, train, report with a checkpoint."""
    torch.set_num_threads(1)
    images, labels, val_images, val_labels, genres = arrays
    model = get_backbone("small_cnn").build(genres, image_px=IMAGE_PX)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    trained_s = 0.0
    for epoch in range(1, EPOCHS + 1):
        started = time.perf_counter()
        model.train()
        for chosen in np.array_split(np.random.permutation(len(labels)), len(labels) // 32):
            pixels = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 255
            loss = torch.nn.functional.cross_entropy(
                model(pixels), torch.from_numpy(labels[chosen])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            pixels = torch.from_numpy(val_images).permute(0, 3, 1, 2).float() / 255
            hits = model(pixels).argmax(1).numpy() == val_labels
        trained_s += time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), Path(folder) / "model.pt")
            tune.report(
                {"top1": float(hits.mean()), "epoch": epoch, "trained_s": trained_s},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


def plain_overheads(store, folder, trials):
    opened = CoverStore.open(store)
    arrays = []
    for split in ("train", "val"):
        covers, labels = opened.read_images(split)
        arrays += [np.stack([load_square(c, IMAGE_PX) for c in covers]), np.array(labels)]
    ends = PlainEnds()
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(plain_trial, arrays=(*arrays, len(opened.genres))), {"cpu": 1}
        ),
        param_space={"lr": tune.loguniform(1e-4, 1e-2)},
        tune_config=tune.TuneConfig(
            metric="top1",
            mode="max",
            search_alg=OptunaSearch(seed=0),
            scheduler=ASHAScheduler(time_attr="epoch", max_t=EPOCHS, reduction_factor=3),
            num_samples=trials,
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(storage_path=str(folder / "plain"), callbacks=[ends], verbose=0),
    )
    tuner.fit()
    return overheads_s(ends.seen)


def line(name, overheads):
    low, middle, high = min(overheads), statistics.median(overheads), max(overheads)
    print(f"{name:<28}{middle:8.2f} s   ({low:.2f} to {high:.2f}, {len(overheads)} trials)")
    return middle


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    trials = parser.parse_args().trials
    start_local_ray(num_cpus=2)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        draw_sample(folder / "covers", covers_per_genre=40, genres=4)
        prepare_store(folder / "covers", folder / "store", settings=PrepareSettings(max_px=128))
        ours = covertune_overheads(folder / "store", folder, trials)
        plain = plain_overheads(folder / "store", folder, trials)
    ray.shutdown()
    print("cost of a trial beyond its training, median")
    ours_s = line("covertune", ours)
    plain_s = line("plain Ray Tune script", plain)
    print(f"ratio plain / covertune: {plain_s / ours_s:.1f}")


if __name__ == "__main__":
    main()
