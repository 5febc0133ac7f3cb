import contextlib
import errno
import os
from pathlib import Path

import pytest

from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.sources import find_sources


def _listed(found):
    return [(s.source, s.genre) for s in found.sources]


def test_genre_is_the_first_folder(touch):
    root = touch("Poetry/a.jpg", "Poetry/deep/er/b.PNG", "Travel/c.webp")
    found = find_sources(root)
    assert _listed(found) == [
        ("Poetry/a.jpg", "Poetry"),
        ("Poetry/deep/er/b.PNG", "Poetry"),
        ("Travel/c.webp", "Travel"),
    ]
    assert all(s.path == str(root / s.source) for s in found.sources)
    assert all((s.keys, s.split) == ((), None) for s in found.sources)


def test_a_relative_folder_gives_absolute_paths(touch, monkeypatch):
    root = touch("covers/A/1.jpg", "covers/B/1.jpg")
    monkeypatch.chdir(root)
    assert [s.path for s in find_sources("covers").sources] == [
        str(root / "covers/A/1.jpg"),
        str(root / "covers/B/1.jpg"),
    ]


def test_natural_order(touch):
    root = touch("A/10.jpg", "A/2.jpg", "A/1.jpg", "B/0.jpg")
    names = [s.source for s in find_sources(root).sources]
    assert names == ["A/1.jpg", "A/2.jpg", "A/10.jpg", "B/0.jpg"]


def test_other_files_are_counted_and_hidden_ones_are_not(touch):
    touch("A/1.jpg", "B/1.jpg", "A/Thumbs.db", "list.csv", "A/notes/a.txt")
    root = touch("A/.hidden.jpg", ".git/1.jpg", "A/.cache/1.jpg", ".DS_Store", "A/.jpg")
    found = find_sources(root)
    assert (len(found.sources), found.ignored) == (2, 3)


def test_a_folder_without_images_is_no_genre(touch):
    root = touch("A/1.jpg", "B/1.jpg", "C/readme.txt")
    assert {s.genre for s in find_sources(root).sources} == {"A", "B"}


def test_links_to_folders_are_followed_but_not_back(touch):
    root = touch("covers/A/1.jpg", "elsewhere/2.jpg")
    (root / "covers" / "B").symlink_to(root / "elsewhere")
    (root / "covers" / "A" / "up").symlink_to(root / "covers")
    assert _listed(find_sources(root / "covers")) == [("A/1.jpg", "A"), ("B/2.jpg", "B")]


class TestWhereTheGenresAre:
    def test_below_the_folders_of_an_archive(self, touch):
        root = touch(
            "archive/book-covers/A/1.jpg", "archive/book-covers/B/1.jpg", "__MACOSX/x/._1.jpg"
        )
        assert _listed(find_sources(root)) == [
            ("archive/book-covers/A/1.jpg", "A"),
            ("archive/book-covers/B/1.jpg", "B"),
        ]

    def test_files_that_are_no_images_do_not_stop_the_descent(self, touch):
        root = touch("a/readme.txt", "a/b/A/1.jpg", "a/b/B/1.jpg", "LICENSE")
        assert {s.genre for s in find_sources(root).sources} == {"A", "B"}

    def test_sides_of_a_split(self, touch):
        names = ("train/A/1.jpg", "train/B/1.jpg", "val/A/2.jpg", "Test/B/deep/3.jpg")
        found = find_sources(touch(*(f"set/{name}" for name in names)))
        assert {(s.source, s.genre, s.split) for s in found.sources} == {
            ("set/train/A/1.jpg", "A", "train"),
            ("set/train/B/1.jpg", "B", "train"),
            ("set/val/A/2.jpg", "A", "train"),
            ("set/Test/B/deep/3.jpg", "B", "test"),
        }


class TestErrors:
    def test_missing(self, tmp_path, error):
        assert error(tmp_path / "nowhere") == (
            f"no covers at {tmp_path / 'nowhere'}: there is no such file or folder; give a folder "
            "with one folder per genre, or a table (.csv, .tsv, .parquet, .jsonl, .ndjson)"
        )

    @pytest.mark.parametrize("names", [["Poetry/1.jpg"], ["a/Poetry/1.jpg", "a/Poetry/x/2.jpg"]])
    def test_one_genre(self, touch, error, names):
        root = touch(*names)
        assert error(root) == (
            f"a store needs at least 2 genres, {root} has one, Poetry; "
            "give the folder that holds the genre folders"
        )

    def test_images_without_genre_folders(self, touch, error):
        assert error(touch("1.jpg", "2.jpg")).endswith(
            "has no genre with images; put the images into one folder per genre"
        )

    def test_no_images(self, touch, error):
        assert "has no genre with images" in error(touch("A/1.txt"))

    def test_a_table_beside_the_images_is_pointed_to(self, touch, error):
        root = touch("images/1.jpg", "covers.csv")
        assert error(root).endswith(
            f"give the folder that holds the genre folders, or give the table {root}/covers.csv"
        )

    def test_images_beside_one_folder(self, touch, error):
        root = touch("a/A/1.jpg", "a/stray.jpg", "b/1.txt", "a/A/b/c.jpg", "z.md")
        assert error(root).startswith(f"a store needs at least 2 genres, {root} has one, a;")

    def test_sides_of_a_split_without_genres(self, touch, error):
        assert error(touch("train/1.jpg", "test/A/2.jpg")).startswith(
            "folders named test, train are sides of a split, not genres, and in "
        )

    def test_columns_are_for_tables(self, tmp_path, error):
        for option in ("genre_column", "image_column", "split_column"):
            assert "is a folder; drop the column names" in error(tmp_path, **{option: "x"})


