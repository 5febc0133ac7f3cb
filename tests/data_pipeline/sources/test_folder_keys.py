"""The Kaggle archive "Book Covers", as its zip unpacks."""

import pytest

from covertune.data_pipeline.sources import find_sources

HEADER = (
    "image,name,author,format,book_depository_stars,price,currency,old_price,isbn,category,"
    "img_paths\n"
)
IMAGES = ("Poetry/0000001.jpg", "Poetry/0000002.jpg", "Travel/0000001.jpg", "Travel/0000002.jpg")


def _row(isbn, path, category=None):
    category = category or path.split("/")[1]
    return f'https://a/{isbn}.jpg,"A, B",C D,Hardback,4.5,9.99,$,,{isbn},{category},{path}\n'


ROWS = [
    _row("9780306406157", "dataset/Poetry/0000001.jpg"),
    _row("9780306406157", "dataset/Travel/0000002.jpg", category="Other name"),
    _row("9780000000019", "dataset/Travel/0000001.jpg"),
    _row("9780000000026", "dataset/Travel/0000009.jpg"),
    _row("9780000000033", "dataset/Law/0000001.jpg"),
]
KEYS = {
    "Poetry/0000001.jpg": ("isbn:9780306406157",),
    "Poetry/0000002.jpg": (),
    "Travel/0000001.jpg": ("isbn:9780000000019",),
    "Travel/0000002.jpg": ("isbn:9780306406157",),
}


SHARED = ("isbn:9780306406157",)


@pytest.fixture
def archive(touch, tmp_path):
    touch(*(f"archive/book-covers/{name}" for name in IMAGES))
    return tmp_path / "archive"


def _write(path, rows):
    path.write_text(HEADER + "".join(rows))


def _by_end(found):
    """Keys by genre folder and name, of those that are there."""
    return {"/".join(s.source.split("/")[-2:]): s.keys for s in found.sources if "book-c" in s.path}


def test_folders_decide_and_the_table_adds_keys(archive, tmp_path):
    _write(archive / "main_dataset.csv", ROWS)
    (archive / "readme.txt").touch()
    found = find_sources(tmp_path)
    there = [s for s in found.sources if s.source.startswith("archive/book-covers/")]
    assert _by_end(found) == KEYS
    assert [(s.genre, s.path) for s in there] == [
        (name.partition("/")[0], str(archive / "book-covers" / name)) for name in IMAGES
    ]
    assert found.ignored == 1


def test_rows_without_a_file_are_listed_to_be_refused(archive):
    _write(archive / "main_dataset.csv", ROWS)
    missing = [s for s in find_sources(archive).sources if "dataset/" in s.source]
    assert [(s.source, s.genre, s.keys) for s in missing] == [
        # a genre that was not unzipped is no genre without covers
        ("dataset/Law/0000001.jpg", "", ("isbn:9780000000033",)),
        ("dataset/Travel/0000009.jpg", "Travel", ("isbn:9780000000026",)),
    ]
    assert all(s.path == f"{archive}/{s.source}" for s in missing)


def test_the_inner_folder_has_no_table(archive):
    _write(archive / "main_dataset.csv", ROWS)
    found = find_sources(archive / "book-covers")
    assert [s.source for s in found.sources] == list(IMAGES)
    assert all(not s.keys for s in found.sources)


def test_the_table_in_the_inner_folder(archive):
    _write(archive / "book-covers" / "main_dataset.csv", ROWS)
    assert _by_end(find_sources(archive / "book-covers"))["Poetry/0000001.jpg"] == (
        "isbn:9780306406157",
    )


@pytest.mark.parametrize("path", ["dataset/{}", "{name}", "./{name}", "dataset\\{genre}\\{name}"])
def test_a_table_in_each_genre_folder(archive, path):
    for genre in ("Poetry", "Travel"):
        text = "isbn,img_paths\n"
        for name in ("0000001.jpg", "0000002.jpg"):
            where = path.format(f"{genre}/{name}", genre=genre, name=name)
            text += f"97800{len(genre)}{name[:7]},{where}\n"
        (archive / "book-covers" / genre / "list.csv").write_text(text)
    found = find_sources(archive)
    assert {name: len(keys) for name, keys in _by_end(found).items()} == dict.fromkeys(IMAGES, 1)
    assert (len(found.sources), found.ignored) == (4, 0)


def test_the_table_itself(archive):
    _write(archive / "main_dataset.csv", ROWS)
    found = find_sources(archive / "main_dataset.csv")
    assert [(s.source, s.genre, s.keys) for s in found.sources] == [
        ("book-covers/Poetry/0000001.jpg", "Poetry", SHARED),
        ("book-covers/Travel/0000001.jpg", "Travel", ("isbn:9780000000019",)),
        ("book-covers/Travel/0000002.jpg", "Other name", SHARED),
        ("dataset/Law/0000001.jpg", "Law", ("isbn:9780000000033",)),
        ("dataset/Travel/0000009.jpg", "Travel", ("isbn:9780000000026",)),
    ]
    assert found.sources[0].path == str(archive / "book-covers/Poetry/0000001.jpg")


def test_keys_of_several_rows_and_tables_add_up(archive):
    (archive / "a.csv").write_text("path,isbn\nPoetry/0000001.jpg,9780306406157\n")
    (archive / "b.csv").write_text(
        "path,asin,isbn\nPoetry/0000001.jpg,B000000001,9780306406157\n"
        "Poetry/0000001.jpg,,9780000000019\n"
    )
    keys = {s.source: s.keys for s in find_sources(archive).sources}
    assert keys["book-covers/Poetry/0000001.jpg"] == (
        *("isbn:9780306406157", "asin:B000000001", "isbn:9780000000019"),
    )


def test_placeholders_are_no_keys(archive):
    values = ["nan", "0000000000", "", "None", "n/a", "12"]
    rows = "".join(f"Poetry/0000001.jpg,{value}\n" for value in values)
    (archive / "a.csv").write_text(f"path,isbn\n{rows}")
    assert all(not s.keys for s in find_sources(archive).sources)


def test_other_tables_say_nothing(archive):
    (archive / "notes.csv").write_text("path,stars\nPoetry/9.jpg,5\n")
    (archive / "prices.csv").write_text("isbn,price\n1,5\n")
    (archive / "book-covers" / "empty.csv").touch()
    found = find_sources(archive)
    assert (len(found.sources), found.ignored) == (4, 3)


def test_key_columns_by_given_names(archive, error):
    (archive / "a.csv").write_text("path,work\nPoetry/0000001.jpg,w1\nTravel/0000001.jpg,w1\n")
    keys = {s.source: s.keys for s in find_sources(archive, key_columns=["work"]).sources}
    assert keys["book-covers/Travel/0000001.jpg"] == ("work:w1",)
    assert "has an image column and the key columns series; leave out" in error(
        archive, key_columns=["series"]
    )


def test_encoding(archive, error):
    (archive / "a.csv").write_bytes("path,isbn,author\nx.jpg,1,Poésie\n".encode("latin-1"))
    assert "is not UTF-8 text (near 'x.jpg,1,Po\\xe9sie'); name its encoding" in error(archive)
    assert len(find_sources(archive, encoding="latin-1").sources) == 5
