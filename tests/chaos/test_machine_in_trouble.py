"""A full disk, a locked study, a second driver, an impatient Ctrl-C: one clear line each."""

import contextlib
import os
import signal
import sqlite3
import time

import pytest

DISK_MB = 256


def fill(disk):
    """Take all the room there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(2**12))
    return filler


@pytest.mark.long
def test_a_full_disk_stops_the_search_until_there_is_room(small_disk, new_run, resume):
    run, command = new_run("run", runs_dir="disk/runs")
    assert command.until_epochs(run), command.story
    filler = fill(small_disk)
    try:
        assert command.end() == 1, command.story
    finally:
        filler.unlink()
    [line] = command.errors
    assert line.startswith("error: the search broke off: ")
    assert "covertune resume disk/runs/run" in line
    run.look()
    command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole()
    assert not any("space" in reason for reason in run.reasons), run.reasons


def test_a_second_driver_a_locked_study_and_an_impatient_ctrl_c(new_run, resume):
    run, command = new_run("run", "--trials", 3, "--epochs", 400)
    assert command.until("the run", (run.path / "run.json").exists), command.story
    second = resume(run)  # while the first still prepares
    assert second.end() == 1, second.story
    [line] = second.errors
    assert line == ("error: run 'run' is driven by another process; wait for it, or stop it"), (
        second.story
    )

    assert command.until_epochs(run), command.story
    locked = pytest.raises(sqlite3.OperationalError, match="database is locked")
    with contextlib.closing(sqlite3.connect(run.path / "study.db", timeout=3)) as other, locked:
        other.execute("BEGIN EXCLUSIVE")
    assert command.until_epochs(run), command.story

    family = command.family()
    os.killpg(command.pid, signal.SIGINT)
    assert command.until("the first to be heard", command.says, "stopping"), command.story
    os.killpg(command.pid, signal.SIGINT)
    asked = time.monotonic()
    assert command.end() == 130, command.story
    print(f"ended {time.monotonic() - asked:.1f} s after the second Ctrl-C")
    assert command.errors == ["stopped: go on with `covertune resume runs/run`"]
    deadline = time.monotonic() + 30
    while any(process.is_running() and process.status() != "zombie" for process in family):
        assert time.monotonic() < deadline, "Ray's processes are still there"
        time.sleep(0.1)
    run.look()
