import json
import os
import shutil
import signal
import time

import psutil
import pytest
import torch

from covertune.models import Recipe, get_backbone
from covertune.search import RunFolder
from covertune.search.record.study import read_trials

TRIAL_KEYS = [
    *("number", "state", "reason", "value", "epochs", "seconds", "params", "node", "device"),
    *("role", "recipe", "metrics", "exported"),
]
SMALL = ("--backbones", "small_cnn", "--image-px", 32)


def test_search_tells_what_it_does_and_what_to_type_next(covertune, search_ended, run):
    assert (search_ended.code, search_ended.err) == (0, "")
    lines = search_ended.out.splitlines()
    assert sum(line.startswith("trial ") and " epoch " in line for line in lines) == 3
    rows = json.loads(covertune("trials", run, "--json").out)
    measured = sum(line.startswith("epoch ") and "  top-1 " in line for line in lines)
    assert measured == sum(row["epochs"] for row in rows) > 3, "a line for each measured epoch"
    assert "model: runs/finished/model" in lines
    for command in ("predict", "dashboard", "trials", "resume"):
        assert any(line.startswith(f"  covertune {command} runs/finished") for line in lines)
    names = {path.name for path in run.iterdir()}
    assert {"run.json", "study.db", "tune", "artifacts", "model", "outcome.json"} <= names


def test_trials_json(covertune, run):
    ended = covertune("trials", run, "--json")
    assert (ended.code, ended.err) == (0, "")
    rows = json.loads(ended.out)
    assert [row["number"] for row in rows] == [0, 1, 2]
    for row in rows:
        assert list(row) == TRIAL_KEYS
        assert row["state"] in ("COMPLETE", "PRUNED")
        assert 0 <= row["value"] <= 1
        assert 1 <= row["epochs"] <= 2


def test_trials_table(covertune, run):
    rows = json.loads(covertune("trials", run, "--json").out)
    table = covertune("trials", run).out
    best = max(row["value"] for row in rows)
    lines = table.splitlines()[1 : len(rows) + 2]
    assert f"{best:.3f}" in lines[0]
    assert sorted(int(line.split()[0]) for line in lines[:-1]) == [row["number"] for row in rows]
    assert all(f"{row['value']:.3f}" in table for row in rows)
    assert any("untuned: random head" in line for line in lines)
    assert lines[-1].startswith("all: ")
    assert lines[-1].rstrip().endswith("cpu")


def made_of(run):
    """Numbers of the trials that RUN/model is made of, by its provenance, and what it is called."""
    origin = json.loads((run / "model" / "config.json").read_text())["covertune"]["provenance"]
    if "trial" in origin:
        return {origin["trial"]}, f"trial {origin['trial']}"
    return set(origin["trials"]), f"the average of {origin['average_of']}"


def test_which_trial_is_exported_is_told(covertune, run):
    numbers, in_words = made_of(run)
    assert numbers
    rows = json.loads(covertune("trials", run, "--json").out)
    assert {row["number"] for row in rows if row["exported"]} == numbers
    last = covertune("trials", run).out.splitlines()[-1]
    assert last == f"exported to {os.path.relpath(run / 'model')}: {in_words}"


def test_one_trial_is_shown_whole(covertune, run):
    exported, _ = made_of(run)
    whole = json.loads(covertune("trials", run, "--json").out)
    for number, row in enumerate(whole):
        [one] = json.loads(covertune("trials", run, "--trial", number, "--json").out)
        assert one == row
        assert set(row["recipe"]) == set(Recipe.model_fields)
        assert row["metrics"]["top1"] == row["value"]
        ended = covertune("trials", run, "--trial", number)
        assert (ended.code, ended.err) == (0, "")
        shown = dict(
            words for line in ended.out.splitlines() if len(words := line.split(maxsplit=1)) == 2
        )
        for name, setting in row["recipe"].items():
            assert shown[name].strip() == ("off" if setting is None else str(setting)), name
        assert shown["top-1"].split() == ["accuracy", f"{row['value']:.3f}"]
        assert ("exported" in shown) == (number in exported)


def test_the_search_ends_with_the_whole_recipe(search_ended, run, covertune):
    lines = search_ended.out.splitlines()
    [start] = [n for n, line in enumerate(lines) if line.startswith("recipe of trial ")]
    number = int(lines[start].split()[3].rstrip(","))
    exported, _ = made_of(run)
    assert number in exported
    shown = " ".join(lines[start + 1 : lines.index("", start)]).split()
    assert set(Recipe.model_fields) <= set(shown)
    assert any(
        line.startswith(f"  covertune trials runs/finished --trial {number}") for line in lines
    )