class TestLeftOut:
    """What becomes no cover is told by name and number, and the rest goes on."""

    def test_images_beside_genre_folders(self, touch):
        root = touch("a/A/1.jpg", "a/B/1.jpg", "a/C/1.jpg", *(f"a/stray{n}.jpg" for n in range(5)))
        found = find_sources(root)
        assert [s.genre for s in found.sources] == ["A", "B", "C", *[""] * 5]
        assert found.notes == (
            "refused, 5: an image must lie in the folder of its genre, a/stray0.jpg, "
            "a/stray1.jpg, a/stray2.jpg and 2 more do not",
        )

    def test_a_side_of_a_split_that_is_flat(self, touch):
        """As archives of contests have them: nobody knows the genres of their test images."""
        root = touch("train/A/1.jpg", "train/B/2.jpg", "test/3.jpg", "test/4.jpg", "sheet.jpg")
        found = find_sources(root)
        assert [(s.source, s.genre, s.split) for s in found.sources] == [
            ("sheet.jpg", "", "train"),
            ("test/3.jpg", "", "test"),
            ("test/4.jpg", "", "test"),
            ("train/A/1.jpg", "A", "train"),
            ("train/B/2.jpg", "B", "train"),
        ]
        assert found.notes[0].startswith("refused, 3: an image must lie in the folder of its genre")

    def test_a_flat_folder_beside_one_that_holds_the_genres(self, touch):
        root = touch("my covers/A/1.jpg", "my covers/B/1.jpg", "my covers/C/1.jpg", "samples/1.jpg")
        found = find_sources(root)
        assert {s.genre for s in found.sources} == {"my covers", "samples"}
        assert found.notes == (
            "my covers is taken for one genre, like samples beside it, but has its images in 3 "
            f"folders (A, B, C); if these are the genres, give '{root}/my covers'",
        )

    def test_volumes_of_genres_are_no_genres(self, touch):
        root = touch("Crime/1.jpg", "Crime/more/2.jpg", "Poetry/I/1.jpg", "Travel/1.jpg")
        assert find_sources(root).notes == ()

    def test_pictures_of_kinds_that_cannot_be_read(self, touch):
        many = [f"A/{n}.cr2" for n in range(120)]
        found = find_sources(touch("A/1.jpg", "B/1.jpg", *many, "B/x.psd", "README", "b\n.\x1b[2J"))
        assert (len(found.sources), found.ignored) == (2, 123)
        assert found.notes == (
            "passed over, 123: no names of pictures that can be read, or of tables of use here: "
            r"120 .cr2, 1 .\x1b[2j, 1 .psd, 1 without an ending; such as A/0.cr2, A/1.cr2, "
            "A/10.cr2 and 120 more",
        )

    def test_names_that_are_no_text(self, touch):
        root = touch("A/1.jpg", "B/1.jpg")
        (root / "A" / "caf\udce9.jpg").touch()
        found = find_sources(root)
        assert len(found.sources) == 2
        assert found.notes == (r"left out, 1: a name that is not UTF-8; rename it: A/caf\xe9.jpg",)

    def test_links_to_themselves(self, touch):
        root = touch("A/1.jpg", "B/1.jpg")
        for loop in ("loop", "A/2.jpg"):
            (root / loop).symlink_to((root / loop).name)
        found = find_sources(root)
        assert [s.source for s in found.sources] == ["A/1.jpg", "B/1.jpg"]
        assert found.notes == (
            "left out, 2: a link that cannot be followed (Too many levels of symbolic links): "
            "loop, A/2.jpg",
        )

    def test_a_folder_that_cannot_be_read(self, touch):
        """Its path is longer than the system takes; root may read any other."""
        root = touch("A/1.jpg", "B/1.jpg")
        with contextlib.chdir(root / "B"):
            for _ in range(22):
                Path("d" * 200).mkdir()
                os.chdir("d" * 200)
            Path("2.jpg").touch()
        found = find_sources(root)
        assert [s.source for s in found.sources] == ["A/1.jpg", "B/1.jpg"]
        (note,) = found.notes
        assert note.startswith("left out, 1: a folder that cannot be read (File name too long): B/")
        assert len(note) < 200

    def test_a_folder_of_somebody_else(self, touch, monkeypatch):
        root = touch("A/1.jpg", "B/1.jpg", "C/1.jpg")
        scandir = os.scandir

        def refuse(path):
            if str(path).endswith("/C"):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        found = find_sources(root)
        assert [s.genre for s in found.sources] == ["A", "B"]
        assert found.notes == ("left out, 1: a folder that cannot be read (Permission denied): C/",)

    def test_the_folder_itself(self, tmp_path):
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(SourceError, match="loop") as caught:
            find_sources(tmp_path / "loop")
        assert "\n" not in str(caught.value)
