import shutil
import time

import numpy as np
import pytest
import ray

from covertune.data_pipeline import (
    CapacityError,
    CoverStore,
    Part,
    StoreError,
    decode_parts,
    decode_store,
    decoded_nbytes,
    load_squares,
    ray_tasks,
)
from covertune.data_pipeline.dataset import decoding

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture(scope="module")
def refs(store):
    return decode_store(store, 24)


def pixels(ref):
    return np.concatenate(ref.get().images)


def test_pixels_labels_and_order_are_the_stores(store, refs):
    assert list(refs) == ["train", "val"]
    for split, ref in refs.items():
        images, labels_N = store.read_images(split)
        blocks = ref.get()
        assert sum(map(len, blocks.images)) == len(blocks) == len(images)
        assert {block.shape[1:] for block in blocks.images} == {(24, 24, 3)}
        assert {block.dtype.name for block in blocks.images} == {"uint8"}
        assert np.array_equal(blocks.labels_N, labels_N)
        assert blocks.cover_ids_N.tolist() == sorted(blocks.cover_ids_N)
        for image_HWC, data in zip(pixels(ref), images, strict=True):
            (expected,) = load_squares(data, 24, ("squash",), fast=True)
            assert np.array_equal(image_HWC, expected)
        assert (ref.split, ref.num_covers, ref.image_px) == (split, len(images), 24)


def test_order_does_not_depend_on_the_tasks(store, refs, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK_BYTES", 50 * 24 * 24 * 3)
    monkeypatch.setattr(decoding, "_TASKS_PER_CPU", 1)
    again = decode_store(store, 24)["train"]
    assert len(again.blocks) != len(refs["train"].blocks)
    assert np.array_equal(pixels(again), pixels(refs["train"]))
    assert np.array_equal(again.get().labels_N, refs["train"].get().labels_N)


def test_a_store_decodes_one_split(store, refs):
    assert np.array_equal(pixels(store.decoded("val", 24)), pixels(refs["val"]))
    assert store.decoded("test", 8, "pad").fit == "pad"


def test_chosen_splits_in_the_order_asked(store):
    refs = decode_store(store, 8, splits=("test", "val"))
    assert list(refs) == ["test", "val"]
    assert len(refs["test"].get()) == 60


def test_keys_tell_arrays_apart(store, refs):
    keys = {ref.get().key for ref in refs.values()}
    keys |= {ref.get().key for ref in decode_store(store, 8).values()}
    assert len(keys) == 4


def test_chosen_covers_alone(store, refs):
    places = np.array([0, 3, 4, 17, 100, 101, 270])
    parts = {"some": Part(store, "train", places, "few"), "val": Part(store, "val")}
    decoded = decode_parts(parts, 24, ("squash",))["squash"]
    assert np.array_equal(pixels(decoded["val"]), pixels(refs["val"]))
    chosen = decoded["some"]
    assert np.array_equal(pixels(chosen), pixels(refs["train"])[places])
    assert chosen.get().labels_N.tolist() == refs["train"].get().labels_N[places].tolist()
    assert chosen.get().key.endswith("/train/24px/squash/few")


def test_they_are_decoded_while_others_hold_every_cpu(store):
    @ray.remote(num_cpus=2)
    class Holder:
        def ready(self):
            return True

    holder = Holder.remote()
    assert ray.get(holder.ready.remote())
    assert decode_store(store, 8, splits=("val",))["val"].get().image_px == 8
    ray.kill(holder)


def test_progress(store):
    calls = []
    decode_store(store, 8, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 340)
    assert calls[-1] == (340, 340)
    assert calls == sorted(calls)


def test_blocks_are_shared_not_copied(refs):
    first, second = refs["train"].get(), refs["train"].get()
    for one, other in zip(first.images, second.images, strict=True):
        assert np.shares_memory(one, other)
        with pytest.raises(ValueError, match="read-only"):
            one[0] = 0


def test_a_worker_reads_the_same_blocks(refs):
    @ray.remote
    def total(ref):
        return sum(int(block.sum()) for block in ref.get().images)

    expected = int(pixels(refs["val"]).sum())
    assert ray.get(total.remote(refs["val"])) == expected


def test_nbytes_is_what_is_taken(store, refs):
    tables = ray.get([block for ref in refs.values() for block in ref.blocks])
    assert decoded_nbytes(store, 24) == pytest.approx(sum(t.nbytes for t in tables), rel=1e-3)


def test_one_genre_a_cover_has_no_marks(store, refs):
    assert not store.is_multi
    assert store.read_genres("val") is None
    decoded = refs["val"].get()
    assert decoded.genres_NK is None


def test_too_large(store):
    with pytest.raises(
        CapacityError,
        match=r"must fit Ray's object store: train and val at 30000 px need \d+\.\d\d GB, "
        r"\d+\.\d\d GB are free on the smallest node; choose a smaller image size or start Ray",
    ):
        decode_store(store, 30_000)


def test_unknown_split(store):
    with pytest.raises(StoreError, match="has the splits train, val, test, got 'dev'"):
        decode_store(store, 8, splits=("dev",))


def test_damaged_picture(store, tmp_path):
    copy = shutil.copytree(store.path, tmp_path / "store")
    part = copy / "part-00000.parquet"
    content = part.read_bytes()
    start = content.index(b"\xff\xd8\xff")
    part.write_bytes(content[: start + 20] + bytes(400) + content[start + 420 :])
    with pytest.raises(StoreError, match=r"is damaged: part-00000\.parquet: .* page integrity"):
        decode_store(CoverStore.open(copy), 8)


def test_a_store_that_went_away(store, tmp_path):
    copy = CoverStore.open(shutil.copytree(store.path, tmp_path / "store"))
    shutil.rmtree(copy.path)
    message = r"^every node must reach the store's folder, .* cannot find .*part-0000\d\.parquet"
    with pytest.raises(StoreError, match=message) as caught:
        decode_store(copy, 8)
    assert "\n" not in str(caught.value), "one line, without Ray's advice on retries"


def test_prints_nothing(store, capfd):
    decode_store(store, 8)
    assert capfd.readouterr() == ("", "")


def test_free_bytes_go_down_by_what_is_put():
    before = ray_tasks.free_object_store_bytes()
    ref = ray.put(np.zeros(50_000_000, dtype=np.uint8))
    deadline = time.monotonic() + 20  # Ray tells of it with some delay
    while ray_tasks.free_object_store_bytes() > before - 40_000_000:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    del ref
