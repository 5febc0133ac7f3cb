import json
import pickle
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from covertune.data_pipeline import CoverStore
from covertune.models import load_model

# What somebody writes who has the folder and three libraries, following config.json.
STRANGER = """
import json, sys
import numpy, onnxruntime
from PIL import Image

folder, paths = sys.argv[1], sys.argv[2:]
config = json.load(open(f"{folder}/config.json", encoding="utf-8"))
ours = config["covertune"]
how = ours["preprocessing"]
assert (how["channels"], how["resize"], how["layout"]) == ("RGB", "squash", "NCHW")
height, width = how["size"]
images = []
for path in paths:
    image = Image.open(path).convert("RGB")
    image = image.resize((width, height), getattr(Image.Resampling, how["resample"].upper()))
    pixels = numpy.asarray(image, dtype=numpy.float32) * how["rescale"]
    pixels = (pixels - numpy.float32(how["mean"])) / numpy.float32(how["std"])
    images.append(pixels.transpose(2, 0, 1))
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
names = ours["onnx"]
told = session.run(["probabilities"], {names["input"]: numpy.ascontiguousarray(images)})[0]
assert not {"torch", "covertune"} & set(sys.modules)
print(json.dumps([dict(zip(config["label_names"], map(float, row))) for row in told]))
"""


@pytest.fixture(scope="module")
def some_covers(covers):
    return [covers / genre / "000.jpg" for genre in ("Amber", "Birch", "Coral")]


@pytest.fixture
def told(covertune):
    """Probabilities by genre, as `predict --json` prints them."""

    def tell(folder, paths):
        ended = covertune("predict", folder, *paths, "--json")
        assert (ended.code, ended.err) == (0, "")
        return [
            {entry["genre"]: entry["probability"] for entry in answer["genres"]}
            for answer in json.loads(ended.out)
        ]

    return tell


