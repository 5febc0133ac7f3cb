import json
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest

COUNTS = {"train": 14, "val": 3, "test": 3}


def test_prepare_says_what_it_kept_and_what_to_type_next(prepared, store):
    assert (prepared.code, prepared.err) == (0, "")
    for genre in ("Amber", "Birch", "Coral"):
        assert re.search(rf"{genre}\s+14\s+3\s+3\s+20", prepared.out)
    assert "60 covers kept, 0 refused" in " ".join(prepared.out.split())
    assert "covertune search store" in prepared.out
    assert (store / "covers.json").is_file()


def test_inspect_json(covertune, store):
    ended = covertune("data", "inspect", store, "--json")
    assert (ended.code, ended.err) == (0, "")
    report = json.loads(ended.out)
    assert set(report) == {
        *("path", "schema_version", "fingerprint", "source", "settings", "parts", "bytes"),
        *("covers", "counts", "width_px", "height_px", "found", "rejected", "ignored", "reasons"),
        *("pictures", "conflicting", "noise_ceiling", "groups", "group_sizes"),
        *("official_split", "several_genres"),
    }
    assert report["counts"] == dict.fromkeys(("Amber", "Birch", "Coral"), COUNTS)
    assert report["width_px"] == {"min": 48, "median": 48.0, "max": 48}


def test_inspect_table(covertune, store):
    ended = covertune("data", "inspect", store)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"Coral\s+14\s+3\s+3\s+20", ended.out)
    assert re.search(r"all\s+42\s+9\s+9\s+60", ended.out)


def test_bad_files_are_refused_by_name_and_the_rest_is_prepared(
    covertune, covers, tmp_path, local_ray
):
    source = tmp_path / "covers"
    shutil.copytree(covers, source)
    whole = (covers / "Amber" / "000.jpg").read_bytes()
    (source / "Amber" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "Birch" / "letter.jpg").write_text("Dear reader, this is no picture.\n")
    (source / "Coral" / "nothing.jpg").touch()
    ended = covertune("data", "prepare", source, tmp_path / "store")
    assert (ended.code, ended.err) == (0, "")
    assert "60 covers kept, 3 refused" in " ".join(ended.out.split())
    rejected = pq.read_table(tmp_path / "store" / "rejected.parquet").to_pylist()
    reasons = {row["source"]: row["reason"] for row in rejected}
    assert set(reasons) == {"Amber/cut.jpg", "Birch/letter.jpg", "Coral/nothing.jpg"}
    assert "truncated" in reasons["Amber/cut.jpg"]
    assert "empty" in reasons["Coral/nothing.jpg"]
    for reason in reasons.values():
        assert f"refused: {reason}" in ended.out


def test_prepare_says_what_the_labels_are_worth(covertune, covers, tmp_path, local_ray):
    source = shutil.copytree(covers, tmp_path / "covers")
    for number in range(3):
        shutil.copy(source / "Amber" / f"00{number}.jpg", source / "Birch" / f"copy{number}.jpg")
    ended = covertune("data", "prepare", source, tmp_path / "store", "--conflicts", "first")
    assert (ended.code, ended.err) == (0, "")
    said = " ".join(ended.out.split())
    assert (
        "60 distinct pictures found, in 60 groups; 3 in several genres, kept in the genre that came"
        in said
    )
    assert "top-1 possible at best: 0.952 on the labels as found, 1.000 as kept" in said
    exact = covertune("data", "prepare", source, tmp_path / "exact", "--no-near-copies")
    assert "pictures found, in 57 groups; 3 in several genres, refused" in " ".join(
        exact.out.split()
    )


def test_a_genre_with_too_few_covers_is_asked_for(covertune, covers, tmp_path, local_ray):
    ended = covertune("data", "prepare", covers, tmp_path / "store", "--min-covers", "21")
    assert ended.code == 1
    assert "21" in ended.err
    assert not (tmp_path / "store").exists()


def test_conflicts_are_one_of_four(covertune, covers, tmp_path):
    ended = covertune("data", "prepare", covers, tmp_path / "store", "--conflicts", "last")
    assert ended.code == 2
    assert "'last' is not one of 'drop', 'first', 'keep', 'multi'" in " ".join(ended.err.split())


def test_sample_draws_covers_that_prepare_takes(covertune, tmp_path):
    out = tmp_path / "drawn"
    ended = covertune("data", "sample", out, "--covers-per-genre", 3, "--genres", 2)
    assert (ended.code, ended.err) == (0, "")
    assert len(list(out.glob("*/*.jpg"))) == 6
    assert f"covertune data prepare {out}" in ended.out.replace("\n", "")


