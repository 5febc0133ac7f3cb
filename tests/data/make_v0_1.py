"""Makes `tests/data/v0.1`: a store, a run and a model folder as covertune 0.1 wrote them.

Later versions must go on reading them. What is here was made by commit bf6ff3e:

    git worktree add /tmp/covertune-0.1 bf6ff3e
    PYTHONPATH=/tmp/covertune-0.1 python tests/data/make_v0_1.py

The covers are drawn here, the backbone is timm's smallest (`timm/test_efficientnet`, random
weights), so that all of it stays below 5 MB. `expected/` holds what the commands of that version
answered with `--json`, for comparison.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
OUT = HERE / "v0.1"
BACKBONE = "timm/test_efficientnet"
GENRES = {"Amber": (190, 110, 50), "Birch": (60, 170, 80), "Coral": (90, 70, 190)}
COVERS_PER_GENRE = 60
WIDTH, HEIGHT = 32, 48
SEARCH = (
    *("--backbones", BACKBONE, "--weights", f"{BACKBONE}=none", "--image-px", "32"),
    *("--trials", "8", "--epochs", "6", "--seed", "1", "--runs-dir", "runs", "--name", "run"),
    *("--config", "search.yaml"),
)
KEEP = "keep_checkpoints: 1\n"  # beside the untuned one's: each takes more than a megabyte
LEFT_OUT = shutil.ignore_patterns(".lock", "log.txt", "session-*")  # tell about this machine alone


def draw(folder: Path, colour: tuple[int, int, int], seed: int) -> None:
    """JPEGs of one colour, no two of them alike, under noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(COVERS_PER_GENRE):
        tint = np.array(colour) + rng.normal(0, 30, 3)
        pixels = rng.normal(tint, 40, size=(HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.jpg", quality=85)


def main() -> None:
    """Draw, prepare, search, and keep what the commands answer."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)

        def covertune(*words: str) -> str:
            command = [sys.executable, "-m", "search.cli", *words]
            done = subprocess.run(command, cwd=work, check=True, text=True, stdout=subprocess.PIPE)
            return done.stdout

        for seed, (genre, colour) in enumerate(GENRES.items()):
            draw(work / "covers" / genre, colour, seed)
        (work / "search.yaml").write_text(KEEP)
        covertune("data", "prepare", "covers", "store")
        covertune("search", "store", *SEARCH)
        covers = [f"covers/{genre}/000.jpg" for genre in GENRES]
        answers = {
            "trials": covertune("trials", "runs/run", "--json"),
            "evaluate": covertune("evaluate", "runs/run/model", "store", "--json"),
            "predict": covertune("predict", "runs/run/model", *covers, "--json"),
            "inspect": covertune("data", "inspect", "store", "--json"),
        }
        shutil.rmtree(OUT, ignore_errors=True)
        shutil.copytree(work / "store", OUT / "store")
        shutil.copytree(work / "runs" / "run", OUT / "run", ignore=LEFT_OUT)
        (OUT / "covers").mkdir()
        for cover in covers:
            shutil.copy(work / cover, OUT / "covers" / f"{Path(cover).parent.name}.jpg")
        (OUT / "expected").mkdir()
        for command, answer in answers.items():
            document = json.dumps(json.loads(answer), indent=1)
            (OUT / "expected" / f"{command}.json").write_text(f"{document}\n")


if __name__ == "__main__":
    main()
