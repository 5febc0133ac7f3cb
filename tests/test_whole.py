"""Files and folders that are whole or not there: in a reader's eyes, after a kill, in trouble."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covertune import whole
from covertune.whole import (
    _require_file,
    remove_partials,
    whole_file,
    whole_folder,
    write_whole,
)


def everything_in(folder):
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


@pytest.fixture
def flushed(monkeypatch):
    """Names of what is flushed to the disk, and of what takes its name meanwhile, in order."""
    seen = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def name_of(path):
        stem, dot, suffix = path.name.rpartition(".")
        return f"({suffix})" if dot and stem.startswith(".") else path.name

    def noting_fsync(descriptor):
        seen.append(name_of(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def noting(move):
        def moved(path, target):
            seen.append(f"{name_of(path)} -> {name_of(target)}")
            return move(path, target)

        return moved

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "rename", noting(rename))
    monkeypatch.setattr(Path, "replace", noting(replace))
    return seen


def test_a_file_takes_its_name_in_the_end(tmp_path):
    path = tmp_path / "deep" / "file"
    with whole_file(path) as out:
        out.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert everything_in(tmp_path) == ["deep", "deep/file"]


def test_text_is_written_as_utf_8(tmp_path):
    write_whole(tmp_path / "file", "Schöne Bücher")
    assert (tmp_path / "file").read_bytes() == b"Sch\xc3\xb6ne B\xc3\xbccher"


def test_a_file_has_ordinary_permissions(tmp_path):
    write_whole(tmp_path / "ours", b"")
    (tmp_path / "theirs").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_failed_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="half way"), whole_file(path) as out:
        out.write(b"ne")
        raise RuntimeError("half way")
    assert everything_in(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, flushed):
    write_whole(tmp_path / "made" / "file", b"new")
    assert flushed == ["(partial)", "(partial) -> file", "made", tmp_path.name]


def test_nobody_waits_for_the_disk_unless_it_matters(tmp_path, flushed):
    write_whole(tmp_path / "file", b"new", durable=False)
    with whole_folder(tmp_path / "folder", durable=False) as folder:
        (folder / "a").touch()
    assert flushed == ["(partial) -> file", "(partial) -> folder"]


_HANG = """
import sys, time
from pathlib import Path
from covertune.whole import whole_file, whole_folder
kind, path = sys.argv[1:]
if kind == "file":
    with whole_file(Path(path)) as out:
        out.write(b"half")
        out.flush()
        print("writing", flush=True)
        time.sleep(60)
