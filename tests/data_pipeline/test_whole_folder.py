import signal
import subprocess
import sys
from pathlib import Path

import pytest

from covertune.data_pipeline.whole_folder import whole_folder


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
    assert list(tmp_path.rglob("*")) == [out]


_HANG = """
import sys, time
from pathlib import Path
from covertune.data_pipeline.whole_folder import whole_folder
with whole_folder(Path(sys.argv[1])) as folder:
    (folder / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", _HANG, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        with whole_folder(tmp_path / "other"):
            pass
        with whole_folder(out):
            assert len(_partials(tmp_path)) == 2  # the other one lives, so its folder stays
        (tmp_path / "out").rename(tmp_path / "first")
        process.send_signal(signal.SIGKILL)
    assert len(_partials(tmp_path)) == 1
    assert not out.exists()
    with whole_folder(out):
        pass
    assert _partials(tmp_path) == []


def _partials(folder):
    return [entry for entry in folder.iterdir() if ".partial." in entry.name]
