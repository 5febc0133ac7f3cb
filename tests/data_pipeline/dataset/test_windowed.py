import shutil
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covertune.data_pipeline import (
    CoverStore,
    Part,
    PrepareSettings,
    StoreError,
    decode_store,
    load_squares,
    prepare_store,
    spill_part,
    stream_part,
)
from covertune.data_pipeline.dataset import decoding, windowed
from covertune.data_pipeline.dataset.order import seeded, windowed_order

CPU = torch.device("cpu")
PX = 16
BLOCK = 128 * PX * PX * 3  # a row group


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK_BYTES", BLOCK)


def streamed(store, threads=1):
    return stream_part(Part(store, "train"), PX, "squash", threads)


@pytest.fixture
def train(store):
    """Three blocks, the last one short."""
    refs = streamed(store)
    assert [block.rows for block in refs.blocks] == [128, 128, 24]
    return refs


@pytest.fixture
def spilled(store, local_ray):
    return spill_part(Part(store, "train"), PX, ("squash",))["squash"]


@pytest.fixture(scope="module")
def expected(store):
    """Pixels and labels in the store's order."""
    images, labels_N = store.read_images("train")
    squares = [load_squares(one, PX, ("squash",), fast=True)[0] for one in images]
    return torch.from_numpy(np.stack(squares)), labels_N


def covers_threads():
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith("covers")}


def require_epoch(batches, epoch, expected):
    order = batches.order(epoch)
    images_NHWC, labels_N = expected
    start = 0
    for images_BHWC, labels_B, _ in batches.epoch(epoch):
        places = order[start : start + len(labels_B)]
        assert images_BHWC.dtype == torch.uint8
        assert labels_B.dtype == torch.int64
        assert torch.equal(images_BHWC, images_NHWC[places])
        assert labels_B.tolist() == labels_N[places].tolist()
        images_BHWC.zero_()  # the caller's own
        start += len(labels_B)
    assert start == len(order)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_cover_once_an_epoch_with_its_own_pixels(store, expected, threads, shuffle):
    batches = streamed(store, threads).batches(31, CPU, shuffle=shuffle, seed=1)
    order = batches.order(2)
    assert sorted(order) == list(range(280))
    assert (order.tolist() == sorted(order)) is not shuffle
    require_epoch(batches, 2, expected)


def test_spilled_covers_are_the_same_in_the_same_order(spilled, train, expected):
    one, other = (refs.batches(31, CPU, shuffle=True, seed=3) for refs in (spilled, train))
    assert one.order(1).tolist() == other.order(1).tolist()
    require_epoch(one, 1, expected)
    assert spilled.num_covers == 280


SPILLS = """
import sys
from pathlib import Path
import ray, torch
from covertune.data_pipeline import CoverStore, Part, decode_store, spill_part, stream_part
from covertune.data_pipeline.compat import spill_folder
from covertune.data_pipeline.local_ray import free_spill_nbytes, start_local_ray

store, spill = CoverStore.open(Path(sys.argv[1])), Path(sys.argv[2])
room = 80 * 2**20
start_local_ray(object_store_nbytes=room, spill_dir=spill)
assert spill_folder().is_relative_to(spill)
assert 0 < free_spill_nbytes(spill_folder())
px = int((4 * room / 3 / store.count("train")) ** 0.5)
part = Part(store, "train")
refs = spill_part(part, px, ("squash",))["squash"]
files = [file for file in spill.rglob("*") if file.is_file()]
assert sum(file.stat().st_size for file in files) > 2 * room, files
cpu = torch.device("cpu")
both = (refs, stream_part(part, px, "squash"))
epochs = [refs.batches(32, cpu, shuffle=True, seed=1).epoch(1) for refs in both]
for one, other in zip(*epochs, strict=True):
    assert torch.equal(one.images_BHWC, other.images_BHWC)
    assert torch.equal(one.labels_B, other.labels_B)
ray.shutdown()
assert not list(spill.iterdir()), "what was spilled goes with Ray"
print("the same")
"""


