"""covertune beside its peers: who has what after 15 minutes on the same covers and cores?

    python benchmarks/peers.py COVERS [--minutes 15] [--seeds 0 1 2] [--contestants ray_tune …]
    python benchmarks/peers.py --report

COVERS is a folder of covers, a folder per genre, or a cover store; without it covers are generated.
The contestants, each with as many trials side by side as there are cores, one core a trial:

    covertune          as it comes: untuned yardstick, frozen probe, first recipes, then TPE; at its
                       end another of the best models, or their average, where that is better on
                       validation covers
    ray_tune           the plain Ray Tune script: OptunaSearch, ASHAScheduler, an actor a trial
    optuna_study       plain Optuna: a process a core on one study, SuccessiveHalvingPruner
    syne_tune_asha     Syne Tune's ASHA, local backend, a process a trial

Alike for all: the split, which has no copy on two sides; EfficientNet-Lite0 with its ImageNet
weights; the size of the covers; the space (`search/space.py`); R, eta and r; the training itself
(`models.FineTuner`); and the wall-clock budget, which counts from the start of a contestant's
process. When it is over, all its processes are killed; what was measured by then counts.

What is compared is everything around training: what is tried, how covers reach a trial (the peers
open image files with a DataLoader), what a trial costs to start, who is stopped. A head that starts
from a frozen probe, first recipes and the stop of collapsed trials are covertune's: the peers start
from heads of zeros, and have early stopping alone. Preparing the store is not timed for anybody.

A peer keeps the weights of each trial's best epoch, covertune those of the last, as it always does.
The kept model with the highest validation top-1 is the winner, and is measured on the test split
once, by the same code for all.

Wants a quiet machine. Ray starts its workers at niceness 15, so whoever computes beside them slows
covertune and the Ray Tune script more than the other two; each result holds the load before it.

A piece is one contestant with one seed. Its result and the winner's weights are kept in
build/peers/results; the same command again runs what is missing. Within a seed the contestants take
turns to be first. `--report` prints the tables of what is there and draws docs/peers.svg; what
docs/results.md tells lies in benchmarks/measured/peers-covers5, to be named with `--build`.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import torch
from _peer_report import report
from contestants.piece import EXPORTED, PIECE, Piece
from contestants.space import BACKBONE

from covertune.data_pipeline import CoverStore, load_square, prepare_store
from covertune.data_pipeline.sample import draw_sample
from covertune.models import get_backbone, measure_model, model_from_checkpoint
from covertune.models.training.checkpoint import read_state
from covertune.vocabulary import SPLITS

CONTESTANTS = ("covertune", "ray_tune", "optuna_study", "syne_tune_asha")
BENCHMARKS = Path(__file__).resolve().parent
_TEST_BATCH = 64
_KILL_WAIT_S = 5.0


@dataclass(frozen=True)
class Build:
    """Where everything lies that the comparison makes."""

    path: Path

    @property
    def settings_file(self):
        return self.path / "settings.json"

    def piece_folder(self, contestant, seed):
        return self.path / "pieces" / f"{contestant}-{seed}"

    def result_file(self, contestant, seed):
        return self.path / "results" / f"{contestant}-{seed}.json"

    def settings(self):
        return json.loads(self.settings_file.read_text())

    def results(self):
        return [json.loads(file.read_text()) for file in sorted(self.path.glob("results/*.json"))]

    def hold(self, settings):
        """Remember what the results are of; those of other settings are not mixed in."""
        if self.settings_file.exists() and (held := self.settings()) != settings:
            differing = [
                f"{name} {held.get(name)}" for name in settings if settings[name] != held.get(name)
            ]
            sys.exit(f"{self.path} holds results of {', '.join(differing)}; choose another --build")
        self.settings_file.write_text(json.dumps(settings, indent=2) + "\n")


def open_store(covers, build):
    """Open the store to compare on; made of a folder of covers the first time."""
    if covers is not None and (covers / "covers.json").exists():
        return CoverStore.open(covers)
    store = build.path / ("store-drawn" if covers is None else f"store-{covers.resolve().name}")
    if not store.exists():
        if covers is None:
            covers = build.path / "drawn"
            draw_sample(covers)
        import ray

        prepare_store(covers, store)
        ray.shutdown()
    return CoverStore.open(store)


def export_covers(store, folder):
    """Write the covers as the files and the table a script starts from."""
    table = folder / "covers.csv"
    if table.exists():
        return
    rows = []
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number, (cover, label) in enumerate(zip(*store.read_images(split), strict=True)):
            name = f"{split}/{number:06}.jpg"
            (folder / name).write_bytes(cover)
            rows.append({"file": name, "split": split, "label": int(label)})
    unfinished = table.with_suffix(".tmp")
    with unfinished.open("w", newline="") as out:
        writer = csv.DictWriter(out, ["file", "split", "label"])
        writer.writeheader()
        writer.writerows(rows)
    unfinished.rename(table)


def python_of(contestant, build):
    """Return the interpreter a contestant runs in: this one, but for Syne Tune.

    It is installed into an environment of its own, which finds torch and the rest in this one;
    what Syne Tune itself asks for comes first there.
    """
    if contestant != "syne_tune_asha":
        return sys.executable
    home = build.path / "syne-tune-venv"
    python = home / "bin" / "python"
    installed = home / "installed"
    if not installed.exists():
        print(f"installing Syne Tune into {home} …", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "syne-tune"],
            check=True,
        )
        theirs = next(home.glob("lib/python*/site-packages"))
        (theirs / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        installed.touch()
    return str(python)


def run_piece(piece, python):
    """Let a contestant run until the budget is over, then end all its processes.

    Returns:
        Whether it ran to the end; a contestant that breaks off does not count.
    """
    folder = Path(piece.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = os.environ | {
        PIECE: str(piece.file),
        "PYTHONPATH": str(BENCHMARKS),
        "SYNETUNE_FOLDER": str(folder / "syne-tune"),
    }
    with (folder / "output.txt").open("w") as output:
        piece = replace(piece, started=time.time())
        piece.write()
        process = psutil.Popen(
            [python, "-m", f"contestants.{piece.contestant}"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(timeout=piece.started + piece.budget_s - time.time())
        except psutil.TimeoutExpired:
            return True
        finally:
            end_all(process, piece)
    return process.returncode == 0


def end_all(process, piece):
    """Kill a contestant: its descendants, and whoever else carries its piece."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
    while family:
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=_KILL_WAIT_S)
        family = [other for other in psutil.process_iter() if carries(other, piece)]


