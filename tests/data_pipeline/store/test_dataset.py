"""A split as a Ray Dataset."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline import StoreError
from covertune.data_pipeline.store.datasource import CoverDatasource
from covertune.data_pipeline.store.schema import COVER_SCHEMA

PAGE = Path(__file__).parents[3] / "docs/reference/store.md"

pytestmark = pytest.mark.usefixtures("local_ray")


def test_rows_are_the_covers_in_the_stores_order(store):
    for split in ("train", "val", "test"):
        dataset = store.dataset(split)
        assert dataset.schema().base_schema == COVER_SCHEMA
        assert dataset.count() == store.count(split)
        rows = dataset.take_all()
        images, labels_N = store.read_images(split)
        assert [row["image"] for row in rows] == images
        assert [row["label"] for row in rows] == labels_N.tolist()
        assert {row["split"] for row in rows} == {split}


def test_some_columns_are_read_alone(store):
    dataset = store.dataset("val", ["label", "cover_id"])
    assert dataset.columns() == ["label", "cover_id"]
    assert set(dataset.take(1)[0]) == {"label", "cover_id"}


def test_anybody_computes_with_it(store):
    """The mean colour of each genre, in the order of the store and by Ray's own grouping."""

    def mean_colour(batch):
        pictures = [Image.open(io.BytesIO(data)) for data in batch["image"]]
        return {
            "label": batch["label"],
            "red": [np.asarray(one)[..., 0].mean() for one in pictures],
        }

    told = store.dataset("train", ["image", "label"]).map_batches(mean_colour, batch_size=7)
    images, labels_N = store.read_images("train")
    expected = [np.asarray(Image.open(io.BytesIO(one)))[..., 0].mean() for one in images]
    rows = told.take_all()
    assert [row["label"] for row in rows] == labels_N.tolist()
    assert [row["red"] for row in rows] == pytest.approx(expected)


def test_the_example_of_the_documentation_runs(store, tmp_path):
    (tmp_path / "my-store").symlink_to(store.path)
    [example] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    command = [sys.executable, "-c", example]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    told = re.findall(r"^(\S.{19}) *([\d.]+) of 255$", ended.stdout, re.M)
    assert sorted(genre.strip() for genre, _ in told) == store.genres
    assert all(0 < float(brightness) < 255 for _, brightness in told)


def test_order_is_kept_whichever_block_is_ready_first(store, monkeypatch):
    monkeypatch.setattr("covertune.data_pipeline.store.datasource._TASK_BYTES", 1)
    assert len(CoverDatasource(store, "train", ["label"])) > 1

    def slow_at_first(batch):
        import time

        time.sleep(0.5 if batch["cover_id"][0] == first else 0)
        return batch

    ids = [row["cover_id"] for row in store.dataset("train", ["cover_id"]).take_all()]
    first = ids[0]
    dataset = store.dataset("train", ["cover_id"]).map_batches(slow_at_first, batch_size=None)
    assert [row["cover_id"] for row in dataset.materialize().take_all()] == ids


def test_read_tasks_are_the_same_whenever_ray_asks(store):
    source = CoverDatasource(store, "train", ["label"])
    asked = [source.get_read_tasks(parallelism) for parallelism in (1, 2, 200)]
    for tasks in asked:
        assert len(tasks) == len(source)
        assert sum(task.metadata.num_rows for task in tasks) == store.count("train")


@pytest.mark.parametrize(
    ("split", "columns", "message"),
    [
        ("dev", None, "a store has the splits train, val, test, got 'dev'"),
        ("val", ["pixels"], "a store has the columns cover_id, .*, got pixels"),
        ("val", [], "a store has the columns"),
    ],
)
def test_what_there_is_not(store, split, columns, message):
    with pytest.raises(StoreError, match=message):
        store.dataset(split, columns)
