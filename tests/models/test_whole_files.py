import pytest

from covertune.models.whole_files import whole_file, whole_folder


def test_a_file_takes_its_name_in_the_end(tmp_path):
    path = tmp_path / "deep" / "file"
    with whole_file(path) as out:
        out.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_failed_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="half way"), whole_file(path) as out:
        out.write(b"ne")
        raise RuntimeError("half way")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


def test_a_folder_takes_its_name_in_the_end(tmp_path):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_folder_leaves_nothing_new(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with (
        pytest.raises(RuntimeError, match="half way"),
        whole_folder(tmp_path / "out", replace=True) as folder,
    ):
        (folder / "a").touch()
        raise RuntimeError("half way")
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["out", "out/old"]


def test_a_folder_gives_way_only_if_told(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "out"):
        pass
    with whole_folder(tmp_path / "out", replace=True) as folder:
        (folder / "new").touch()
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["out", "out/new"]
