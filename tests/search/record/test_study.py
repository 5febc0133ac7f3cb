"""The study: driven by one process, read by everybody else from its published copy."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import optuna
import pytest

import covertune.search.record.opening
from covertune.models import Recipe
from covertune.search import RunError, RunFolder, SearchConfig
from covertune.search.record.compat import close_storage
from covertune.search.record.published_copy import PublishedCopy
from covertune.search.record.study import (
    create_study,
    drive_study,
    open_study,
    read_trials,
    require_free_name,
)
from covertune.search.record.trial_record import TrialRecord
from covertune.search.record.trial_rows import trial_rows

RECIPE = Recipe(backbone="small_cnn", image_px=64, epochs=3, lr_head=1e-3, lr_backbone=0.1)


@pytest.fixture
def run(tmp_path):
    config = SearchConfig(store=tmp_path / "store", runs_dir=tmp_path / "runs", name="run")
    run = RunFolder.create(config)
    run.start(config, store_fingerprint="0", image_px={})
    return run


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """A run of two trials, whose copy has one."""
    folder = tmp_path_factory.mktemp("made")
    config = SearchConfig(store=folder / "store", runs_dir=folder, name="run")
    run = RunFolder.create(config)
    run.start(config, store_fingerprint="0", image_px={})
    study = create_study(run, optuna.samplers.RandomSampler(), None)
    ended(study, 0.5)
    publish(run, study)
    ended(study, 0.75)
    close_storage(study)
    return run


@pytest.fixture
def closed(made_once, tmp_path):
    return RunFolder(shutil.copytree(made_once.path, tmp_path / "runs" / "run"))


@pytest.fixture
def study(run):
    study = create_study(run, optuna.samplers.RandomSampler(), None)
    yield study
    close_storage(study)


def publish(run, study):
    PublishedCopy(run, study).publish()


def ended(study, value=0.5):
    trial = study.ask()
    TrialRecord(trial).set_role("sampled")
    TrialRecord(trial).set_recipe(RECIPE)
    trial.suggest_float("lr", 0, 1)
    trial.report(value, 1)
    study.tell(trial, value)
    return trial


def beside(run):
    return sorted(file.name for file in run.path.glob("*study*"))


def values(run):
    return [trial.value for trial in read_trials(run)]


def test_readers_see_what_was_published(run, study):
    trial = study.ask()
    trial.report(0.25, 1)
    publish(run, study)
    (row,) = trial_rows(read_trials(run))
    assert (row.number, row.state, row.value, row.epochs) == (0, "RUNNING", 0.25, 1)
    looking = open_study(run)
    study.tell(trial, 0.5)
    assert looking.trials[0].state.name == "RUNNING"
    publish(run, study)
    assert looking.trials[0].value == 0.5, "one that is looked at goes on with the copy"


def test_a_failed_trial_has_no_value(run, study):
    trial = study.ask()
    trial.report(0.65, 3)
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    publish(run, study)
    (row,) = trial_rows(read_trials(run))
    assert (row.state, row.value, row.epochs) == ("FAIL", None, 1)


def test_what_ended_lies_in_one_file(run, study):
    ended(study)
    publish(run, study)
    assert beside(run) == ["study-copy.db", "study.db", "study.db-wal"], "no shared memory"
    close_storage(study)
    assert beside(run) == ["study-copy.db", "study.db"]


def test_a_reader_leaves_nothing_and_changes_nothing(run, study):
    ended(study)
    publish(run, study)
    before = {file: file.read_bytes() for file in run.path.glob("*study*")}
    looking = open_study(run)
    with pytest.raises(optuna.exceptions.StorageInternalError):
        looking.set_user_attr("note", "mine")
    close_storage(looking)
    assert {file: file.read_bytes() for file in run.path.glob("*study*")} == before


def test_nobody_else_opens_a_study_that_is_driven(run, study, monkeypatch):
    ended(study)
    locked = pytest.raises(sqlite3.OperationalError, match="database is locked")
    with closing(sqlite3.connect(run.study_file, timeout=0)) as other, locked:
        other.execute("SELECT * FROM trials")
    monkeypatch.setattr(covertune.search.record.opening, "_BUSY_TIMEOUT_S", 0.1)
    with pytest.raises(RunError, match=r"database is locked; another program has it open: close"):
        drive_study(run)
    close_storage(study)
    again = drive_study(run)
    assert len(again.trials) == 1
    close_storage(again)


def test_threads_wait_for_their_turn(run, study):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: ended(study, number / 8), range(8)))
    assert sorted(trial.value for trial in study.trials) == [number / 8 for number in range(8)]


def test_a_study_that_was_not_closed_is_read_with_its_log(run, study):
    """As of covertune 0.1, killed: there is no copy."""
    ended(study)
    killed = RunFolder(run.path.with_name("killed"))
    shutil.copytree(run.path, killed.path)
    close_storage(study)
    assert (killed.path / "study.db-wal").stat().st_size
    content = json.loads(killed.manifest_file.read_text())
    killed.manifest_file.write_text(json.dumps(content))
    before = {file: file.read_bytes() for file in killed.path.glob("*study*")}
    assert values(killed) == [0.5]
    assert {file: file.read_bytes() for file in killed.path.glob("*study*")} == before
    study = drive_study(killed)
    assert [trial.value for trial in study.trials] == [0.5]
    close_storage(study)


def test_a_study_that_is_gone(run):
    for read in (open_study, drive_study):
        with pytest.raises(
            RunError, match=r"has no study\.db; bring the file back, or search anew$"
        ):
            read(run)


def noise(file):
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(range(1, 256)) * (len(content) // 255 + 1)
    file.write_bytes(content[: file.stat().st_size])


def no_database(file):
    file.write_bytes(b"\x07" * 5000)


def cut(file):
    file.write_bytes(file.read_bytes()[:8192])


def empty(file):
    file.write_bytes(b"")


def says(statement):
    def damage(file):
        with closing(sqlite3.connect(file)) as database:
            assert database.execute(statement).rowcount > 0
            database.commit()

    damage.__name__ = statement
    return damage


DAMAGES = [
    noise,
    no_database,
    cut,
    empty,
    says("UPDATE trial_values SET value = 'high'"),
    says("UPDATE trial_intermediate_values SET intermediate_value = 'high'"),
    says("UPDATE trials SET number = 'first'"),
    says("UPDATE trials SET state = 'ASLEEP'"),
    says("UPDATE trials SET datetime_start = 'yesterday'"),
    says("UPDATE trial_params SET param_value = 'fast'"),
    says("UPDATE trial_params SET distribution_json = '{'"),
    says("UPDATE trial_user_attributes SET value_json = '[1'"),
    says("UPDATE trial_user_attributes SET value_json = '5'"),
    says("DELETE FROM studies"),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_study_goes_on_from_its_copy(closed, damage):
    damage(closed.study_file)
    damaged = closed.study_file.read_bytes()
    for number in (0, 1):
        closed.checkpoint(number).write_bytes(b"a checkpoint")
    warnings = []
    again = drive_study(closed, warn=warnings.append)
    assert [trial.value for trial in again.trials] == [0.5]
    [warning] = warnings
    assert "going on from its last copy, with 1 trials" in warning
    ended(again, 0.25)
    close_storage(again)
    [aside] = closed.path.glob("damaged-*")
    assert (aside / "study.db").read_bytes() == damaged or not damaged
    assert (aside / closed.checkpoint(1).name).exists(), "of a trial that nobody knows any more"
    assert closed.checkpoint(0).exists()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_with_a_damaged_copy_the_study_itself_is_read(closed, damage):
    damage(closed.study_copy)
    assert values(closed) == [0.5, 0.75]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_nothing_that_can_be_read_is_one_line_that_does_not_lead_in_a_circle(closed, damage):
    damage(closed.study_file)
    damage(closed.study_copy)
    for read in (read_trials, drive_study):
        with pytest.raises(RunError, match=r"is damaged \(study.*study.*\), and so") as told:
            read(closed)
        assert "\n" not in str(told.value)
        assert "resume" not in str(told.value)
        assert str(told.value).endswith("bring study.db back from a backup, or search anew")
    assert not list(closed.path.glob("damaged-*"))


def test_a_disk_that_cannot_be_read_is_no_damage(run, study, monkeypatch):
    ended(study)
    publish(run, study)
    close_storage(study)

    def broken(*_args, **_more):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(covertune.search.record.opening, "_immutable", broken)
    with pytest.raises(RunError, match=r"disk I/O error; see to the disk and its permissions"):
        read_trials(run)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_it_is_published_soon_after_an_end_and_every_few_seconds(run, study):
    clock = Clock()
    copy = PublishedCopy(run, study, clock=clock)
    told = []

    def look(seconds):
        clock.now += seconds
        before = run.study_copy.stat().st_ino if run.study_copy.exists() else None
        copy.keep()
        told.append(run.study_copy.stat().st_ino != before)

    for seconds in (0, 0.5, 4, 1):
        look(seconds)
    copy.changed()
    for seconds in (0.5, 0.75, 1):
        look(seconds)
    assert told == [True, False, False, True, False, True, False]


def test_what_cannot_be_published_costs_nothing_and_is_told_once(run, study, caplog):
    ended(study)
    publish(run, study)
    run.study_copy.unlink()
    run.study_copy.mkdir()
    (run.study_copy / "in the way").touch()
    copy = PublishedCopy(run, study)
    copy.publish()
    copy.publish()
    assert len([record for record in caplog.records if "published" in record.message]) == 1
    assert not list(run.path.glob(".study*"))


def test_a_run_that_was_taken_over_is_not_published(run, study):
    PublishedCopy(run, study, is_ours=lambda: False).publish()
    assert not run.study_copy.exists()


SECRET = "s3cr3t!"


@pytest.fixture
def elsewhere(tmp_path):
    """A run whose study lies in a storage with a password, and the URL without it."""
    bare = f"sqlite:///{tmp_path}/elsewhere.db"
    config = SearchConfig(runs_dir=tmp_path, name="away", storage=f"{bare}?password={SECRET}")
    run = RunFolder.create(config)
    run.start(config, store_fingerprint="0", image_px={})
    return run, config, bare


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_a_password_is_not_written_down(elsewhere):
    run, config, bare = elsewhere
    assert run.config().storage == bare
    run.update(config, elapsed_s=1.0)
    assert SECRET not in run.manifest_file.read_text()
    assert SECRET not in repr(config)
    close_storage(create_study(run, optuna.samplers.RandomSampler(), config.storage))
    assert values(run) == []
    assert not run.study_copy.exists()


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_an_old_run_that_holds_its_password_opens(elsewhere):
    run, config, _ = elsewhere
    close_storage(create_study(run, optuna.samplers.RandomSampler(), config.storage))
    content = json.loads(run.manifest_file.read_text())
    content["config"]["storage"] = config.storage
    run.manifest_file.write_text(json.dumps(content))
    assert values(run) == []
    assert json.loads(run.manifest_file.read_text()) == content, "who looks changes nothing"
    run.update(run.config())
    assert SECRET not in run.manifest_file.read_text()


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_a_password_is_not_told(elsewhere):
    run, config, _ = elsewhere
    for read in (open_study, drive_study, read_trials):
        with pytest.raises(RunError, match=r"there is no study at .*password=\*\*\*;") as told:
            read(run, url=config.storage)
        assert SECRET not in str(told.value)
    close_storage(create_study(run, optuna.samplers.RandomSampler(), config.storage))
    with pytest.raises(RunError, match="holds a study 'away' already") as told:
        require_free_name(run, config.storage)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+nodriver://me:{SECRET}@nowhere.invalid/trials",
        f"postgresql+nodriver://me:a@{SECRET}@nowhere.invalid/trials",
        f"nonsense://me:{SECRET}@h:port/x?passwd={SECRET}",
        f"postgresql://h/trials?sslpassword={SECRET}&user=me",
        "postgresql+nodriver://me:${DB_PASSWORD}@nowhere.invalid/trials",
    ],
)
def test_a_storage_that_cannot_be_opened_keeps_its_password(elsewhere, url, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    run, _, _ = elsewhere
    with pytest.raises(RunError, match="cannot open the study at") as told:
        create_study(run, optuna.samplers.RandomSampler(), url)
    assert SECRET not in str(told.value)
    assert told.value.__cause__ is None
    assert "PGPASSWORD" in str(told.value)


def test_a_variable_that_is_not_set_is_named(elsewhere, monkeypatch):
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    run, _, _ = elsewhere
    with pytest.raises(RunError, match=r"variable DB_PASSWORD, which is not set; set it"):
        open_study(run, url="postgresql://me:${DB_PASSWORD}@h/trials")


def test_a_variable_may_be_the_whole_storage(elsewhere, monkeypatch):
    run, _, bare = elsewhere
    close_storage(create_study(run, optuna.samplers.RandomSampler(), bare))
    monkeypatch.setenv("STORAGE", bare)
    assert read_trials(run, url="${STORAGE}") == []


def test_a_driver_that_is_killed_leaves_a_study_to_go_on_with(run):
    """And a copy to look at meanwhile."""
    code = (
        "import os, sys; from pathlib import Path; import optuna;"
        "from covertune.search.record.run_folder import RunFolder;"
        "from covertune.search.record.study import create_study;"
        "from covertune.search.record.published_copy import PublishedCopy;"
        "run = RunFolder(Path(sys.argv[1]));"
        "study = create_study(run, optuna.samplers.RandomSampler(), None);"
        "study.tell(study.ask(), 0.5); PublishedCopy(run, study).publish();"
        "study.tell(study.ask(), 0.75); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(run.path)]).returncode == -9
    assert values(run) == [0.5]
    study = drive_study(run)
    assert [trial.value for trial in study.trials] == [0.5, 0.75]
    close_storage(study)
