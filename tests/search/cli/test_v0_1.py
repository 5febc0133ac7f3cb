"""What covertune 0.1 left behind goes on working: store, run and model folder of `tests/data/v0.1`.

`tests/data/make_v0_1.py` made them, with what the commands answered then.
"""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

V0_1 = Path(__file__).parents[2] / "data" / "v0.1"
GENRES = ["Amber", "Birch", "Coral"]


def expected(command):
    return json.loads((V0_1 / "expected" / f"{command}.json").read_text())


@pytest.fixture
def old(tmp_path):
    """A copy whose run knows where its store is."""
    copy = shutil.copytree(V0_1, tmp_path / "v0.1")
    facts = json.loads((copy / "run" / "run.json").read_text())
    facts["config"] |= {"store": str(copy / "store"), "runs_dir": str(copy)}
    (copy / "run" / "run.json").write_text(json.dumps(facts))
    return copy


@pytest.fixture
def ask(covertune):
    """A command's JSON; numbers of the model to within rounding."""

    def run(*arguments):
        ended = covertune(*arguments, "--json")
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)

    return run


def answers_of(told):
    return [{entry["genre"]: entry["probability"] for entry in one["genres"]} for one in told]


def test_the_model_folder_predicts_as_before(ask):
    told = ask("predict", V0_1 / "run" / "model", *sorted((V0_1 / "covers").iterdir()))
    for now, then in zip(answers_of(told), answers_of(expected("predict")), strict=True):
        assert now == pytest.approx(then, abs=1e-5)


def test_the_store_evaluates_as_before(ask):
    now, then = ask("evaluate", V0_1 / "run" / "model", V0_1 / "store"), expected("evaluate")
    assert set(now) == set(then)
    assert now["top1_interval"] == pytest.approx(then["top1_interval"])
    for name in ("n", "split", "store_fingerprint"):
        assert now[name] == then[name]
    for name in ("top1", "top3", "macro_f1", "ece"):
        assert now[name] == pytest.approx(then[name], abs=1e-5)


def test_the_store_is_inspected_as_before(ask):
    now, then = ask("data", "inspect", V0_1 / "store"), expected("inspect")
    assert {name: now[name] for name in then if name != "path"} == {
        name: value for name, value in then.items() if name != "path"
    }


def test_the_trials_are_listed_as_before(ask, old):
    now, then = ask("trials", old / "run"), expected("trials")
    assert [
        {name: row[name] for name in before} for row, before in zip(now, then, strict=True)
    ] == then
    assert [row["number"] for row in now if row["exported"]] == [1]
    assert all(row["metrics"]["top1"] == row["value"] for row in now if row["value"] is not None)


def test_the_model_of_the_search_leaves_in_the_new_form(covertune, ask, old):
    out = old / "out"
    ended = covertune("export", old / "run", out)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"model: {out}\nnext:  covertune predict {out} COVER.jpg\n"
    config = json.loads((out / "config.json").read_text())
    assert config["architecture"] == "test_efficientnet"
    ours = config["covertune"]
    assert ours["provenance"]["trial"] == 1
    calibration = ours["calibration"]
    assert calibration["covers"] == 27
    assert calibration["val_ece_after"] < calibration["val_ece_before"]
    assert calibration["test_ece_before"] == pytest.approx(expected("evaluate")["ece"])
    assert "ece" not in ours["metrics"]["test"], "it was measured uncalibrated"

    # The same model: its answers are those of before at the temperature, in timm too.
    covers = sorted((V0_1 / "covers").iterdir())
    now = answers_of(ask("predict", out, *covers))
    for one, then in zip(now, answers_of(expected("predict")), strict=True):
        cooled = {genre: then[genre] ** (1 / calibration["temperature"]) for genre in GENRES}
        total = sum(cooled.values())
        assert one == pytest.approx({genre: p / total for genre, p in cooled.items()}, abs=1e-4)
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    assert list(model.pretrained_cfg["label_names"]) == GENRES
    for cover, answer in zip(covers, now, strict=True):
        with torch.inference_mode():
            told = model(transform(Image.open(cover))[None]).softmax(dim=1)[0]
        assert dict(zip(GENRES, told.tolist(), strict=True)) == pytest.approx(answer, abs=1e-4)


