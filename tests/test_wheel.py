"""An installed wheel, used in a folder that has packages of the same names as our rooms.

Most machine-learning projects have a `models/`, and Ray puts the folder a search is started in
first on its workers' path.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
GENRES = {"Amber": (190, 120, 40), "Birch": (60, 170, 80), "Coral": (90, 70, 190)}
THEIRS = "raise ImportError('this is the package of somebody else')\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, built and installed into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", folder / "dist", ROOT],
        check=True,
        cwd=folder,
    )
    [wheel] = (folder / "dist").glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, cwd=folder
    )
    return folder / "site", wheel


def test_it_claims_one_name(installed):
    _, wheel = installed
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"covertune"}
    for needed in ("py.typed", "models/export/templates/card.md.j2", "search/run.py"):
        assert f"covertune/{needed}" in names


@pytest.mark.slow
def test_a_search_among_packages_of_the_same_names(installed, tmp_path):
    site, _ = installed
    for name in ("models", "search", "data_pipeline"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(THEIRS)
    (tmp_path / "search.py").write_text(THEIRS)
    rng = np.random.default_rng(0)
    for genre, colour in GENRES.items():
        (tmp_path / "covers" / genre).mkdir(parents=True)
        for number in range(20):
            pixels = rng.normal(colour, 50, size=(32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "covers" / genre / f"{number}.jpg")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(tmp_path)])}

    def covertune(*words):
        done = subprocess.run(
            [sys.executable, "-m", "covertune", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import covertune; print(covertune.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site)), "not the one that is being developed"
    covertune("data", "prepare", "covers", "store")
    covertune("data", "inspect", "store", "--html", "store.html")
    options = ("--backbones", "small_cnn", "--image-px", "32", "--trials", "2", "--epochs", "3")
    covertune("search", "store", *options, "--name", "run")
    told = covertune("predict", "runs/run/model", "covers/Amber/0.jpg")
    assert "%" in told