def test_what_has_no_room_in_the_object_store_is_brought_back(store, tmp_path):
    """Four times as much as there is room for."""
    spill = tmp_path / "elsewhere"
    spill.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SPILLS, store.path, spill],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr


@pytest.mark.parametrize("start_batch", [0, 1, 5, 9, 10])
def test_an_epoch_is_taken_up_within(train, spilled, start_batch):
    for refs in (train, spilled):
        batches = refs.batches(31, CPU, shuffle=True, seed=1)
        whole, rest = list(batches.epoch(2)), list(batches.epoch(2, start_batch))
        assert len(rest) == max(len(whole) - start_batch, 0)
        for one, other in zip(whole[start_batch:], rest, strict=True):
            assert torch.equal(one.images_BHWC, other.images_BHWC)


@pytest.mark.parametrize(
    ("batch_size", "shuffle", "last"),
    [(31, True, [32]), (31, False, [31, 1]), (100, True, [100, 80]), (500, True, [280])],
)
def test_a_lone_last_cover_joins_the_batch_before_it(train, batch_size, shuffle, last):
    batches = train.batches(batch_size, CPU, shuffle=shuffle)
    sizes = [len(labels_B) for _, labels_B, _ in batches.epoch(0)]
    assert len(batches) == len(sizes)
    assert sizes[-len(last) :] == last


def test_order_depends_on_seed_and_epoch_only(store, train):
    def labels(refs, seed, epoch):
        batches = refs.batches(32, CPU, shuffle=True, seed=seed)
        next(iter(batches.epoch(0)))  # what came before does not matter
        return torch.cat([labels_B for _, labels_B, _ in batches.epoch(epoch)]).tolist()

    again = streamed(CoverStore.open(store.path), threads=2)
    assert labels(train, 1, 3) == labels(again, 1, 3)
    orders = {
        tuple(train.batches(32, CPU, shuffle=True, seed=s).order(e))
        for s, e in [(1, 3), (1, 4), (2, 3)]
    }
    assert len(orders) == 3


@pytest.mark.usefixtures("local_ray")
def test_the_same_pixels_as_in_memory(store, train):
    decoded = decode_store(store, PX, splits=("train",))["train"]
    by_memory = decoded.batches(64, CPU, shuffle=False).epoch(0)
    by_window = train.batches(64, CPU, shuffle=False).epoch(0)
    for ours, theirs in zip(by_window, by_memory, strict=True):
        assert torch.equal(ours.images_BHWC, theirs.images_BHWC)
        assert torch.equal(ours.labels_B, theirs.labels_B)


def test_chosen_covers_alone(store, expected):
    places = np.array([3, 127, 128, 270])
    refs = stream_part(Part(store, "train", places, "few"), PX, "squash")
    assert refs.num_covers == 4
    assert refs.key.endswith(f"/train/{PX}px/squash/few")
    ((images_BHWC, *_),) = refs.batches(8, CPU, shuffle=False).epoch(0)
    assert torch.equal(images_BHWC, expected[0][places])


