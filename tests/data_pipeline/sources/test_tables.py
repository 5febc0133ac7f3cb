import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.sources import find_sources, natural_key
from covertune.data_pipeline.sources._columns import keys_of


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

    def test_absolute_paths(self, tmp_path, touch):
        elsewhere = tmp_path / "elsewhere"
        table = _write_csv(
            touch("t/x") / "t" / "a.csv",
            f"path,genre\n{elsewhere}/1.jpg,A\n{tmp_path}/t/2.jpg,B\n",
        )
        by_genre = {s.genre: s for s in find_sources(table).sources}
        assert by_genre["A"].source == f"{elsewhere}/1.jpg"
        assert by_genre["B"].source == "2.jpg"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "needs a column for the image, called one of path, .*; it has: no columns"),
            (
                "link,genre\n",
                "for the image, .*it has: link, genre; rename one or .*--image-column",
            ),
            ("path,kind\n", "needs a column for the genre, called one of genre, category, label"),
            ("path,genre\na.jpg\n", "needs its 2 columns, line 2 has 1; repair that line"),
            ("path,genre\na.jpg,Art\n", "at least 2 genres, .* has one, Art; give a table with"),
        ],
    )
    def test_bad_csv(self, tmp_path, text, message):
        with pytest.raises(SourceError, match=message):
            find_sources(_write_csv(tmp_path / "a.csv", text))

    def test_column_that_is_not_there(self, tmp_path, error):
        table = _write_csv(tmp_path / "a.csv", "path,genre\n")
        assert error(table, image_column="cover") == (
            f"{table} has no column 'cover' for the image; it has: path, genre"
        )

    def test_not_utf8(self, tmp_path, error):
        table = tmp_path / "a.csv"
        table.write_bytes("path,genre\na.jpg,Poésie\nb.jpg,Art\n".encode("latin-1"))
        assert error(table) == (
            f"{table} is not UTF-8 text (near 'a.jpg,Po\\xe9sie'); name its encoding, such as "
            "--encoding latin-1 or --encoding cp1252"
        )
        found = find_sources(table, encoding="latin-1")
        assert [s.genre for s in found.sources] == ["Poésie", "Art"]
        assert "is not ascii text" in error(table, encoding="ascii")
        assert "unknown encoding 'klingon'" in error(table, encoding="klingon")

    def test_damaged_parquet(self, tmp_path, error):
        (tmp_path / "a.parquet").write_bytes(b"PAR1 no parquet")
        assert "as Parquet" in error(tmp_path / "a.parquet")
        assert "is Parquet; leave it out" in error(tmp_path / "a.parquet", encoding="latin-1")

    def test_other_kind_of_file(self, tmp_path, error):
        (tmp_path / "a.xlsx").touch()
        assert "must be a .csv, .tsv, .parquet, .jsonl, .ndjson file" in error(tmp_path / "a.xlsx")

    @pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
    def test_no_rows(self, tmp_path, error, name):
        table = tmp_path / name
        if name == "a.parquet":
            pq.write_table(pa.table({"path": pa.array([], "string"), "genre": []}), table)
        else:
            table.write_text({"a.csv": "path,genre\n", "a.tsv": "path\tgenre\n"}.get(name, ""))
        assert ("has no columns" if name == "a.jsonl" else "has none below its header") in (
            error(table).replace("it has: no columns", "has no columns")
        )


