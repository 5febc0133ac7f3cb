"""Every way into a model folder gives the same answers, in a process that has no covertune.

The card's own code is run, over covers of every kind that needs care: tall ones, one that lies on
its side, one with transparent parts, grey of 16 and 32 bits and of floats.
"""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline import load_square
from covertune.models import load_model

FOLDERS = {
    "efficientnet_lite0": ("efficientnet_lite0", 64, {}),
    "resnet18": ("resnet18", 64, {"fit": "crop"}),
    "a small ViT": ("timm/test_vit", 96, {"fit": "pad"}),
    "shufflenet": ("shufflenet_v2_x0_5", 64, {"fit": "pad"}),
}
WITHOUT_COVERTUNE = """
import json, os, sys
sys.modules["covertune"] = None  # importing it fails
"""
# For each folder and way: what sets it up once, then what is asked of each cover.
ASK = """
answers = {}
for folder, ways in WAYS.items():
    os.chdir(folder)
    for way, (setting_up, asking) in ways.items():
        names = {}
        exec(setting_up, names)
        told = answers.setdefault(folder, {})[way] = []
        for path in PATHS:
            if os.path.lexists("cover.jpg"):
                os.remove("cover.jpg")
            os.symlink(path, "cover.jpg")
            exec(asking, names)
            told.append(names["told"])
json.dump(answers, open(OUT, "w"))
"""


@pytest.fixture(scope="module")
def cover_files(tmp_path_factory):
    """Covers as they come, and what is peculiar about some."""
    folder = tmp_path_factory.mktemp("covers")
    rng = np.random.default_rng(1)
    for number in range(40):
        rough = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
        size = [(60, 90), (90, 60), (80, 80), (61, 97)][number % 4]
        picture = Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)
        if number == 0:  # stored on its side
            exif = Image.Exif()
            exif[0x0112] = 6
            picture.save(folder / "00.jpg", exif=exif, quality=95)
        elif number == 1:
            alpha = Image.fromarray(rng.integers(0, 256, size[::-1], dtype=np.uint8))
            picture.putalpha(alpha)
            picture.save(folder / "01.png")
        elif number == 2:
            grey = np.asarray(picture.convert("L")).astype(np.uint16) << 8
            Image.fromarray(grey).save(folder / "02.png")
        elif number in (3, 4):  # grey of floats out of 1, of 32 bits out of 65,535
            grey = np.asarray(picture.convert("L"))
            wide = (grey / 255).astype(np.float32) if number == 3 else grey.astype(np.int32) * 257
            Image.fromarray(wide).save(folder / f"{number:02}.tiff")
        else:
            picture.save(folder / f"{number:02}.jpg", quality=95)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def folders(tmp_path_factory, save):
    place = tmp_path_factory.mktemp("ways")
    for key, (name, px, settings) in FOLDERS.items():
        save(place / key, name, px, **settings)
    return place


@pytest.fixture(params=FOLDERS)
def folder(request, folders):
    return folders / request.param


@pytest.fixture
def wanted(folder, cover_files):
    """What covertune answers."""
    classifier = load_model(folder)
    squares = [load_square(file, classifier.image_px, classifier.fit) for file in cover_files]
    return classifier.probabilities(np.stack(squares))