@pytest.mark.parametrize("number", [3, -1])
def test_a_trial_that_is_none(refused, run, number):
    message = refused("trials", run, "--trial", number)
    assert f"has no trial {number}; its trials are 0 to 2" in message


# -- what cannot be searched -----------------------------------------------------------------------


def test_no_trials(refused, tmp_path):
    message = refused("search", "--trials", 0, "--runs-dir", tmp_path / "runs", code=2)
    assert "trials" in message
    assert "got 0" in message


def test_all_problems_at_once(refused, tmp_path):
    message = refused(
        *("search", "--trials", 0, "--epochs", 0, "--name", "a/b"),
        *("--runs-dir", tmp_path / "runs"),
        code=2,
    )
    assert all(field in message for field in ("trials", "epochs", "name"))


def test_no_store(refused, local_ray, tmp_path):
    (tmp_path / "runs").mkdir()
    message = refused("search", tmp_path / "nowhere", *SMALL, "--runs-dir", tmp_path / "runs")
    assert "no cover store at" in message
    assert "covertune data prepare" in message


def test_store_of_another_schema(refused, local_ray, store, tmp_path):
    (tmp_path / "runs").mkdir()
    shutil.copytree(store, tmp_path / "store")
    manifest = json.loads((store / "covers.json").read_text())
    manifest["schema_version"] = 99
    (tmp_path / "store" / "covers.json").write_text(json.dumps(manifest))
    message = refused("search", tmp_path / "store", *SMALL, "--runs-dir", tmp_path / "runs")
    assert "schema" in message
    assert "99" in message


def test_unknown_backbone(refused, local_ray, store, tmp_path):
    (tmp_path / "runs").mkdir()
    options = ("--backbones", "resnet5", "--runs-dir", tmp_path / "runs")
    message = refused("search", store, *options, code=2)
    assert "unknown backbone 'resnet5'" in message
    assert "resnet50" in message
    assert "covertune backbones" in message


def test_hub_that_cannot_be_reached(run_command, store, tmp_path):
    closed = "http://127.0.0.1:9"  # the discard port: nothing listens
    environment = {"TORCH_HOME": str(tmp_path / "torch"), "no_proxy": "", "NO_PROXY": ""}
    environment |= dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy"), closed)
    (tmp_path / "runs").mkdir()
    began = time.monotonic()
    ended = run_command(
        *("search", store, "--backbones", "resnet18", "--runs-dir", tmp_path / "runs"),
        cwd=tmp_path,
        env=environment,
    )
    took_s = time.monotonic() - began
    assert ended.code == 1
    [line] = ended.err.splitlines()
    assert line.startswith("error: cannot fetch the weights of resnet18: ")
    assert "https://download.pytorch.org/models/resnet18-" in line
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-") in line
    assert "--weights resnet18=FILE" in line
    assert list((tmp_path / "runs").iterdir()) == []
    assert list((tmp_path / "torch").rglob("*.pth*")) == []
    assert took_s < 60  # Ray's start and the imports of a worker; no waiting for the hub


@pytest.mark.parametrize("what", ["missing", "other tensors", "no tensors"])
def test_weights_that_do_not_fit(refused, local_ray, store, tmp_path, what):
    (tmp_path / "runs").mkdir()
    file = tmp_path / "weights.pth"
    if what == "other tensors":
        state = get_backbone("small_cnn").build(3, weights="none").state_dict()
        torch.save({f"other.{name}": tensor for name, tensor in state.items()}, file)
    elif what == "no tensors":
        file.write_text("These are no weights.\n")
    message = refused(
        *("search", store, *SMALL, "--weights", f"small_cnn={file}"),
        *("--runs-dir", tmp_path / "runs"),
    )
    assert str(file) in message


def test_weights_of_a_backbone_that_is_not_searched(refused, store, tmp_path):
    message = refused("search", store, *SMALL, "--weights", "resnet18=none", code=2)
    assert "resnet18" in message


def test_name_of_an_existing_run(refused, run, store):
    message = refused("search", store, *SMALL, "--runs-dir", run.parent, "--name", run.name)
    assert "exists already" in message
    assert "covertune resume" in message


