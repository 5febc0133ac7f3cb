from pathlib import Path

import pytest

from covertune.data_pipeline.errors import StoreError
from covertune.data_pipeline.prepare._writing import new_store_folder


def test_takes_its_name_when_whole(tmp_path):
    with new_store_folder(tmp_path / "deep" / "store") as folder:
        (folder / "part").write_text("covers")
        assert not (tmp_path / "deep" / "store").exists()
    assert (tmp_path / "deep" / "store" / "part").read_text() == "covers"
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["store"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_a_failure(tmp_path, error):
    with pytest.raises(error), new_store_folder(tmp_path / "deep" / "store") as folder:
        (folder / "part").write_text("covers")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path):
    full = OSError(28, "No space left on device")
    with (
        pytest.raises(StoreError, match=r"cannot write the store .*: No space left on device; "),
        new_store_folder(tmp_path / "store") as folder,
    ):
        (folder / "part").write_text("covers")
        raise full
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", ["mkdir", "touch", "dangling"])
def test_existing_out(tmp_path, make):
    out = tmp_path / "store"
    if make == "dangling":
        out.symlink_to("nowhere")
    else:
        getattr(out, make)()
    with pytest.raises(StoreError, match=r"a new folder, .*store exists already; choose another"):
        new_store_folder(out).__enter__()


def test_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write the store .*: Not a directory; choose"):
        new_store_folder(tmp_path / "file" / "store").__enter__()


def test_where_nobody_can_write():
    with pytest.raises(StoreError, match=r"cannot write the store /proc/covertune: "):
        new_store_folder(Path("/proc/covertune")).__enter__()
