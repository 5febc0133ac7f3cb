import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import SourceError
from data_pipeline.sources import find_sources, natural_key


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _error(source, **columns):
    with pytest.raises(SourceError) as caught:
        find_sources(source, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestFolder:
    def test_genre_is_the_first_folder(self, tmp_path):
        _touch(tmp_path, "Poetry/a.jpg", "Poetry/deep/er/b.PNG", "Travel/c.webp")
        found = find_sources(tmp_path)
        assert [(s.source, s.genre) for s in found.sources] == [
            ("Poetry/a.jpg", "Poetry"),
            ("Poetry/deep/er/b.PNG", "Poetry"),
            ("Travel/c.webp", "Travel"),
        ]
        assert all(s.path == str(tmp_path / s.source) for s in found.sources)

    def test_natural_order(self, tmp_path):
        _touch(tmp_path, "A/10.jpg", "A/2.jpg", "A/1.jpg", "B/0.jpg")
        names = [s.source for s in find_sources(tmp_path).sources]
        assert names == ["A/1.jpg", "A/2.jpg", "A/10.jpg", "B/0.jpg"]

    def test_other_files_are_counted_and_hidden_ones_are_not(self, tmp_path):
        _touch(tmp_path, "A/1.jpg", "B/1.jpg", "A/Thumbs.db", "list.csv", "A/notes/a.txt")
        _touch(tmp_path, "A/.hidden.jpg", ".git/1.jpg", "A/.cache/1.jpg", ".DS_Store")
        found = find_sources(tmp_path)
        assert (len(found.sources), found.ignored) == (2, 3)

    def test_a_folder_without_images_is_no_genre(self, tmp_path):
        _touch(tmp_path, "A/1.jpg", "B/1.jpg", "C/readme.txt")
        assert {s.genre for s in find_sources(tmp_path).sources} == {"A", "B"}

    def test_missing(self, tmp_path):
        message = _error(tmp_path / "nowhere")
        assert message == (
            f"no covers at {tmp_path / 'nowhere'}: there is no such file or folder; give a folder "
            "with one folder per genre, or a CSV or Parquet table"
        )

    def test_one_genre(self, tmp_path):
        _touch(tmp_path, "Poetry/1.jpg")
        assert _error(tmp_path) == (
            f"a store needs at least 2 genres, {tmp_path} has one, Poetry; "
            "give the folder that holds the genre folders"
        )

    def test_images_without_genre_folders(self, tmp_path):
        _touch(tmp_path, "1.jpg", "2.jpg")
        assert _error(tmp_path).endswith(
            "has no genre with images; put the images into one folder per genre"
        )

    def test_columns_are_for_tables(self, tmp_path):
        assert "is a folder; drop the column names" in _error(tmp_path, genre_column="genre")


def _write_csv(path, text):
    path.write_text(text, encoding="utf-8")
    return path


class TestTable:
    def test_csv_by_the_usual_names(self, tmp_path):
        table = _write_csv(
            tmp_path / "covers.csv",
            '\ufeffName,Category,Path\n"A, b",Poetry,x/2.jpg\nC,Art,1.jpg\n',
        )
        found = find_sources(table)
        assert [(s.path, s.source, s.genre) for s in found.sources] == [
            (str(tmp_path / "1.jpg"), "1.jpg", "Art"),
            (str(tmp_path / "x/2.jpg"), "x/2.jpg", "Poetry"),
        ]

    def test_the_kaggle_table_has_its_paths_beside_addresses(self, tmp_path):
        table = _write_csv(
            tmp_path / "main.csv",
            "image,name,category,img_paths\n"
            "https://a/1.jpg,X,Poetry,p/1.jpg\nhttps://a/2.jpg,Y,Art,p/2.jpg\n",
        )
        assert [s.source for s in find_sources(table).sources] == ["p/1.jpg", "p/2.jpg"]

    def test_columns_by_given_names(self, tmp_path):
        table = _write_csv(tmp_path / "a.csv", "where,path,kind\n1.jpg,no,Art\n2.jpg,no,Poetry\n")
        found = find_sources(table, image_column="where", genre_column="kind")
        assert [(s.source, s.genre) for s in found.sources] == [
            ("1.jpg", "Art"),
            ("2.jpg", "Poetry"),
        ]

    def test_parquet(self, tmp_path):
        columns = {"file": ["b.jpg", "a.jpg", None], "label": [7, 8, None]}
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        found = find_sources(tmp_path / "a.parquet")
        assert [(s.source, s.genre) for s in found.sources] == [
            ("", ""),
            ("a.jpg", "8"),
            ("b.jpg", "7"),
        ]

    def test_genres_that_look_like_numbers_stay_text(self, tmp_path):
        table = _write_csv(tmp_path / "a.csv", "path,genre\n1.jpg,007\n2.jpg,7\n")
        assert [s.genre for s in find_sources(table).sources] == ["007", "7"]

    def test_absolute_paths(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        table = _write_csv(
            _touch(tmp_path, "t/x") / "t" / "a.csv",
            f"path,genre\n{elsewhere}/1.jpg,A\n{tmp_path}/t/2.jpg,B\n",
        )
        by_genre = {s.genre: s for s in find_sources(table).sources}
        assert by_genre["A"].source == f"{elsewhere}/1.jpg"
        assert by_genre["B"].source == "2.jpg"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "needs a column for the image, called one of path, .*; it has: no columns"),
            ("url,genre\n", "for the image, .*it has: url, genre; rename one or .*--image-column"),
            ("path,kind\n", "needs a column for the genre, called one of genre, category, label"),
            ("path,genre\na.jpg\n", "needs its 2 columns, line 2 has 1; repair that line"),
            ("path,genre\na.jpg,Art\n", "at least 2 genres, .* has one, Art; give a table with"),
        ],
    )
    def test_bad_csv(self, tmp_path, text, message):
        with pytest.raises(SourceError, match=message):
            find_sources(_write_csv(tmp_path / "a.csv", text))

    def test_column_that_is_not_there(self, tmp_path):
        table = _write_csv(tmp_path / "a.csv", "path,genre\n")
        assert _error(table, image_column="cover") == (
            f"{table} has no column 'cover' for the image; it has: path, genre"
        )

    def test_not_utf8(self, tmp_path):
        (tmp_path / "a.csv").write_bytes("path,genre\na.jpg,Poésie\n".encode("latin-1"))
        assert "must be UTF-8 text" in _error(tmp_path / "a.csv")

    def test_damaged_parquet(self, tmp_path):
        (tmp_path / "a.parquet").write_bytes(b"PAR1 no parquet")
        assert "as Parquet" in _error(tmp_path / "a.parquet")

    def test_other_kind_of_file(self, tmp_path):
        (tmp_path / "a.xlsx").touch()
        assert "must be a .csv or .parquet file" in _error(tmp_path / "a.xlsx")


@given(st.lists(st.text()), st.randoms())
def test_natural_order_is_total(names, random):
    expected = sorted(names, key=natural_key)
    random.shuffle(names)
    assert sorted(names, key=natural_key) == expected


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_natural_order_counts(a, b):
    assert (natural_key(f"cover{a}.jpg") < natural_key(f"cover{b}.jpg")) == (a < b)
