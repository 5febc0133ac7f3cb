import pytest

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

    def test_images_beside_genre_folders(self, touch, error):
        root = touch("a/A/1.jpg", "a/B/1.jpg", "a/C/1.jpg", "a/D/1.jpg", "a/stray.jpg")
        assert error(root) == (
            f"an image must lie in the folder of its genre, {root}/a has 1 image (such as "
            "stray.jpg) beside A, B, C and 1 more; move them into a genre's folder, or away"
        )

    def test_sides_of_a_split_without_genres(self, touch, error):
        assert error(touch("train/1.jpg", "test/A/2.jpg")).startswith(
            "folders named test, train are sides of a split, not genres, and in "
        )

    def test_columns_are_for_tables(self, tmp_path, error):
        for option in ("genre_column", "image_column", "split_column"):
            assert "is a folder; drop the column names" in error(tmp_path, **{option: "x"})

    def test_a_name_that_is_no_text(self, touch, error, tmp_path):
        touch("A/1.jpg", "B/1.jpg")
        (tmp_path / "A" / "caf\udce9.jpg").touch()
        assert "a file name must be UTF-8, got b'" in error(tmp_path)
