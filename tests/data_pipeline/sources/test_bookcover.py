import csv

import pytest

from covertune.data_pipeline.sources import find_sources
from covertune.data_pipeline.sources._bookcover import GENRES

ROWS = [
    (
        "0001588345",
        "0001588345.jpg",
        "Café, a \x93book\x94",
    ),
    ("158834529X", "158834529X.jpg", "Plain"),
    ("0312949871", "0312949871.jpg", 'With "quotes"'),
]


def _listing(path, rows=ROWS, start=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="latin-1", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        for place, (asin, name, title) in enumerate(rows, start):
            address = f"http://images/{name}"
            author = "" if place % 2 else "Müller"
            writer.writerow([asin, name, address, title, author, place % 30, GENRES[place % 30]])
    with pytest.raises(UnicodeDecodeError):
        path.read_text("utf-8")
    return path


def _facts(found):
    return {s.keys: (s.path, s.source, s.genre, s.split) for s in found.sources}


def test_the_thirty_genres():
    assert (len(GENRES), GENRES[0], GENRES[29]) == (30, "Arts & Photography", "Travel")
    assert len(set(GENRES)) == 30


def test_a_listing_without_images_gives_addresses(tmp_path):
    found = find_sources(_listing(tmp_path / "book32-listing.csv"))
    assert _facts(found) == {
        (f"asin:{asin}",): (f"http://images/{name}", f"http://images/{name}", genre, None)
        for (asin, name, _), genre in zip(ROWS, GENRES, strict=False)
    }


@pytest.mark.parametrize("folder", ["", "224x224/", "images/some/"])
def test_images_beside_the_listing(tmp_path, touch, folder):
    listing = _listing(tmp_path / "book30-listing-train.csv")
    touch(f"{folder}158834529X.jpg")
    by_key = _facts(find_sources(listing))
    assert by_key[("asin:158834529X",)][:2] == (
        str(tmp_path / folder / "158834529X.jpg"),
        f"{folder}158834529X.jpg",
    )
    assert by_key[("asin:0312949871",)][0] == "http://images/0312949871.jpg"


def test_the_usual_folder_is_preferred(tmp_path, touch):
    touch("112x112/158834529X.jpg", "224x224/158834529X.jpg", "thumbs/158834529X.jpg")
    found = find_sources(_listing(tmp_path / "book30-listing-train.csv"))
    assert _facts(found)[("asin:158834529X",)][1] == "224x224/158834529X.jpg"


def test_train_and_test_together_are_the_official_split(tmp_path, touch):
    _listing(tmp_path / "Task1" / "book30-listing-train.csv", ROWS[:2])
    _listing(tmp_path / "Task1" / "book30-listing-test.csv", ROWS[2:], start=2)
    # the labels say less of the same
    (tmp_path / "Task1" / "bookcover30-labels-train.txt").write_text("0001588345.jpg 0\n")
    touch("Task1/224x224/0312949871.jpg", "scripts/run.py")
    found = find_sources(tmp_path)
    assert {s.keys[0]: s.split for s in found.sources} == {
        "asin:0001588345": "train",
        "asin:158834529X": "train",
        "asin:0312949871": "test",
    }
    assert _facts(found)[("asin:0312949871",)][0] == str(
        tmp_path / "Task1" / "224x224" / "0312949871.jpg"
    )
    assert {s.split for s in find_sources(tmp_path / "Task1/book30-listing-train.csv").sources} == {
        None
    }


def test_a_listing_under_another_name_is_known_by_its_first_line(tmp_path):
    assert len(find_sources(_listing(tmp_path / "mine.csv")).sources) == 3


class TestLabels:
    def test_known_genres_and_images(self, tmp_path, touch):
        touch("224x224/1588345297.jpg", "224x224/000000000X.jpg")
        lines = "1588345297.jpg 1\n000000000X.jpg 29\n0000000019.jpg 7\n"
        (tmp_path / "bookcover30-labels-train.txt").write_text(lines)
        (tmp_path / "bookcover30-labels-test.txt").write_text("0000000027.jpg 8\n")
        assert _facts(find_sources(tmp_path)) == {
            ("asin:1588345297",): (
                *(f"{tmp_path}/224x224/1588345297.jpg", "224x224/1588345297.jpg"),
                *("Biographies & Memoirs", "train"),
            ),
            ("asin:000000000X",): (
                *(f"{tmp_path}/224x224/000000000X.jpg", "224x224/000000000X.jpg"),
                *("Travel", "train"),
            ),
            # there is no address to fall back on: refused when it is read
            ("asin:0000000019",): (
                *(f"{tmp_path}/0000000019.jpg", "0000000019.jpg"),
                *("Cookbooks, Food & Wine", "train"),
            ),
            ("asin:0000000027",): (
                *(f"{tmp_path}/0000000027.jpg", "0000000027.jpg"),
                *("Crafts, Hobbies & Home", "test"),
            ),
        }

    def test_genres_of_a_listing_beside_them(self, tmp_path):
        with (tmp_path / "book30-listing-test.csv").open("w") as file:
            file.write('"1","1.jpg","","","","0","Zero"\n"2","2.jpg","","","","1","One"\n')
        labels = tmp_path / "bookcover30-labels-train.txt"
        labels.write_text("a.jpg 0\nb.jpg 1\n")
        assert [s.genre for s in find_sources(labels).sources] == ["Zero", "One"]

    @pytest.mark.parametrize("line", ["1588345297.jpg", "1588345297.jpg 30", "so many words"])
    def test_bad_line(self, tmp_path, error, line):
        (tmp_path / "bookcover30-labels-test.txt").write_text(f"1588345290.jpg 1\n{line}\n")
        assert f"line 2 of {tmp_path}/bookcover30-labels-test.txt is '{line}'" in error(tmp_path)


class TestErrors:
    def test_short_line(self, tmp_path, error):
        listing = _listing(tmp_path / "book30-listing-train.csv")
        listing.write_bytes(listing.read_bytes() + b'"1","2.jpg"\n')
        assert "and no header, line 4 of" in error(listing)
        assert "has 2; repair that line" in error(listing)

    def test_two_sets(self, tmp_path, error):
        _listing(tmp_path / "Task1" / "book30-listing-train.csv")
        _listing(tmp_path / "Task2" / "book32-listing.csv")
        assert error(tmp_path) == (
            "a store is made of one listing, or of a train and a test listing side by side; "
            f"{tmp_path} has Task1/book30-listing-train.csv, Task2/book32-listing.csv; "
            "give one of them, or its folder"
        )

    def test_no_rows(self, tmp_path, error):
        (tmp_path / "book32-listing.csv").touch()
        assert error(tmp_path).endswith("needs rows, " + f"{tmp_path}/book32-listing.csv has none")

    def test_columns(self, tmp_path, error):
        listing = _listing(tmp_path / "book32-listing.csv")
        for options in ({"image_column": "x"}, {"key_columns": ["x"]}):
            assert "have no names; drop the column names" in error(listing, **options)

    def test_one_genre(self, tmp_path, error):
        listing = _listing(tmp_path / "book32-listing.csv", ROWS[:1])
        assert error(listing).endswith("has one, Arts & Photography; give a table with more genres")