def test_a_trial_leaves_in_the_new_form(covertune, ask, old):
    assert covertune("export", old / "run", old / "out", "--trial", 0).code == 0
    config = json.loads((old / "out" / "config.json").read_text())
    assert config["covertune"]["provenance"]["trial"] == 0
    assert config["covertune"]["calibration"]["temperature"] > 0
    measured = ask("evaluate", old / "out", old / "store", "--split", "val")
    validation = config["covertune"]["metrics"]["validation"]
    for name in ("n", "top1", "top3", "macro_f1", "ece"):
        assert measured[name] == pytest.approx(validation[name], abs=1e-5)


def test_without_the_store_it_is_not_calibrated_and_says_so(covertune, old):
    shutil.rmtree(old / "store")
    for arguments in ((), ("--trial", 0)):
        out = old / f"out{len(arguments)}"
        ended = covertune("export", old / "run", out, *arguments)
        assert (ended.code, ended.err) == (0, "")
        note = f"note: its probabilities are not calibrated: no cover store at {old / 'store'}"
        assert ended.out.startswith(note)
        assert str(old) not in (out / "README.md").read_text() + (out / "config.json").read_text()
        config = json.loads((out / "config.json").read_text())
        assert config["label_names"] == GENRES
        assert config["covertune"]["calibration"] is None
        assert "not calibrated: the store was not at hand." in (out / "README.md").read_text()


def test_without_store_and_model_nobody_knows_the_genres(covertune, old):
    shutil.rmtree(old / "store")
    shutil.rmtree(old / "run" / "model")
    ended = covertune("export", old / "run", old / "out")
    assert ended.code == 1
    assert "no cover store at" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (old / "out").exists()


def test_where_the_search_exported_none_the_best_trial_leaves(covertune, old):
    shutil.rmtree(old / "run" / "model")
    ended = covertune("export", old / "run", old / "out")
    assert (ended.code, ended.err) == (0, "")
    [note, *_] = ended.out.splitlines()
    assert note == "note: the search has exported no model yet; this is its best trial, 1"
    config = json.loads((old / "out" / "config.json").read_text())
    assert config["covertune"]["provenance"]["trial"] == 1


def test_a_damaged_store_calibrates_nobody(covertune, old):
    part = old / "store" / "part-00001.parquet"  # the validation split
    content = bytearray(part.read_bytes())
    content[2_000:4_000] = bytes(2_000)
    part.write_bytes(content)
    ended = covertune("export", old / "run", old / "out")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("note: its probabilities are not calibrated: ")
    assert "the store was damaged" in (old / "out" / "README.md").read_text()


def test_a_damaged_model_is_one_line_with_a_way_out(covertune, old):
    weights = old / "run" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    ended = covertune("export", old / "run", old / "out")
    assert ended.code == 1
    [line] = ended.err.splitlines()
    assert "or take one of its trials with `covertune export --trial N`" in line
    shutil.rmtree(old / "run" / "model")
    (old / "run" / "model").mkdir()  # nothing in it: as good as none
    ended = covertune("export", old / "run", old / "out")
    assert ended.out.startswith("note: the search has exported no model yet")


def test_a_run_without_its_stores_fingerprint_is_damaged(covertune, old):
    facts = json.loads((old / "run" / "run.json").read_text())
    del facts["store_fingerprint"]
    (old / "run" / "run.json").write_text(json.dumps(facts))
    ended = covertune("export", old / "run", old / "out", "--trial", 0)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)


@pytest.mark.parametrize("arguments", [("export", "RUN", "LONG"), ("export", "LONG", "o")])
def test_a_name_too_long_for_the_disk_is_one_line(covertune, old, arguments):
    words = {"RUN": old / "run", "LONG": old / ("n" * 300)}
    ended = covertune(*(words.get(word, word) for word in arguments))
    assert ended.code == 1
    [line] = ended.err.splitlines()
    assert "File name too long" in line


def test_the_study_is_left_as_it_was(covertune, old):
    """What only looks at a run changes nothing in it."""

    def dump():
        with sqlite3.connect(old / "run" / "study.db") as study:
            return list(study.iterdump())

    before = dump()
    covertune("trials", old / "run", "--json")
    covertune("export", old / "run", old / "out")
    assert dump() == before
