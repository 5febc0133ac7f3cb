"""Covers that lie in several genre folders, from the store to the batches."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
import torch

from covertune.data_pipeline import (
    CoverStore,
    EpochBatches,
    Part,
    PrepareSettings,
    StoreError,
    decode_store,
    decoded_nbytes,
    prepare_store,
    stream_part,
)

pytestmark = pytest.mark.usefixtures("local_ray")

GENRES = ["Cooking", "Poetry", "Travel"]


@pytest.fixture(scope="module")
def multi(make_folder, local_ray, tmp_path_factory):
    """60 covers; of the 24 in Cooking, 9 lie in Poetry too, and 3 of these in Travel as well."""
    root = tmp_path_factory.mktemp("multi")
    source = make_folder(root / "covers", {"Cooking": 24, "Poetry": 18, "Travel": 18})
    for number in range(9):
        cover = source / "Cooking" / f"{number}.jpg"
        shutil.copy(cover, source / "Poetry" / f"as-well-{number}.jpg")
        if number < 3:
            shutil.copy(cover, source / "Travel" / f"as-well-{number}.jpg")
    settings = PrepareSettings(conflicts="multi", near_copies=False)
    prepare_store(source, root / "store", settings=settings)
    return CoverStore.open(root / "store")


def _genres_by_id(store, split):
    return {
        row["cover_id"]: set(row["genres"])
        for part in store.parts_of(split)
        for row in pq.read_table(store.path / part.name).to_pylist()
    }


def test_marks_are_the_genres_of_each_cover(multi):
    assert multi.is_multi
    refs = decode_store(multi, 16, splits=("train", "val", "test"))
    sizes = []
    for split, ref in refs.items():
        decoded = ref.get()
        assert decoded.genres_NK.dtype == np.uint8
        genres = _genres_by_id(multi, split)
        for cover_id, label, marks in zip(
            decoded.cover_ids_N, decoded.labels_N, decoded.genres_NK, strict=True
        ):
            assert {GENRES[place] for place in np.flatnonzero(marks)} == genres[cover_id]
            assert marks[label] == 1
        assert np.array_equal(multi.read_genres(split), decoded.genres_NK)
        assert np.array_equal(multi.read_genres(split, 5), decoded.genres_NK[:5])
        sizes += decoded.genres_NK.sum(axis=1).tolist()
    assert np.bincount(sizes).tolist() == [0, 51, 6, 3]


def test_nbytes_count_the_marks(multi):
    tables = ray.get(list(decode_store(multi, 16, splits=("val",))["val"].blocks))
    taken = sum(table.nbytes for table in tables)
    assert decoded_nbytes(multi, 16, ("val",)) == pytest.approx(taken, rel=0.001)


def test_batches_carry_them(multi):
    decoded = decode_store(multi, 16, splits=("train",))["train"].get()
    batches = EpochBatches(decoded, 16, torch.device("cpu"), shuffle=True)
    order = batches.order(3)
    genres_NK = torch.cat([genres_BK for _, _, genres_BK in batches.epoch(3)])
    assert np.array_equal(genres_NK.numpy(), decoded.genres_NK[order])


def test_streamed_batches_carry_them_too(multi):
    decoded = decode_store(multi, 16, splits=("train",))["train"].get()
    refs = stream_part(Part(multi, "train"), 16, "squash")
    batches = refs.batches(16, torch.device("cpu"), shuffle=True)
    order = batches.order(3)
    genres_NK = torch.cat([genres_BK for _, _, genres_BK in batches.epoch(3)])
    assert genres_NK.dtype == torch.uint8
    assert np.array_equal(genres_NK.numpy(), decoded.genres_NK[order])


def test_a_genre_the_manifest_does_not_name(multi, tmp_path):
    copy = shutil.copytree(multi.path, tmp_path / "store")
    manifest = json.loads((copy / "covers.json").read_text())
    manifest["genres"][1] = "Prose"
    (copy / "covers.json").write_text(json.dumps(manifest))
    message = r"is damaged: covers\.json does not name the genre 'Poetry'; prepare it again"
    with pytest.raises(StoreError, match=message):
        CoverStore.open(copy).read_genres("train")
    with pytest.raises(StoreError, match=message):
        decode_store(CoverStore.open(copy), 8)