with whole_folder(Path(path), replace=kind == "replace") as folder:
    (folder / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


class Writer:
    """A process that is in the middle of writing."""

    def __init__(self, kind, path):
        command = [sys.executable, "-c", _HANG, kind, str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "writing\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def test_who_is_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with Writer("file", path):
        assert len(everything_in(tmp_path)) == 2
    assert path.read_bytes() == b"old"
    remove_partials(tmp_path)
    assert everything_in(tmp_path) == ["file"]


def test_who_is_killed_while_writing_leaves_the_old_folder(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").touch()
    with Writer("replace", path):
        pass
    assert everything_in(path) == ["old"]
    with whole_folder(path, replace=True) as folder:
        (folder / "new").touch()
    assert everything_in(tmp_path) == ["out", "out/new"]


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    out = tmp_path / "out"
    with Writer("folder", out):
        with whole_folder(tmp_path / "other"):
            pass
        with whole_folder(out):
            assert len(partials(tmp_path)) == 2  # the other one lives, so its folder stays
        out.rename(tmp_path / "first")
    assert len(partials(tmp_path)) == 1
    assert not out.exists()
    with whole_folder(out):
        pass
    assert partials(tmp_path) == []


def partials(folder):
    return [entry for entry in folder.iterdir() if entry.suffix == ".partial"]


def test_who_is_killed_between_the_two_renames_has_the_old_folder_put_back(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").touch()
    path.rename(whole._beside(path, ".old"))
    monkeypatch.setattr(whole.psutil, "pid_exists", lambda pid: pid != os.getpid())
    with pytest.raises(RuntimeError, match="again"), whole_folder(path, replace=True):
        raise RuntimeError("again")
    assert everything_in(tmp_path) == ["out", "out/old"]


def test_a_folder_takes_its_name_in_the_end(tmp_path):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
        assert not (tmp_path / "out").exists()
    assert everything_in(tmp_path) == ["out", "out/a"]


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, flushed):
    with whole_folder(tmp_path / "made" / "out") as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").touch()
    before = ["(partial)", "file", "below"]
    assert flushed == [*before, "(partial) -> out", "out", "made", tmp_path.name]


def test_a_failed_folder_leaves_nothing_new(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with (
        pytest.raises(RuntimeError, match="half way"),
        whole_folder(tmp_path / "out", replace=True) as folder,
    ):
        (folder / "a").touch()
        raise RuntimeError("half way")
    assert everything_in(tmp_path) == ["out", "out/old"]


def test_folders_that_had_to_be_made_vanish_with_it(tmp_path):
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "made" / "made too" / "out"
    with pytest.raises(RuntimeError, match="half way"), whole_folder(path):
        raise RuntimeError("half way")
    assert everything_in(tmp_path) == ["mine"]


def test_a_folder_gives_way_only_if_told(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(FileExistsError, match="File exists"), whole_folder(tmp_path / "out"):
        pass
    with whole_folder(tmp_path / "out", replace=True) as folder:
        (folder / "new").touch()
    assert everything_in(tmp_path) == ["out", "out/new"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    rename = Path.rename

    def failing(path, target):
        if path.suffix == ".partial":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left"), whole_folder(out, replace=True) as folder:
        (folder / "new").touch()
    assert everything_in(tmp_path) == ["out", "out/old"]


def test_an_empty_folder_stays_the_same_and_is_filled(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    same = out.stat().st_ino
    monkeypatch.chdir(out)
    with whole_folder(Path()) as folder:
        (folder / "a").mkdir()
        assert everything_in(out) == []
    assert out.stat().st_ino == same
    assert everything_in(tmp_path) == ["out", "out/a"]


def test_an_empty_folder_that_somebody_else_fills_meanwhile_is_theirs(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OSError, match="somebody else has put something"), whole_folder(out) as ours:
        (ours / "ours").touch()
        (out / "theirs").touch()
    assert everything_in(tmp_path) == ["out", "out/theirs"]


def test_a_failure_half_way_into_an_empty_folder_takes_back_what_was_moved(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    rename = Path.rename

    def fail_at_b(path, target):
        if path.name == "b":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_at_b)
    with pytest.raises(OSError, match="No space left"), whole_folder(out) as folder:
        (folder / "A").touch()
        for name in ("a", "b"):
            (folder / name).mkdir()
            (folder / name / "file").touch()
    assert everything_in(tmp_path) == ["out"]


def test_partials_are_told_from_what_is_whole(tmp_path):
    killed = (".file.0f.partial", ".file.0f.partial-journal", ".other.0f.partial")
    for name in ("file", ".hidden", *killed):
        (tmp_path / name).touch()
    (tmp_path / ".folder.host.1.0f.old").mkdir()
    remove_partials(tmp_path, "file")
    assert everything_in(tmp_path) == [
        ".folder.host.1.0f.old",
        ".hidden",
        ".other.0f.partial",
        "file",
    ]
    remove_partials(tmp_path)
    assert everything_in(tmp_path) == [".hidden", "file"]


def test_young_partials_may_be_somebodys(tmp_path):
    old, young = tmp_path / ".old.0f.partial", tmp_path / ".young.0f.partial"
    for partial in (old, young):
        partial.touch()
    os.utime(old, (0, time.time() - 4000))
    remove_partials(tmp_path, older_than_s=3600)
    assert everything_in(tmp_path) == [young.name]


def test_a_pipe_is_no_place_for_a_file(tmp_path):
    """Nor is a device, in whose place root could put one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for place in (pipe, tmp_path / "link"):
        with pytest.raises(OSError, match="a device, pipe or socket, not a file"):
            write_whole(place, "text")
    assert pipe.is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_links_of_dev_are_left_alone():
    if not Path("/dev/stdout").is_symlink():
        pytest.skip("no /dev/stdout here")
    with pytest.raises(OSError, match="a device, not a file"):
        _require_file(Path("/dev/stdout"))  # and not by `write_whole`, lest it should not hold
