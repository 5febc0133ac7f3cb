"""Makes a table of learning curves for `simulate.py` out of searches that stopped no trial early.

    covertune search STORE --config random.yaml --trials 64      # sampler: random, grace_epochs: 6,
                                                                 # epochs: 6, image_px: [64]
    python benchmarks/record_curves.py NAME RUN [RUN …] [--add]

Written is benchmarks/curves/NAME.jsonl; all runs are of one store and one backbone. With `--add`
the trials of runs on the same store, with the same settings, join those that are there. Random
recipes alone tell little of where searches go, so some trials of one that chooses (`sampler: tpe`)
belong into a table too, as Eggensperger et al. 2015 advise; known recipes are left out, because
covertune would find exactly those again. An epoch's seconds are the least of its trial's, so that
what else the machine did meanwhile counts little.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from _curves import SETTINGS, TABLES

from covertune.models import get_backbone
from covertune.search import RunFolder
from covertune.search.record.study import read_trials
from covertune.search.record.trial_record import ROLE_SAMPLED, ROLE_UNTUNED


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--add", action="store_true", help="keep the trials that are there")
    given = parser.parse_args()
    runs = [RunFolder.open(path) for path in given.runs]
    rows = [row for run in runs for row in _rows(run)]
    facts = _facts(runs[0].config())
    out = TABLES / f"{given.name}.jsonl"
    if given.add:
        held, *before = map(json.loads, out.read_text("utf-8").splitlines())
        if held != facts:
            sys.exit(f"{out} holds trials of {held}, not of {facts}; choose another NAME")
        rows = before + [row for row in rows if not row["untuned"]]
    TABLES.mkdir(exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in [facts, *rows]), "utf-8")
    print(f"{len(rows)} curves in {out}, {out.stat().st_size / 1e3:.0f} kB")


def _facts(config):
    covers = json.loads((config.store / "covers.json").read_text("utf-8"))
    backbone = get_backbone(config.backbones[0])
    return {
        "store": covers["fingerprint"][:12],
        "covers": {
            split: sum(counts[split] for counts in covers["counts"].values())
            for split in ("train", "val")
        },
        "genres": len(covers["genres"]),
        "backbone": backbone.name,
        "pretrained": backbone.pretrained,
        "stages": len(backbone.stage_names()),
        "image_px": list(config.image_px),
        "epochs": config.epochs,
    }


def _rows(run):
    for trial in read_trials(run):
        history = trial.user_attrs.get("history", [])
        whole = len(history) == trial.user_attrs.get("recipe", {}).get("epochs")
        failed = trial.state.name == "FAIL" and trial.user_attrs.get("recipe_at_fault")
        if not (failed or (trial.state.name == "COMPLETE" and whole)):
            continue
        if trial.user_attrs["role"] not in (ROLE_SAMPLED, ROLE_UNTUNED):
            continue  # covertune's own first recipes: it would find exactly them again
        recipe = trial.user_attrs["recipe"]
        # A failure costs what was trained until then, the epoch that was not measured included.
        least_s = min((epoch["seconds"] for epoch in history), default=1.0)
        yield {
            "recipe": {setting: recipe[setting] for setting in SETTINGS},
            "untuned": trial.user_attrs["role"] == ROLE_UNTUNED,
            "top1": [round(epoch["top1"], 5) for epoch in history],
            "loss": [round(epoch["val_loss"], 5) for epoch in history],
            "seconds": [round(least_s, 2)] * max(1, len(history)),
        } | ({"failure": trial.user_attrs["reason"]} if failed else {})


if __name__ == "__main__":
    main()