class TestOtherFormats:
    def test_tsv(self, tmp_path):
        table = _write_csv(tmp_path / "a.TSV", "path\tgenre\na, b.jpg\tArt\nc.jpg\tPoetry\n")
        assert [s.source for s in find_sources(table).sources] == ["a, b.jpg", "c.jpg"]

    @pytest.mark.parametrize("suffix", ["jsonl", "ndjson"])
    def test_json_lines(self, tmp_path, suffix):
        rows = [
            '{"path": "2.jpg", "genre": "Art", "isbn": 9780306406157}',
            "",
            '{"genre": "Poetry", "more": [1], "path": "1.jpg", "asin": "000000000X"}',
            '{"genre": "Poetry"}',
        ]
        table = _write_csv(tmp_path / f"a.{suffix}", "\n".join(rows))
        assert [(s.source, s.genre, s.keys) for s in find_sources(table).sources] == [
            ("", "Poetry", ()),
            ("1.jpg", "Poetry", ("asin:000000000X",)),
            ("2.jpg", "Art", ("isbn:9780306406157",)),
        ]

    def test_bad_json_line(self, tmp_path, error):
        table = _write_csv(tmp_path / "a.jsonl", '{"path": "2.jpg", "genre": "A"}\n[1]\n')
        assert error(table).endswith("line 2 is none; repair that line")

    def test_parquet_with_isbns_as_floats(self, tmp_path):
        columns = {"path": ["a.jpg", "b.jpg"], "genre": ["A", "B"], "isbn": [9780306406157.0, None]}
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        found = find_sources(tmp_path / "a.parquet")
        assert [s.keys for s in found.sources] == [("isbn:9780306406157",), ()]


class TestAddresses:
    def test_urls_and_uris_stay_as_they_are(self, tmp_path):
        inside = (tmp_path / "x.jpg").as_uri()
        table = _write_csv(
            tmp_path / "a.csv", f"image_url,genre\nhttps://h/1.jpg?x=1,A\n{inside},B\n"
        )
        assert {(s.path, s.source) for s in find_sources(table).sources} == {
            ("https://h/1.jpg?x=1", "https://h/1.jpg?x=1"),
            (inside, inside),
        }

    def test_missing_files_and_addresses_in_another_column(self, tmp_path, touch, error):
        text = "image,category,img_paths\nhttps://a/1.jpg,A,p/1.jpg\nhttps://a/2.jpg,B,p/2.jpg\n"
        table = _write_csv(tmp_path / "a.csv", text)
        assert error(table) == (
            f"none of the 2 files that column 'img_paths' of {table} names is there, but column "
            "'image' has web addresses; put the images beside the table, or download them with "
            "--image-column=image"
        )
        found = find_sources(table, image_column="image")
        assert [s.path for s in found.sources] == ["https://a/1.jpg", "https://a/2.jpg"]
        touch("p/1.jpg")  # one is there: the other is refused when it is read
        assert [s.source for s in find_sources(table).sources] == ["p/1.jpg", "p/2.jpg"]

    def test_a_web_address_as_source(self, error):
        assert "download the table itself" in error("https://h/covers.csv")


class TestPathsOfAnotherMachine:
    def test_files_are_found_by_the_ends_of_paths(self, tmp_path, touch):
        touch("data/A/1.jpg", "data/B/1.jpg", "data/B/2.jpg", "x/B/2.jpg", "data/B/deep/3.jpg")
        rows = {
            "/home/she/A/1.jpg": "data/A/1.jpg",
            "set/B/1.jpg": "data/B/1.jpg",
            "C:\\set\\B\\1.jpg": "data/B/1.jpg",
            "old/x/B/2.jpg": "x/B/2.jpg",  # the longest end
            "old/B/2.jpg": "old/B/2.jpg",  # could be either: neither is taken
            "data/B/3.jpg": "data/B/3.jpg",  # its folder is there and has no such file
            "3.jpg": "data/B/deep/3.jpg",
            "1.jpg": "1.jpg",  # could be either
            "new/3.jpg": "new/3.jpg",  # a name alone is not enough where there are folders
        }
        lines = [f"{path},{'AB'[place % 2]}\n" for place, path in enumerate(rows)]
        table = _write_csv(tmp_path / "a.csv", "path,genre\n" + "".join(lines))
        assert sorted(s.source for s in find_sources(table).sources) == sorted(rows.values())


