"""Sources all the way into a store, through real Ray workers: what they say must arrive there."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from covertune.data_pipeline import prepare_store
from covertune.data_pipeline.sources._bookcover import GENRES

pytestmark = pytest.mark.usefixtures("local_ray")


def _covers(store):
    parts = [pq.read_table(part) for part in sorted(store.glob("part-*.parquet"))]
    return {row["source"]: row for row in pa.concat_tables(parts).to_pylist()}


def _rejected(store):
    rows = pq.read_table(store / "rejected.parquet").to_pylist()
    return {row["source"]: row["reason"] for row in rows}


def test_bookcover_keeps_its_official_split(tmp_path, make_cover):
    task = tmp_path / "Task1"
    (task / "224x224").mkdir(parents=True)
    sides = {}
    for side, numbers in {"train": range(10), "test": range(10, 14)}.items():
        with (task / f"book30-listing-{side}.csv").open("w", encoding="latin-1") as file:
            for number in numbers:
                name, genre = f"00000000{number:02}.jpg", number % 2
                row = [name[:10], name, "", "Titel für alle", "", genre, GENRES[genre]]
                csv.writer(file, quoting=csv.QUOTE_ALL).writerow(row)
                (task / "224x224" / name).write_bytes(make_cover(number))
                sides[f"224x224/{name}"] = side
    (task / "224x224" / "0000000004.jpg").unlink()  # no address either
    summary = prepare_store(task, tmp_path / "store")
    assert summary.official_split
    assert _rejected(tmp_path / "store") == {"0000000004.jpg": "file not found"}
    found = _covers(tmp_path / "store")
    assert {name for name, row in found.items() if row["split"] == "test"} == {
        name for name, side in sides.items() if side == "test"
    }
    assert {row["genre"] for row in found.values()} == set(GENRES[:2])


def test_covers_of_one_isbn_are_one_group(tmp_path, make_folder):
    covers = make_folder(tmp_path / "archive" / "book-covers", {"Poetry": 6, "Travel": 6})
    rows = [
        ("dataset/Poetry/0.jpg", "9780306406157"),
        ("dataset/Poetry/1.jpg", "9780306406157"),
        ("dataset/Poetry/9.jpg", "9780000000019"),
        ("dataset/Law/0.jpg", "9780000000026"),
    ]
    text = "img_paths,isbn\n" + "".join(f"{path},{isbn}\n" for path, isbn in rows)
    (tmp_path / "archive" / "main_dataset.csv").write_text(text)
    summary = prepare_store(tmp_path / "archive", tmp_path / "store")
    assert (summary.kept, summary.groups) == (12, 11)
    found = _covers(tmp_path / "store")
    assert found["book-covers/Poetry/0.jpg"]["group"] == found["book-covers/Poetry/1.jpg"]["group"]
    assert _rejected(tmp_path / "store") == {
        "dataset/Poetry/9.jpg": "file not found",
        "dataset/Law/0.jpg": "file not found",
    }
    alone = prepare_store(covers, tmp_path / "alone")
    assert (alone.kept, alone.groups) == (12, 12)
