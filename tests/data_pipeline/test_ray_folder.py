"""Folders of local Rays: one each, gone with it, nobody else's touched."""

import subprocess
import sys

import pytest

from covertune.data_pipeline import DataError, ray_folder
from covertune.data_pipeline.ray_folder import RayFolder


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """Where temporary files go, however deep that is here."""
    monkeypatch.setattr(ray_folder, "_is_short", lambda parent: True)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


def test_it_is_its_owner_s_alone_and_goes(parent):
    folder = RayFolder.make()
    assert folder.path.parent == parent
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.logs / "old").mkdir(parents=True)
    folder.remove()
    assert list(parent.iterdir()) == []


def test_logs_that_somebody_is_to_read_stay_until_the_next(parent):
    folder = RayFolder.make()
    folder.logs.mkdir(parents=True)
    folder.keep = True
    folder.remove()
    assert folder.logs.is_dir()
    after = RayFolder.make()
    assert [entry.name for entry in parent.iterdir()] == [after.path.name]
    after.remove()


def test_what_a_killed_process_left_goes_and_what_lives_stays(parent):
    code = (
        "import os, sys\n"
        "from covertune.data_pipeline import ray_folder\n"
        "ray_folder._is_short = lambda parent: True\n"
        "folder = ray_folder.RayFolder.make()\n"
        "folder.logs.mkdir(parents=True)\n"
        "print(folder.path, flush=True)\n"
        "sys.stdin.read()\n"
    )
    start = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(start, **pipes) as killed, subprocess.Popen(start, **pipes) as living:
        left, used = (process.stdout.readline().strip() for process in (killed, living))
        killed.kill()
        killed.wait()
        others = ["covertune-ray-notes", "covertune-ray-", "covertune-ray-12345678", "ray"]
        for name in others:
            (parent / name).mkdir()
            (parent / name / "mine.txt").touch()
        folder = RayFolder.make()
        there = {str(entry) for entry in parent.iterdir()}
        assert left not in there
        assert there == {used, str(folder.path), *(str(parent / name) for name in others)}
        folder.remove()
        living.stdin.close()


@pytest.mark.parametrize(
    ("bytes_", "is_short"), [(ray_folder._longest_parent(), True), (100, False)]
)
def test_a_path_is_short_enough_for_sockets_or_not(tmp_path, bytes_, is_short):
    from pathlib import Path

    parent = Path("/" + "é" * ((bytes_ - 1) // 2) + "x" * ((bytes_ - 1) % 2))
    assert ray_folder._is_short(parent) == is_short
    longest = f"{parent}/covertune-ray-12345678/ray/{ray_folder.LONGEST_SOCKET}".encode()
    assert (len(longest) <= 107) == is_short


def test_nowhere_to_go_is_one_line(tmp_path, monkeypatch):
    deep = tmp_path / ("deep" * 10)
    deep.mkdir()
    missing = tmp_path / "missing"
    monkeypatch.setattr(ray_folder, "_parents", lambda: iter([missing, deep]))
    message = (
        rf"at most {ray_folder._longest_parent()} bytes; tried {missing} \(No such file or "
        rf"directory\), {deep} \({len(str(deep))} bytes\); set RAY_TMPDIR to one$"
    )
    with pytest.raises(DataError, match=message):
        RayFolder.make()
    assert list(deep.iterdir()) == []