class TestSplitsAndKeys:
    def test_split_column(self, tmp_path, error):
        rows = "1.jpg,A,Train\n2.jpg,B,test\n3.jpg,B,validation\n4.jpg,B,\n"
        table = _write_csv(tmp_path / "a.csv", f"path,genre,fold\n{rows}")
        found = find_sources(table, split_column="fold")
        assert [s.split for s in found.sources] == ["train", "test", "train", None]
        assert {s.split for s in find_sources(table).sources} == {None}
        assert "has no column 'side' for the split" in error(table, split_column="side")
        assert "has 'a'; change it or leave out --split-column" in error(
            table, split_column="genre"
        )

    def test_key_columns(self, tmp_path, error):
        rows = "1.jpg,A,0-306-40615-2,w1,9780306406157\n2.jpg,B,nan,,x\n"
        table = _write_csv(tmp_path / "a.csv", f"path,genre,ISBN,work,isbn13\n{rows}")
        usual = [s.keys for s in find_sources(table).sources]
        assert usual == [("isbn:0306406152", "isbn:9780306406157"), ()]
        given = find_sources(table, key_columns=["work", "ISBN"]).sources
        assert [s.keys for s in given] == [("work:w1", "isbn:0306406152"), ()]
        assert "has no column 'series' for the key" in error(table, key_columns=["series"])

    def test_a_key_counts_once(self):
        assert keys_of(["isbn", "isbn13"], ["9780306406157", "978-0306406157"]) == (
            "isbn:9780306406157",
        )


@given(st.lists(st.text()), st.randoms())
def test_natural_order_is_total(names, random):
    expected = sorted(names, key=natural_key)
    random.shuffle(names)
    assert sorted(names, key=natural_key) == expected


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_natural_order_counts(a, b):
    assert (natural_key(f"cover{a}.jpg") < natural_key(f"cover{b}.jpg")) == (a < b)


ODD = {
    "gopher://h/x.jpg": "unknown kind of address gopher://; known: file, s3, gs, hdfs",
    "FTP://h/x.jpg": "unknown kind of address ftp://; known: ",
    "file+x-1.y://h/x": "unknown kind of address file+x-1.y://; known: ",
    f"{'a' * 900}://h/x": f"unknown kind of address {'a' * 19}…://; known: ",
    "s3://127.0.0.1/x.jpg": "",
    "s3://[::1/x.jpg": "Invalid IPv6 URL",
    "s3://covers/x.jpg?zone=us": "unknown option 'zone' of s3://; known: ",
    "s3://covers/x.jpg?region=us-east-1&endpoint_override=169.254.169.254": "a link-local address "
    "is never asked, got the endpoint 169.254.169.254",
    "s3://c/x.jpg?region=us-east-1&endpoint_override=http://169.254.169.254:80": "a link-local",
    "hdfs://127.0.0.1:1/x.jpg": "",
}  # fmt: skip


def test_odd_addresses_are_refused_by_themselves(tmp_path, touch, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is asked elsewhere
    touch("1.jpg", "2.jpg")
    rows = ["1.jpg,A", "2.jpg,B", *(f"{address},A" for address in ODD)]
    (tmp_path / "t.csv").write_text("\n".join(["path,genre", *rows]))
    problems = {s.path: s.problem for s in find_sources(tmp_path / "t.csv").sources}
    assert len(problems) == 2 + len(ODD)
    assert not problems[f"{tmp_path}/1.jpg"]
    for address, told in ODD.items():
        assert problems[address].startswith(told)
        assert problems[address]
        assert len(problems[address]) < 400


def test_where_no_address_can_be_asked_it_is_said_at_once(tmp_path, error):
    (tmp_path / "t.csv").write_text("path,genre\ngopher://h/1,A\ngopher://h/2,B\n")
    assert error(tmp_path / "t.csv") == (
        f"cannot read {tmp_path / 't.csv'}: unknown kind of address gopher://; known: file, s3, "
        "gs, hdfs"
    )


def test_a_table_of_thousands_of_columns_is_one_short_line(tmp_path, error):
    names = [f"\x1b[2Jcolumn {n}" for n in range(3000)]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n")
    told = error(tmp_path / "t.csv")
    assert r"\x1b[2Jcolumn 0, " in told
    assert "and 2988 more; rename one" in told
    assert len(told) < 800