class TestBounds:
    @given(st.integers(1, 400), st.integers(1, 90), st.integers(1, 300), st.integers(0, 9))
    def test_of_covers_held(self, covers, block_rows, window, epoch):
        starts = range(0, covers, block_rows)
        blocks = [np.arange(first, min(first + block_rows, covers)) for first in starts]
        reading, order = windowed_order(blocks, window, seeded(0, epoch))
        assert sorted(order) == list(range(covers))
        read, delivered, most = set(), set(), 0
        unread = iter(reading)
        for place in order:
            while place not in read:
                read |= set(blocks[next(unread)].tolist())
            most = max(most, len(read) - len(delivered))
            delivered.add(place)
        assert most <= window + block_rows

    def test_of_blocks_ahead(self, store, monkeypatch):
        """One for each thread, and those whose covers are asked for."""
        monkeypatch.setattr(decoding, "BLOCK_BYTES", 20 * PX * PX * 3)
        monkeypatch.setattr(windowed, "_WINDOW_BYTES", PX * PX * 3)
        loaded = []
        refs = streamed(store)
        assert len(refs.blocks) == 14
        load = type(refs.blocks[0]).load
        monkeypatch.setattr(
            type(refs.blocks[0]), "load", lambda *given: loaded.append(1) or load(*given)
        )
        batches = refs.batches(20, CPU, shuffle=False).epoch(0)
        next(batches)
        time.sleep(0.5)
        asked_for = 1 + windowed._AHEAD
        assert asked_for < len(loaded) <= asked_for + 2
        batches.close()

    @pytest.mark.usefixtures("local_ray")
    def test_of_memory(self, tmp_path, make_folder, monkeypatch):
        """An epoch over 12 MB of pixels, in blocks of 0.6 MB, takes a few of them."""
        block = 20 * 100 * 100 * 3
        monkeypatch.setattr(decoding, "BLOCK_BYTES", block)
        monkeypatch.setattr(windowed, "_WINDOW_BYTES", block)
        source = make_folder(tmp_path / "source", {"Art": 300, "Poetry": 300})
        prepare_store(source, tmp_path / "store", settings=PrepareSettings())
        part = Part(CoverStore.open(tmp_path / "store"), "train")
        batches = stream_part(part, 100, "squash").batches(10, CPU, shuffle=True)
        for _ in batches.epoch(0):
            pass
        tracemalloc.start()
        try:
            covers = sum(len(labels_B) for _, labels_B, _ in batches.epoch(1))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert covers == 420
        assert peak < 8 * block

    def test_of_the_window(self, train, monkeypatch):
        monkeypatch.setattr(decoding, "BLOCK_BYTES", 10 * PX * PX * 3)
        monkeypatch.setattr(windowed, "_WINDOW_BYTES", 50 * PX * PX * 3)
        distances = np.abs(np.diff(train.batches(8, CPU, shuffle=True).order(0)))
        assert 10 < np.median(distances) < 60, "neighbours come from near each other"


def test_threads_end_with_the_epoch(train):
    for _ in train.batches(64, CPU, shuffle=True).epoch(0):
        pass
    assert not covers_threads()
    begun = train.batches(8, CPU, shuffle=True).epoch(0)
    next(begun)
    assert covers_threads()
    begun.close()
    assert not covers_threads()


def test_a_damaged_picture(store, tmp_path):
    copy = shutil.copytree(store.path, tmp_path / "store")
    part = copy / "part-00000.parquet"
    content = part.read_bytes()
    start = content.index(b"\xff\xd8\xff")
    part.write_bytes(content[: start + 20] + bytes(400) + content[start + 420 :])
    batches = streamed(CoverStore.open(copy)).batches(8, CPU, shuffle=True)
    with pytest.raises(StoreError, match=r"is damaged: part-00000\.parquet: .* page integrity"):
        list(batches.epoch(0))
    assert not covers_threads()


def test_a_store_that_went_away(store, tmp_path):
    copy = CoverStore.open(shutil.copytree(store.path, tmp_path / "store"))
    shutil.rmtree(copy.path)
    batches = stream_part(Part(copy, "val"), PX, "squash").batches(8, CPU, shuffle=False)
    with pytest.raises(StoreError, match=r"every node must reach the store's folder, .* cannot"):
        next(batches.epoch(0))


def test_unknown_split(store):
    with pytest.raises(StoreError, match="has the splits train, val, test, got 'dev'"):
        stream_part(Part(store, "dev"), PX, "squash")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_batches_on_a_gpu(train):
    on_gpu = train.batches(32, torch.device("cuda"), shuffle=True).epoch(1)
    on_cpu = train.batches(32, CPU, shuffle=True).epoch(1)
    for came, wanted in zip(on_gpu, on_cpu, strict=True):
        assert all(tensor.is_cuda for tensor in came)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(came, wanted, strict=True))