def ways_in(folder):
    """The card's Python in two pieces, up to where a cover is opened and from there, by heading."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    code = {}
    for part in re.split(r"^### ", card, flags=re.MULTILINE)[1:]:
        if found := re.search(r"```python\n(.*?)```", part, flags=re.DOTALL):
            code[part.partition("\n")[0]] = found[1]
    opening = code.pop("A cover as the model knows it")
    ways = {}
    for way, text in code.items():
        begins = {
            "With timm": "with torch",
            "With transformers": "print(",
            "With torchvision": "pixels =",
        }
        setting_up, mark, asking = text.partition(begins[way])
        assert mark
        asking = (mark + asking).replace("print(", "told = (")
        if way == "With transformers":
            asking += "told = [(entry['label'], entry['score']) for entry in told]"
        ways[way] = (opening + setting_up, asking)
    if "With transformers" in ways:
        setting_up, asking = ways["With transformers"]
        ways["files as they are"] = (setting_up, asking.replace("open_cover", ""))
    return ways


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COVERTUNE + code],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def answers(folders, cover_files, tmp_path_factory):
    """By folder and way: (genre, probability) pairs of each cover; one process, for its imports."""
    out = tmp_path_factory.mktemp("answers") / "answers.json"
    ways = {str(folders / key): ways_in(folders / key) for key in FOLDERS}
    paths = [str(file) for file in cover_files]
    run(f"WAYS = {ways!r}\nPATHS = {paths!r}\nOUT = {str(out)!r}\n{ASK}")
    return json.loads(out.read_text())


def as_rows(answers, genres):
    return np.array([[dict(answer)[genre] for genre in genres] for answer in answers])


def assert_same(told, wanted):
    assert (told.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.98
    assert len(set(wanted.argmax(axis=1))) > 1, "not one answer for all"
    np.testing.assert_allclose(told, wanted, atol=1e-4)


def test_the_libraries_that_the_card_names(folder, answers, wanted, genres):
    ways = answers[str(folder)]
    libraries = {"With timm", "With transformers", "files as they are"}
    assert set(ways) == ({"With torchvision"} if folder.name == "shufflenet" else libraries)
    for way in set(ways) - {"files as they are"}:
        assert_same(as_rows(ways[way], genres), wanted)


def test_a_pipeline_of_transformers_on_files_as_they_are(
    folder, answers, wanted, cover_files, genres
):
    """Without `open_cover`: the resize of timm's transform instead of ours, told apart here."""
    if folder.name == "shufflenet":
        return
    whole = np.array([file.suffix == ".jpg" for file in cover_files])
    told = as_rows(answers[str(folder)]["files as they are"], genres)[whole]
    if load_model(folder).fit == "squash":
        assert_same(told, wanted[whole])
    else:  # timm's bars have another colour, and its crop is by whole pixels: the card says so
        assert np.abs(told - wanted[whole]).max() > 1e-4


def test_onnxruntime_alone(folder, wanted, cover_files, genres, tmp_path):
    run(
        f"""
sys.path.insert(0, {str(folder)!r})
import onnxruntime
from predict import predict
session = onnxruntime.InferenceSession({str(folder / "model.onnx")!r})
answers = [predict(session, path) for path in {[str(file) for file in cover_files]!r}]
json.dump(answers, open({str(tmp_path / "answers.json")!r}, "w"))
assert not {{"torch", "timm"}} & set(sys.modules)
"""
    )
    assert_same(as_rows(json.loads((tmp_path / "answers.json").read_text()), genres), wanted)


def test_the_program_in_the_folder(folder, wanted, cover_files, genres):
    done = subprocess.run(
        [sys.executable, folder / "predict.py", *cover_files[:3]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for line, file, row in zip(done.stdout.splitlines(), cover_files, wanted, strict=False):
        best = genres[int(row.argmax())]
        assert line.startswith(f"{file}: {best} {row.max():.1%}, ")


def test_the_program_tells_what_it_cannot_read_and_goes_on(folder, cover_files, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear reader")
    program = [sys.executable, folder / "predict.py"]
    done = subprocess.run(
        [*program, tmp_path / "letter.jpg", tmp_path / "none.jpg", cover_files[5]],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert len(done.stderr.splitlines()) == 2
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 1
    assert "python predict.py COVER.jpg" in done.stderr


def test_covertunes_command(folder, wanted, cover_files, genres):
    (folder / "cover.jpg").unlink(missing_ok=True)
    (folder / "cover.jpg").symlink_to(cover_files[0])
    card = (folder / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^covertune (.*)$", card, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "covertune", *command.split(), "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [answer] = json.loads(done.stdout)
    told = {entry["genre"]: entry["probability"] for entry in answer["genres"]}
    assert [told[genre] for genre in genres] == pytest.approx(wanted[0].tolist(), abs=1e-4)