def test_sample_keeps_out_of_a_folder_that_holds_something(refused, tmp_path):
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "mine.txt").write_text("kept")
    assert "drawn" in refused("data", "sample", tmp_path / "drawn", "--genres", 2)


def test_missing_covers(refused, tmp_path):
    message = refused("data", "prepare", tmp_path / "nowhere", tmp_path / "store")
    assert "no covers at" in message
    assert str(tmp_path / "nowhere") in message


def test_one_genre(refused, covers, tmp_path):
    shutil.copytree(covers / "Amber", tmp_path / "covers" / "Amber")
    message = refused("data", "prepare", tmp_path / "covers", tmp_path / "store")
    assert "at least 2 genres" in message
    assert "Amber" in message


def test_genre_with_two_covers(refused, covers, tmp_path, local_ray):
    source = tmp_path / "covers"
    shutil.copytree(covers, source)
    for cover in sorted((source / "Birch").iterdir())[2:]:
        cover.unlink()
    message = refused("data", "prepare", source, tmp_path / "store")
    assert "Birch" in message
    assert "at least 3" in message
    assert "2" in message


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("covers.csv", "path,genre\n", (), "needs rows"),
        ("covers.csv", "path,genre\n1.jpg,A\n", (), "at least 2 genres"),
        ("covers.csv", "path,kind\n1.jpg,A\n", (), "name it with --genre-column"),
        ("covers.csv", "path,genre\n1.jpg,A\n", ("--image-column", "x"), "no column 'x'"),
        ("covers.csv", "path,genre\n1.jpg,A\n", ("--key-column", "x"), "no column 'x'"),
        ("covers.csv", "path,genre\n1.jpg,Caf\xe9\n", (), "--encoding latin-1"),
        ("covers.csv", "path,genre\n1.jpg,A\n", ("--encoding", "x"), "unknown encoding 'x'"),
        ("covers.xlsx", "path", (), "must be a .csv, .tsv, .parquet"),
        ("covers.jsonl", "path\n", (), "must be a JSON object, line 1"),
    ],
)
def test_bad_tables(refused, tmp_path, name, content, options, message):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert message in refused("data", "prepare", tmp_path / name, tmp_path / "store", *options)


def test_addresses_and_what_it_says_of_downloads(
    covertune, covers, tmp_path, local_ray, monkeypatch
):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=covers)) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        base = f"http://127.0.0.1:{server.server_port}"
        names = [f"{genre}/{n:03}.jpg" for genre in ("Amber", "Coral") for n in range(5)]
        rows = [f"{base}/{name}\t{name[:5]}\n" for name in [*names, "Amber/999.jpg"]]
        (tmp_path / "covers.tsv").write_text("cover\tkind\n" + "".join(rows), encoding="utf-16")
        columns = ("--image-column", "cover", "--genre-column", "kind", "--encoding", "utf-16")
        ended = covertune(
            *("data", "prepare", tmp_path / "covers.tsv", tmp_path / "store", *columns),
            *("--downloads", tmp_path / "kept", "--per-host", 2),
        )
        server.shutdown()
    assert (ended.code, ended.err) == (0, "")
    said = " ".join(ended.out.split())
    assert "10 downloaded, 0 had been before, 1 failed; kept in" in said
    assert re.search(r"refused: HTTP 404\s+1", ended.out)
    assert (tmp_path / "kept").is_dir()


def test_an_address_of_a_file_system(covertune, covers, tmp_path, local_ray):
    ended = covertune("data", "prepare", covers.as_uri(), tmp_path / "store")
    assert (ended.code, ended.err) == (0, "")
    assert "60 covers kept, 0 refused" in " ".join(ended.out.split())


def test_store_exists(refused, covers, tmp_path):
    (tmp_path / "store").mkdir()
    assert "exists" in refused("data", "prepare", covers, tmp_path / "store")


def test_store_below_a_file(refused, covers, tmp_path):
    (tmp_path / "file").write_text("in the way")
    message = refused("data", "prepare", covers, tmp_path / "file" / "store")
    assert str(tmp_path / "file") in message


@pytest.mark.parametrize("what", ["missing", "no store", "other schema", "damaged"])
def test_inspect_refuses_what_is_no_store(refused, store, tmp_path, what):
    folder = tmp_path / "given"
    if what == "no store":
        folder.mkdir()
    elif what != "missing":
        shutil.copytree(store, folder)
        manifest = json.loads((folder / "covers.json").read_text())
        manifest["schema_version"] += 1
        text = json.dumps(manifest) if what == "other schema" else "{"
        (folder / "covers.json").write_text(text)
    message = refused("data", "inspect", folder, "--json")
    assert str(folder) in message
    if what == "other schema":
        assert "schema" in message
