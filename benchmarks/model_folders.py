"""Which ways lead into the model folder of each backbone: all that `covertune backbones` lists.

    python benchmarks/model_folders.py                       torchvision's and the built-in ones
    python benchmarks/model_folders.py 'timm/test_*'         those that match a pattern

Each backbone is built with random weights at the smallest size it takes, written as a model folder
and read back, in a process of its own. A line a backbone is kept in `--out`; called again, the
command goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SIZES_PX = (32, 48, 64, 96, 128, 160, 192, 224, 256, 299, 384)
TIMEOUT_S = 900
GENRES = ["one", "two", "three"]
ROOT = Path(__file__).parents[1]


def try_one(name: str) -> dict[str, object]:
    """Write and read the folder of one backbone; runs in a process of its own."""
    import numpy as np

    from covertune.models import (
        CardData,
        ModelError,
        Recipe,
        get_backbone,
        load_model,
        save_model,
    )

    backbone = get_backbone(name)
    for px in sorted({*SIZES_PX, backbone.input.image_px}):
        try:
            model = backbone.build(len(GENRES), image_px=px, weights="none").eval()
            break
        except ModelError as error:
            refused = str(error)
    else:
        return {"backbone": name, "refused": refused}
    recipe = Recipe(
        backbone=name, weights="none", image_px=px, epochs=1, lr_head=1e-3, lr_backbone=1e-3
    )
    covers = np.random.default_rng(0).integers(0, 256, (2, px, px, 3), dtype=np.uint8)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        written = save_model(folder, model, recipe, backbone, GENRES, CardData(), covers)
        seconds = time.perf_counter() - started
        load_model(folder).probabilities(covers)
    ours = written.config.covertune
    return {
        "backbone": name,
        "px": px,
        "library": ours.loading.library,
        "onnx": ours.no_onnx_because or "yes",
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Go through the backbones, and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="?", help="as for `covertune backbones`")
    parser.add_argument("--out", type=Path, default=Path("build/model_folders.jsonl"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(try_one(options.one)))
        return

    from covertune.models import list_backbones

    options.out.parent.mkdir(parents=True, exist_ok=True)
    known = options.out.read_text().splitlines() if options.out.exists() else []
    rows = {row["backbone"]: row for row in map(json.loads, known)}
    names = [backbone.name for backbone in list_backbones(options.pattern)]
    for name in names:
        if name in rows:
            continue
        command = [sys.executable, __file__, "--one", name]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S
            )
            lines = (done.stdout or "").strip().splitlines()
            problem = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            rows[name] = json.loads(lines[-1]) if done.returncode == 0 else {"failed": problem}
        except subprocess.TimeoutExpired:
            rows[name] = {"failed": f"more than {TIMEOUT_S} s"}
        rows[name] = {"backbone": name} | rows[name]
        with options.out.open("a") as out:
            out.write(json.dumps(rows[name]) + "\n")
        print(rows[name], flush=True)
    chosen = [rows[name] for name in names]
    for key in ("library", "onnx", "failed", "refused"):
        for value, count in Counter(row[key] for row in chosen if key in row).most_common():
            print(f"{key:8} {count:4}  {value}")


if __name__ == "__main__":
    main()
