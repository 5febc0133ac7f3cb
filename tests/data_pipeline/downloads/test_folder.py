import os
import time

import pytest

from covertune.data_pipeline.downloads import read_download
from covertune.data_pipeline.downloads._folder import DownloadFolder, Failure
from covertune.data_pipeline.errors import ImageRejected

URL = "https://h/cover?number=1"


@pytest.fixture
def folder(tmp_path):
    return DownloadFolder(tmp_path / "downloads")


def test_what_was_kept_is_read(folder):
    assert folder.state(URL) == "unknown"
    folder.keep(URL, b"picture")
    assert folder.state(URL) == "kept"
    assert read_download(folder.path, URL) == b"picture"
    assert folder.state(URL + "2") == "unknown"
    (file,) = (path for path in folder.path.rglob("*") if path.is_file())
    assert file.parent.name == file.name[:2]


@pytest.mark.parametrize(("final", "state"), [(True, "failed"), (False, "unknown")])
def test_why_there_is_nothing(folder, final, state):
    failure = Failure("HTTP 404", "Not Found", final)
    folder.keep_failure(URL, failure)
    assert (folder.failure(URL), folder.state(URL)) == (failure, state)
    with pytest.raises(ImageRejected, match="HTTP 404: Not Found"):
        folder.read(URL)


def test_success_follows_failure(folder):
    folder.keep_failure(URL, Failure("HTTP 404", final=True))
    folder.keep(URL, b"picture")
    assert (folder.failure(URL), folder.state(URL)) == (None, "kept")


def test_never_asked(folder):
    with pytest.raises(ImageRejected, match="not downloaded: nothing in"):
        folder.read(URL)


def test_a_damaged_note_is_no_note(folder):
    folder.keep_failure(URL, Failure("HTTP 404", final=True))
    (note,) = folder.path.rglob("*.failed")
    for content in ("", "{", "[]", '{"reason": "x"}'):
        note.write_text(content)
        assert (folder.failure(URL), folder.state(URL)) == (None, "unknown")


def test_leftovers_of_killed_processes_go_after_a_while(folder):
    folder.keep(URL, b"picture")
    (kept,) = (path for path in folder.path.rglob("*") if path.is_file())
    old, new = kept.with_name(".a.0f.partial"), kept.with_name(".b.0f.partial")
    for part in (old, new):
        part.touch()
    os.utime(old, (0, time.time() - 4000))
    folder.remove_leftovers()
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, new.name}


def test_nothing_is_left_where_writing_fails(folder):
    folder.path.mkdir()
    folder._place(URL).parent.touch()
    with pytest.raises(OSError):
        folder.keep(URL, b"picture")
    assert [path.name for path in folder.path.iterdir()] == [folder._place(URL).parent.name]
