"""The run folder."""

import json

import pytest

from covertune.search.config import SearchConfig
from covertune.search.errors import RunError
from covertune.search.record.run_folder import RunFolder

DAMAGED = '{"schema_version": 1, "study": "a", "config": {}, "image_px": 3}'
KNOWN = {"store_fingerprint": "abc", "image_px": {"small_cnn": (32,)}}


def config(tmp_path, **overrides):
    return SearchConfig(**({"runs_dir": tmp_path / "runs", "name": "first"} | overrides))


def started(tmp_path):
    run = RunFolder.create(config(tmp_path))
    run.start(config(tmp_path), **KNOWN)
    return run


def read(run):
    return json.loads(run.manifest_file.read_text())


def write(run, content):
    run.manifest_file.write_text(json.dumps(content))


def test_it_is_made_once(tmp_path):
    run = RunFolder.create(config(tmp_path))
    assert run.checkpoints.is_dir()
    assert run.name == "first"
    with pytest.raises(RunError, match=r"run '.*first' exists already; choose another --name"):
        RunFolder.create(config(tmp_path))


def test_what_is_known_comes_back(tmp_path):
    wanted = config(tmp_path, trials=3)
    run = RunFolder.create(wanted)
    run.start(wanted)
    assert not run.is_prepared
    assert "store_fingerprint" not in read(run)
    run.update(wanted, **KNOWN)
    opened = RunFolder.open(run.path)
    assert opened.is_prepared
    assert opened.config() == wanted
    manifest = opened.manifest()
    assert (manifest.study, manifest.store_fingerprint) == ("first", "abc")
    assert manifest.image_px == {"small_cnn": (32,)}
    assert manifest.versions["optuna"]
    opened.update(wanted.model_copy(update={"trials": 5}), elapsed_s=2.5)
    again = opened.manifest()
    assert (again.created, again.elapsed_s) == (manifest.created, 2.5)
    assert again.image_px == manifest.image_px
    assert opened.config().trials == 5


def test_what_others_have_written_into_it_is_kept(tmp_path):
    run = started(tmp_path)
    write(run, read(run) | {"note": "the good one"})
    run.update(config(tmp_path), elapsed_s=1.0)
    assert read(run)["note"] == "the good one"


def test_what_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(RunError, match="no run at"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"is not a run folder: it has no run\.json"):
        RunFolder.open(tmp_path)


def test_another_schema_is_refused(tmp_path):
    run = started(tmp_path)
    write(run, read(run) | {"schema_version": 99})
    with pytest.raises(RunError, match="run schema 99"):
        RunFolder.open(run.path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError, match="cannot make the run folder"):
        RunFolder.create(config(tmp_path))


def test_one_process_drives_a_run(tmp_path):
    run = RunFolder.create(config(tmp_path))
    with run.lock(), pytest.raises(RunError, match="driven by another process"):  # noqa: SIM117
        with run.lock():
            pass
    with run.lock():
        pass


def test_a_folder_that_somebody_removed_is_made_for_the_driver(tmp_path):
    run = RunFolder.create(config(tmp_path))
    run.checkpoints.rmdir()
    with run.lock():
        assert run.checkpoints.is_dir()


def test_what_a_killed_driver_had_half_published_goes(tmp_path):
    run = RunFolder.create(config(tmp_path))
    (half := run.path / ".study-copy.db.0123456789ab.partial").touch()
    (others := run.path / ".mine.0123456789ab.partial").touch()
    with run.lock():
        assert not half.exists()
    assert others.exists()


def test_a_run_that_came_to_nothing_leaves_nothing(tmp_path):
    RunFolder.create(config(tmp_path)).remove()
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs").mkdir()
    RunFolder.create(config(tmp_path)).remove()
    assert (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", ["[]", "{", '{"schema_version": 1}', DAMAGED])
def test_damaged_facts_are_one_line(tmp_path, text):
    run = RunFolder.create(config(tmp_path))
    run.manifest_file.write_text(text)
    with pytest.raises(RunError, match=r"run\.json") as caught:
        RunFolder.open(run.path)
    assert "\n" not in str(caught.value)


def test_a_run_from_before_there_were_brackets_keeps_to_one(tmp_path):
    run = started(tmp_path)
    content = read(run)
    assert content["config"].pop("brackets") == run.config().brackets == 2
    write(run, content)
    assert run.config().brackets == 1


def test_a_configuration_of_another_version_is_said_to_be_one(tmp_path):
    run = started(tmp_path)
    content = read(run)
    content["config"]["warp"] = 9
    write(run, content)
    with pytest.raises(RunError, match="not one this version of covertune knows"):
        run.config()
