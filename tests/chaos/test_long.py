"""Troubles that take long to play: `make chaos` has them, `make test` has not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
DISK_MB = 512


def test_a_run_that_is_moved_goes_on(new_run, resume, tmp_path):
    run, command = new_run("run", "--trials", 3)
    assert command.until_epochs(run), command.story
    command.kill()
    (tmp_path / "elsewhere").mkdir()
    run.path = Path(shutil.move(run.path, tmp_path / "elsewhere" / "renamed"))
    command = resume(run)
    assert command.end() == 0, command.story
    assert (run.path / "model" / "config.json").exists()
    assert not (tmp_path / "runs" / "run").exists(), "nothing is written where it was"


def test_a_copy_and_the_run_go_on_apart(new_run, resume, tmp_path):
    run, command = new_run("run", "--trials", 3)
    assert command.until_epochs(run), command.story
    command.kill()
    copy = type(run)(Path(shutil.copytree(run.path, tmp_path / "copies" / "run")))
    both = [resume(run), resume(copy)]
    for one, command in zip((run, copy), both, strict=True):
        assert command.end() == 0, command.story
        one.require_whole(trials=3)


def test_two_searches_at_once(new_run):
    both = [new_run("one", "--trials", 3), new_run("other", "--trials", 3)]
    for run, command in both:
        assert command.end() == 0, command.story
        run.require_whole(trials=3)
        assert not any("lost" in reason for reason in run.reasons), run.reasons


def test_a_foreign_ray_is_left_alone(new_run):
    """One that runs here, and what a search finds of it in its folders."""
    ray = Path(sys.executable).with_name("ray")
    port = "46379"
    start = [ray, "start", "--head", "--block", f"--port={port}", "--num-cpus=1"]
    foreign = subprocess.Popen(
        [*start, "--include-dashboard=false"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    status = [ray, "status", f"--address=127.0.0.1:{port}"]
    as_its_user = os.environ | {"RAY_AUTH_MODE": "token"}  # `ray start` alone has it by default
    try:
        while subprocess.run(status, check=False, capture_output=True, env=as_its_user).returncode:
            assert foreign.poll() is None
        run, command = new_run("run", "--trials", 2)
        assert command.end() == 0, command.story
        run.require_whole(trials=2)
        told = subprocess.run(status, check=True, capture_output=True, text=True, env=as_its_user)
        assert "1.0 CPU" in told.stdout, told
    finally:
        os.killpg(foreign.pid, signal.SIGKILL)
        foreign.wait()


def test_a_folder_that_turns_read_only(small_disk, new_run, resume):
    run, command = new_run("run", "--trials", 3, runs_dir="disk/runs")
    assert command.until_epochs(run), command.story
    # Files that are open keep a disk from turning; what is mounted over it has none yet.
    subprocess.run(["mount", "--bind", small_disk, small_disk], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", small_disk], check=True)
    code = command.end()
    subprocess.run(["umount", "--lazy", small_disk], check=True)
    assert code == 1, command.story
    [line] = command.errors
    assert line.startswith("error: "), command.story
    assert "covertune resume disk/runs/run" in line
    command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole(trials=3)


def test_a_suspended_machine(new_run):
    """All its processes stand still for a while."""
    run, command = new_run("run", "--trials", 3)
    assert command.until_epochs(run), command.story
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in command.session():
            process.send_signal(number)
        time.sleep(30)
    assert command.end() == 0, command.story
    run.require_whole(trials=3)


def test_an_export_that_is_killed_leaves_nothing_half(new_run, start, tmp_path, draws):
    run, command = new_run("run", "--trials", 2)
    assert command.end() == 0, command.story
    for number in range(4):
        out = tmp_path / f"out-{number}"
        command = start("export", run.path, out, cwd=tmp_path)
        time.sleep(draws.uniform(1, 12))
        command.kill()
        assert not out.exists() or (out / "SHA256SUMS").exists()
    command = start("export", run.path, tmp_path / "whole", cwd=tmp_path)
    assert command.end() == 0, command.story
