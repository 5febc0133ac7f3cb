"""Two machines, one run: another machine is played by what it would have written."""

import json
import os
import time

import psutil
import pytest

import covertune.search.record.owner
from covertune.search import RunError, RunFolder, SearchConfig
from covertune.search.record.owner import FRESH_S, Ownership, owned

ELSEWHERE = {"host": "annex", "boot": "another", "pid": 7, "started": 1.0, "token": "t"}


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(SearchConfig(runs_dir=tmp_path, name="run"))


@pytest.fixture
def file(run):
    return run.path / ".owner"


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(covertune.search.record.owner, "_BEAT_S", 0.05)
    monkeypatch.setattr(covertune.search.record.owner, "_SETTLE_S", 0.0)


def written(file, age_s=0.0, **told):
    file.write_text(json.dumps(ELSEWHERE | told))
    then = time.time() - age_s
    os.utime(file, (then, then))


def until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_there_while_the_run_is_held(run, file):
    with run.lock() as ownership:
        told = json.loads(file.read_text())
        assert told["pid"] == os.getpid()
        assert told["host"]
        assert told["boot"]
        assert ownership.taken_by is None
    assert not file.exists()
    assert not list(run.path.glob(".owner*"))


def test_it_is_written_again_and_again(run, file):
    with run.lock():
        os.utime(file, (1, 1))
        until(lambda: file.stat().st_mtime > 1)


def test_another_machine_keeps_away_while_it_is_fresh(run, file):
    written(file, age_s=FRESH_S / 2)
    expected = r"from another machine, 'annex', .*--take-over"
    with pytest.raises(RunError, match=expected) as told, run.lock():
        pass
    assert "30 s ago" in str(told.value)
    assert json.loads(file.read_text()) == ELSEWHERE
    assert sorted(run.path.glob(".owner*")) == [file]


def test_what_nobody_writes_any_more_is_taken(run, file):
    written(file, age_s=FRESH_S + 1)
    with run.lock():
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_it_is_taken_over_on_request(run, file):
    written(file)
    with run.lock(take_over=True):
        assert json.loads(file.read_text())["pid"] == os.getpid()
    assert not file.exists()


def test_a_process_of_this_machine_that_was_killed_is_not_waited_for(run, file):
    with run.lock():
        ours = json.loads(file.read_text())
    written(file, **ours | {"started": ours["started"] - 5})  # its number is another's by now
    with run.lock():
        pass
    written(file, **ours | {"pid": 2**22 + 1})
    with run.lock():
        pass


def test_a_process_of_this_machine_that_lives_is_not_disturbed(run, file):
    """As through two mounts of one disk, each with locks of its own."""
    with run.lock():
        ours = json.loads(file.read_text())
    parent = psutil.Process(os.getppid())
    written(file, **ours | {"pid": parent.pid, "started": parent.create_time()})
    with pytest.raises(RunError, match="from another machine"), run.lock():
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 3}'])
def test_one_that_was_cut_off_is_waited_for_like_any(run, file, content):
    file.write_text(content)
    with pytest.raises(RunError, match="--take-over"), run.lock():
        pass
    os.utime(file, (1, 1))
    with run.lock():
        pass


def test_who_is_overtaken_notices_and_leaves_it(run, file):
    with run.lock() as ownership:
        written(file)
        until(lambda: ownership.taken_by)
        assert ownership.taken_by == "annex"
    assert json.loads(file.read_text()) == ELSEWHERE


def test_of_two_that_take_over_at_once_one_gets_it(run, file, monkeypatch):
    written(file)
    monkeypatch.setattr(covertune.search.record.owner.time, "sleep", lambda _: written(file))
    expected = "taken over by 'annex' at the same moment"
    with pytest.raises(RunError, match=expected), owned(run.path, take_over=True):
        pass


def test_a_folder_that_is_gone_ends_in_peace(run, file):
    with run.lock() as ownership:
        run.remove()
        ownership.look()
        assert ownership.taken_by is None
    assert not run.path.exists()


def test_one_that_was_removed_by_hand_comes_back(run, file):
    with run.lock():
        file.unlink()
        until(file.exists)


def test_the_beat_ends(run):
    ownership = Ownership(run.path / ".owner", "mine")
    ownership.end()
    assert not ownership._thread.is_alive()