def assert_same(told, expected):
    for one, other in zip(told, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


# -- predict ---------------------------------------------------------------------------------------


def test_predict_json(covertune, model, some_covers, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear reader, this is no picture.\n")
    paths = [some_covers[0], tmp_path / "letter.jpg", tmp_path / "nowhere.jpg", some_covers[1]]
    ended = covertune("predict", model, *paths, "--json")
    assert (ended.code, ended.err) == (1, "")  # two of the files are no covers
    answers = json.loads(ended.out)
    assert [answer["path"] for answer in answers] == [str(path) for path in paths]
    assert {frozenset(answer) for answer in answers} == {frozenset({"path", "genres", "error"})}
    for answer in (answers[0], answers[3]):
        assert answer["error"] is None
        assert [set(entry) for entry in answer["genres"]] == [{"genre", "probability"}] * 3
        probabilities = [entry["probability"] for entry in answer["genres"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    for answer in (answers[1], answers[2]):
        assert answer["genres"] == []
    assert "not found" in answers[2]["error"]


def test_predict_tells_each_cover_on_a_line_of_its_own(covertune, model, covers, tmp_path):
    folder = tmp_path / ("a long name " * 9)
    folder.mkdir()
    cover = folder / "[red]draft.jpg"  # what rich would take for markup
    shutil.copy(covers / "Amber" / "000.jpg", cover)
    ended = covertune("predict", model, cover, folder / "[/gone].jpg", "--top", 2)
    first, second = ended.out.splitlines()
    assert first.startswith(f"{cover}: ")
    assert first.count("%") == 2
    assert second.startswith(f"{folder / '[/gone].jpg'}: ")
    assert "not found" in second


@pytest.mark.parametrize("what", ["missing", "empty", "no json", "other format", "no weights"])
@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_what_is_no_model(refused, model, store, some_covers, tmp_path, name, what):
    folder = tmp_path / "given"
    if what == "empty":
        folder.mkdir()
    elif what != "missing":
        shutil.copytree(model, folder)
    if what == "no json":
        (folder / "config.json").write_text("{")
    elif what == "other format":
        config = json.loads((model / "config.json").read_text())
        config["covertune"]["format"] = 99
        (folder / "config.json").write_text(json.dumps(config))
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    given = some_covers[0] if name == "predict" else store
    assert str(folder) in refused(name, folder, given, "--json")


# -- evaluate --------------------------------------------------------------------------------------


def test_evaluate_json(covertune, model, store):
    ended = covertune("evaluate", model, store, "--json")
    assert (ended.code, ended.err) == (0, "")
    measured = json.loads(ended.out)
    assert set(measured) == {
        *("split", "n", "top1", "top1_interval", "top3", "macro_f1", "ece", "store_fingerprint")
    }
    manifest = json.loads((store / "covers.json").read_text())
    assert (measured["split"], measured["n"]) == ("test", 9)
    assert measured["store_fingerprint"] == manifest["fingerprint"]
    low, high = measured["top1_interval"]
    assert 0 <= low <= measured["top1"] <= high <= 1
    assert measured["top3"] == 1  # of three genres


def test_evaluate_measures_what_the_search_reported(covertune, run, store):
    outcome = json.loads((run / "outcome.json").read_text())
    measured = json.loads(covertune("evaluate", run / "model", store, "--json").out)
    assert measured["top1"] == pytest.approx(outcome["best"]["test"]["top1"])


def test_evaluate_agrees_with_predict_and_matches_genres_by_name(
    covertune, told, model, store, tmp_path
):
    swapped = tmp_path / "store"  # what was Amber is called Birch here, and the reverse
    shutil.copytree(store, swapped)
    manifest = json.loads((store / "covers.json").read_text())
    manifest["genres"] = ["Birch", "Amber", "Coral"]
    (swapped / "covers.json").write_text(json.dumps(manifest))
    rows = [
        row
        for part in sorted(store.glob("part-*.parquet"))
        for row in pq.read_table(part).to_pylist()
        if row["split"] == "val"
    ]
    paths = [tmp_path / f"{number}.jpg" for number in range(len(rows))]
    for path, row in zip(paths, rows, strict=True):
        path.write_bytes(row["image"])
    likeliest = [max(answer, key=answer.get) for answer in told(model, paths)]
    for folder, genres in ((store, ["Amber", "Birch", "Coral"]), (swapped, manifest["genres"])):
        truth = [genres[row["label"]] for row in rows]
        right = [one == other for one, other in zip(likeliest, truth, strict=True)]
        ended = covertune("evaluate", model, folder, "--split", "val", "--json")
        measured = json.loads(ended.out)
        assert measured["n"] == len(rows)
        assert measured["top1"] == pytest.approx(np.mean(right))


def test_evaluate_notices_a_store_that_has_changed_at_the_same_size(
    refused, model, store, tmp_path
):
    """A bit of a cover's label, which is as good a label as the one before."""
    copy = shutil.copytree(store, tmp_path / "store")
    [name] = [part.name for part in CoverStore.open(copy).parts_of("test")]
    content = bytearray((copy / name).read_bytes())
    column = pq.ParquetFile(copy / name).metadata.row_group(0).column(3)
    content[column.data_page_offset + column.total_compressed_size - 8] ^= 1
    (copy / name).write_bytes(content)
    message = refused("evaluate", model, copy)
    assert f"the store {copy} is damaged: {name}: " in message
    assert message.endswith("; prepare it again")


def bomb():
    """A PNG of 900 million pixels in a few kB."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(30_000 * 3_751), 9)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_evaluate_does_not_unpack_a_bomb(refused, model, store, tmp_path):
    copy = shutil.copytree(store, tmp_path / "store")
    [part] = CoverStore.open(copy).parts_of("test")
    covers = pq.read_table(copy / part.name)
    images = [bomb(), *covers["image"].to_pylist()[1:]]
    place = covers.schema.get_field_index("image")
    covers = covers.set_column(place, "image", pa.array(images, pa.binary()))
    pq.write_table(covers, copy / part.name, compression="none", row_group_size=128)
    manifest = json.loads((copy / "covers.json").read_text())
    [told] = [told for told in manifest["parts"] if told["name"] == part.name]
    told["bytes"] = (copy / part.name).stat().st_size
    (copy / "covers.json").write_text(json.dumps(manifest))
    message = refused("evaluate", model, copy)
    assert (
        f"the store {copy} is damaged: one of its covers is no picture (too many pixels: "
        in message
    )
    assert message.endswith("; prepare it again")


def test_evaluate_refuses_genres_the_model_does_not_know(refused, model, store, tmp_path):
    shutil.copytree(store, tmp_path / "store")
    manifest = (store / "covers.json").read_text()
    (tmp_path / "store" / "covers.json").write_text(manifest.replace('"Coral"', '"Cobalt"'))
    message = refused("evaluate", model, tmp_path / "store")
    assert "does not know: Cobalt" in message


# -- export ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory, run_command):
    """How `export` of the first trial ended, as a process of its own, and the folder it made."""
    place = tmp_path_factory.mktemp("exported")
    return run_command("export", run, "model", "--trial", 0, cwd=place), place / "model"


def test_export_prints_the_folder_and_nothing_else(exported):
    ended, _ = exported
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "model: model\nnext:  covertune predict model COVER.jpg\n"


def test_model_answers_the_same_wherever_it_is_loaded(exported, told, some_covers, tmp_path):
    _, folder = exported
    expected = told(folder, some_covers)
    assert len({max(by.values()) for by in expected}) == 3  # not one answer for all
    copy = tmp_path / "elsewhere" / "model"
    shutil.copytree(folder, copy)
    assert_same(told(copy, some_covers), expected)
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(copy), *map(str, some_covers)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_same(json.loads(done.stdout), expected)


def test_model_holds_nothing_pickled(exported, monkeypatch, some_covers):
    _, folder = exported
    files = {path.name: path.read_bytes()[:8] for path in folder.iterdir()}
    assert set(files) == {
        *("model.safetensors", "config.json", "model.onnx", "predict.py", "README.md"),
        "SHA256SUMS",
    }
    for start in files.values():
        assert not start.startswith((b"PK", b"\x80"))  # torch's zip files, bare pickles

    def unpickle(*_, **__):
        raise AssertionError("a model folder was unpickled")

    for module in (pickle, torch):
        monkeypatch.setattr(module, "load", unpickle)
    monkeypatch.setattr(pickle, "loads", unpickle)
    monkeypatch.setattr(pickle, "Unpickler", unpickle)
    classifier = load_model(folder)
    px = classifier.image_px
    images_NHWC = np.stack([np.asarray(Image.open(p).resize((px, px))) for p in some_covers])
    assert classifier.probabilities(images_NHWC).shape == (3, 3)


def test_export_keeps_out_of_an_existing_folder(refused, run, tmp_path):
    (tmp_path / "out").mkdir()
    assert "exists already" in refused("export", run, tmp_path / "out")


def test_export_below_a_file(refused, run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in refused("export", run, tmp_path / "file" / "out")


def test_export_of_an_unknown_trial(refused, run, tmp_path):
    message = refused("export", run, tmp_path / "out", "--trial", 7)
    assert "no trial 7" in message
    assert "0 to 2" in message


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (2, "of trials that have ended only the 2 best and the untuned one keep theirs"),
        (3, "its file is gone"),
        (None, "its file is gone"),
    ],
)
def test_export_of_a_trial_without_a_checkpoint(covertune, run, tmp_path, keep, told):
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    (copy / "tune" / "checkpoints" / "trial-00001.pt").unlink()
    card = json.loads((copy / "run.json").read_text())
    card["config"]["keep_checkpoints"] = keep
    (copy / "run.json").write_text(json.dumps(card))
    ended = covertune("export", copy, tmp_path / "out", "--trial", 1)
    assert ended.code == 1
    [line] = ended.err.splitlines()
    assert line.startswith(f"error: trial 1 of run '{run.name}' has no checkpoint: {told}; ")
    assert "exported: 0, 2" in line
    assert ("keep_checkpoints" in line) == (keep == 2)
    assert not (tmp_path / "out").exists()