def carries(process, piece):
    """Tell whether a process was started, by whatever way, for a piece."""
    try:
        return process.environ().get(PIECE) == str(piece.file)
    except (psutil.Error, OSError):
        return False


def measure_winner(piece, store):
    """Measure the best of the kept models on the test split."""
    kept = [(read_state(file)["result"], file) for file in piece.weights()]
    result, file = max(kept, key=lambda model: (EXPORTED in model[1].name, model[0]["top1"]))
    model, _ = model_from_checkpoint(file)
    covers, labels = store.read_images("test")
    images = torch.from_numpy(np.stack([load_square(cover, piece.image_px) for cover in covers]))
    batches = zip(
        images.split(_TEST_BATCH), torch.from_numpy(labels).split(_TEST_BATCH), strict=True
    )
    measured = measure_model(model, get_backbone(BACKBONE).input.at(piece.image_px), batches)
    return {
        "file": file,
        "trial": file.stem.removeprefix("trial-"),
        "epoch": result["epoch"],
        "val_top1": result["top1"],
        "test": measured.model_dump(mode="json"),
    }


def run_missing(pieces, store, build):
    """Run the pieces that have no result yet."""
    broken = []
    for piece in pieces:
        name = f"{piece.contestant}, seed {piece.seed}"
        kept = build.result_file(piece.contestant, piece.seed)
        if kept.exists():
            print(f"{name}: measured already", flush=True)
            continue
        python = python_of(piece.contestant, build)
        load_before = os.getloadavg()[0]
        print(f"{name}: {piece.budget_s / 60:g} min …", flush=True)
        whole = run_piece(piece, python)
        events = piece.events()
        if not (whole and events):
            what = "measured nothing in time" if whole else "broke off"
            broken.append(f"{name} {what}, see {piece.folder}/output.txt")
            print(broken[-1], flush=True)
            continue
        winner = measure_winner(piece, store)
        result = {
            "contestant": piece.contestant,
            "seed": piece.seed,
            "load_before": round(load_before, 2),
            "winner": winner,
            "events": events,
        }
        kept.parent.mkdir(exist_ok=True)
        shutil.move(winner.pop("file"), kept.with_suffix(".pt"))
        unfinished = kept.with_suffix(".tmp")
        unfinished.write_text(json.dumps(result) + "\n")
        unfinished.rename(kept)
        shutil.rmtree(piece.folder)
        print(
            f"{name}: validation {winner['val_top1']:.3f}, test {winner['test']['top1']:.3f}, "
            f"{len(events)} epochs",
            flush=True,
        )
    if broken:
        sys.exit("without a result: " + "; ".join(broken))


def in_turn(contestants, seeds):
    """Yield pairs of contestant and seed, by seed, each time beginning with another contestant."""
    for turn, seed in enumerate(seeds):
        first = turn % len(contestants)
        for contestant in contestants[first:] + contestants[:first]:
            yield contestant, seed


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("covers", type=Path, nargs="?", help="folder of covers, or a store")
    parser.add_argument("--minutes", type=float, default=15.0, help="of each piece")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--image-px", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=6, help="R")
    parser.add_argument("--build", type=Path, default=Path("build/peers"))
    parser.add_argument("--report", action="store_true", help="only tell what was measured")
    parser.add_argument("--figure", type=Path, default=Path("docs/peers.svg"))
    return parser.parse_args()


def main():
    given = arguments()
    build = Build(given.build.absolute())
    if not given.report:
        build.path.mkdir(parents=True, exist_ok=True)
        store = open_store(given.covers, build)
        settings = {
            "store": store.fingerprint,
            "covers": {split: store.count(split) for split in SPLITS},
            "image_px": given.image_px,
            "epochs": given.epochs,
            "eta": 3,
            "grace_epochs": 1,
            "minutes": given.minutes,
            "cores": len(os.sched_getaffinity(0)),
        }
        build.hold(settings)
        files = build.path / f"covers-{store.fingerprint[:12]}"
        export_covers(store, files)
        pieces = [
            Piece(
                contestant=contestant,
                seed=seed,
                store=str(store.path),
                covers=str(files),
                genres=len(store.genres),
                image_px=settings["image_px"],
                epochs=settings["epochs"],
                eta=settings["eta"],
                grace_epochs=settings["grace_epochs"],
                budget_s=settings["minutes"] * 60,
                cores=settings["cores"],
                folder=str(build.piece_folder(contestant, seed)),
            )
            for contestant, seed in in_turn(given.contestants, given.seeds)
        ]
        run_missing(pieces, store, build)
    report(build.settings(), build.results(), given.figure)


if __name__ == "__main__":
    main()