def test_runs_below_a_file(refused, store, tmp_path):
    (tmp_path / "file").write_text("in the way")
    message = refused("search", store, *SMALL, "--runs-dir", tmp_path / "file" / "runs")
    assert "--runs-dir" in message
    assert str(tmp_path / "file") in message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("trails: 3\n", "unknown setting 'trails'"),
        ("trials: [3\n", "cannot read the configuration"),
        ("- trials\n", "must hold a mapping"),
        (None, "cannot read the configuration"),
    ],
)
def test_configuration_that_cannot_be_used(refused, tmp_path, text, named):
    file = tmp_path / "search.yaml"
    if text is not None:
        file.write_text(text)
    assert named in refused("search", "--config", file, "--runs-dir", tmp_path / "runs", code=2)


# -- runs that are none ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["missing", "empty", "other schema", "damaged"])
@pytest.mark.parametrize("name", ["resume", "trials", "dashboard", "export"])
def test_what_is_no_run(refused, run, tmp_path, name, what):
    folder = tmp_path / "given"
    if what != "missing":
        folder.mkdir()
    if what == "other schema":
        facts = json.loads((run / "run.json").read_text()) | {"schema_version": 99}
        (folder / "run.json").write_text(json.dumps(facts))
    elif what == "damaged":
        (folder / "run.json").write_text('{"schema_version": 1')
    more = [tmp_path / "out"] if name == "export" else []
    assert str(folder) in refused(name, folder, *more)


@pytest.mark.parametrize("name", ["trials", "dashboard", "export"])
def test_run_without_its_study(refused, run, tmp_path, name):
    (tmp_path / "given").mkdir()
    shutil.copy(run / "run.json", tmp_path / "given")
    more = [tmp_path / "out"] if name == "export" else []
    assert "study.db" in refused(name, tmp_path / "given", *more)


def test_resuming_a_finished_run(refused, local_ray, run):
    message = refused("resume", run)
    assert "all 3 trials" in message
    assert "--trials N" in message


# -- Ctrl-C ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resume_finishes(
    covertune, start_command, run_command, store, tmp_path
):
    options = ("--trials", 4, "--epochs", 3, "--runs-dir", "runs", "--name", "stopped")
    search = start_command("search", store, *SMALL, *options, cwd=tmp_path)
    try:
        for line in search.stdout:
            if line.startswith("trial "):
                break
        family = psutil.Process(search.pid).children(recursive=True)
        os.killpg(search.pid, signal.SIGINT)  # a terminal sends it to the whole group
        out, err = search.communicate(timeout=60)
    finally:
        search.kill()
    assert search.returncode == 130, err
    assert "Traceback" not in out + err
    assert "covertune resume runs/stopped" in err.splitlines()[-1]
    assert family
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []

    stopped = tmp_path / "runs" / "stopped"
    listed = json.loads(covertune("trials", stopped, "--json").out)
    ended_before = [row for row in listed if row["state"] != "RUNNING"]
    assert 1 <= len(ended_before) < 4

    resumed = run_command("resume", "runs/stopped", cwd=tmp_path)
    assert (resumed.code, resumed.err) == (0, "")
    rows = json.loads(covertune("trials", stopped, "--json").out)
    assert [row["number"] for row in rows] == list(range(4))
    assert {row["state"] for row in rows} <= {"COMPLETE", "PRUNED", "FAIL"}
    for row in rows:
        # Chance may draw settings that collapse; a reason is given for every failure.
        assert (row["state"] == "FAIL") == (row["reason"] or "").startswith("collapsed")
    since = [row | {"exported": False} for row in rows]  # before the end none was
    assert all(row in since for row in ended_before)
    for trial in read_trials(RunFolder.open(stopped)):
        epochs = [epoch["epoch"] for epoch in trial.user_attrs["history"]]
        assert epochs == list(range(1, len(epochs) + 1))


@pytest.mark.slow
def test_what_is_terminated_before_its_first_trial_leaves_nothing(start_command, store, tmp_path):
    options = ("--runs-dir", "runs", "--name", "early")
    search = start_command("search", store, *SMALL, *options, cwd=tmp_path)
    try:
        assert search.stdout.readline().startswith("checking the machine")
        search.terminate()  # what job schedulers and containers send
        _, err = search.communicate(timeout=60)
    finally:
        search.kill()
    assert (search.returncode, err) == (130, "stopped: interrupted\n")
    assert not (tmp_path / "runs" / "early").exists()
