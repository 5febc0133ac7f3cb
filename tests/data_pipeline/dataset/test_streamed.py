import shutil
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
    PrepareSettings,
    StoreError,
    StreamedRefs,
    decode_store,
    load_squares,
    prepare_store,
)
from covertune.data_pipeline.dataset import streamed

CPU = torch.device("cpu")
PX = 16


@pytest.fixture(scope="module")
def train(store):
    """Three row groups, the last one short."""
    refs = StreamedRefs(store, "train", PX)
    assert [len(group.places) for group in streamed._row_groups(refs)] == [128, 128, 24]
    return refs


@pytest.fixture(scope="module")
def expected(store):
    """Pixels and labels in the store's order."""
    images, labels_N = store.read_images("train")
    squares = [load_squares(one, PX, ("squash",), fast=True)[0] for one in images]
    return torch.from_numpy(np.stack(squares)), labels_N


def _threads():
    return {thread.name for thread in threading.enumerate() if thread.name != "MainThread"}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_cover_once_an_epoch_with_its_own_pixels(store, expected, threads, shuffle):
    refs = StreamedRefs(store, "train", PX, threads=threads)
    batches = refs.batches(31, CPU, shuffle=shuffle, seed=1)
    order = batches.order(2)
    assert sorted(order) == list(range(280))
    assert (order.tolist() == sorted(order)) is not shuffle
    images_NHWC, labels_N = expected
    start = 0
    for images_BHWC, labels_B, _ in batches.epoch(2):
        places = order[start : start + len(labels_B)]
        assert images_BHWC.dtype == torch.uint8
        assert labels_B.dtype == torch.int64
        assert torch.equal(images_BHWC, images_NHWC[places])
        assert labels_B.tolist() == labels_N[places].tolist()
        images_BHWC.zero_()  # the caller's own
        start += len(labels_B)
    assert start == 280


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

    again = StreamedRefs(CoverStore.open(store.path), "train", PX, threads=2)
    assert labels(train, 1, 3) == labels(again, 1, 3)
    orders = {
        tuple(train.batches(32, CPU, shuffle=True, seed=s).order(e))
        for s, e in [(1, 3), (1, 4), (2, 3)]
    }
    assert len(orders) == 3


@pytest.mark.usefixtures("local_ray")
def test_the_same_pixels_as_decoded(store, train):
    decoded = decode_store(store, PX, splits=("train",))["train"]
    by_memory = decoded.batches(64, CPU, shuffle=False, chunk=(1, 3)).epoch(0)
    by_stream = train.batches(64, CPU, shuffle=False, chunk=(1, 3)).epoch(0)
    for ours, theirs in zip(by_stream, by_memory, strict=True):
        assert torch.equal(ours.images_BHWC, theirs.images_BHWC)
        assert torch.equal(ours.labels_B, theirs.labels_B)


def test_chunks_share_out_the_split(train):
    shares = [train.batches(64, CPU, shuffle=True, chunk=(i, 3)).order(0) for i in range(3)]
    assert [len(share) for share in shares] == [93, 93, 94]
    assert sorted(np.concatenate(shares)) == list(range(280))


def test_chosen_covers_alone(store, expected):
    places = np.array([3, 127, 128, 270])
    refs = StreamedRefs(store, "train", PX, places)
    assert refs.num_covers == 4
    ((images_BHWC, *_),) = refs.batches(8, CPU, shuffle=False).epoch(0)
    assert torch.equal(images_BHWC, expected[0][places])


class TestBounds:
    @given(st.integers(1, 400), st.integers(1, 90), st.integers(1, 300), st.integers(0, 9))
    def test_of_covers_held(self, store, covers, group_rows, window, epoch):
        batches = StreamedRefs(store, "train", PX).batches(8, CPU, shuffle=True)
        starts = range(0, covers, group_rows)
        batches._groups = [
            streamed._RowGroup("", i, first, np.arange(first, min(first + group_rows, covers)))
            for i, first in enumerate(starts)
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(streamed, "_window_covers", lambda refs: window)
            groups, order = batches._plan(epoch)
        assert sorted(order) == list(range(covers))
        read, delivered, most = set(), set(), 0
        unread = iter(groups)
        for place in order:
            while place not in read:
                read |= set(next(unread).places)
            most = max(most, len(read) - len(delivered))
            delivered.add(place)
        assert most <= window + group_rows

    def test_of_batches_ahead(self, train, monkeypatch):
        decoded = []

        def counted(data, image_px, part, source, fits, *, fast):
            decoded.append(source)
            return decode_cover(data, image_px, part, source, fits, fast=fast)

        decode_cover = streamed.decode_cover
        monkeypatch.setattr(streamed, "decode_cover", counted)
        batches = train.batches(20, CPU, shuffle=True).epoch(0)
        next(batches)
        time.sleep(0.5)
        assert len(decoded) == 20 * (1 + streamed._AHEAD)
        batches.close()

    @pytest.mark.usefixtures("local_ray")
    def test_of_memory(self, tmp_path, make_folder, monkeypatch):
        """An epoch over 12 MB of pixels, with a window of 0.1 MB, takes a few batches of them."""
        monkeypatch.setattr(streamed, "_WINDOW_BYTES", 100_000)
        source = make_folder(tmp_path / "source", {"Art": 300, "Poetry": 300})
        prepare_store(source, tmp_path / "store", settings=PrepareSettings())
        refs = StreamedRefs(CoverStore.open(tmp_path / "store"), "train", 100)
        batches = refs.batches(10, CPU, shuffle=True)
        for _ in batches.epoch(0):
            pass
        tracemalloc.start()
        try:
            covers = sum(len(labels_B) for _, labels_B, _ in batches.epoch(1))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert covers == 420
        encoded = sum(part.bytes for part in refs.store.parts_of("train"))
        assert peak < 100_000 + 128 / 420 * encoded * 2 + 4 * 10 * 30_000


def test_the_window_is_measured_in_bytes(train, monkeypatch):
    parts = train.store.parts_of("train")
    mean = sum(part.bytes for part in parts) / 280
    monkeypatch.setattr(streamed, "_WINDOW_BYTES", int(50 * mean) + 1)
    assert streamed._window_covers(train) == 50
    distances = np.abs(np.diff(train.batches(8, CPU, shuffle=True).order(0)))
    assert 10 < np.median(distances) < 60, "neighbours come from near each other"


def test_threads_end_with_the_epoch(train):
    for _ in train.batches(64, CPU, shuffle=True).epoch(0):
        pass
    begun = train.batches(8, CPU, shuffle=True).epoch(0)
    next(begun)
    assert _threads() >= {"covers_0", "decoding_0"}
    begun.close()
    assert not {name for name in _threads() if name.startswith(("covers", "decoding"))}


def test_a_damaged_picture(store, tmp_path):
    copy = shutil.copytree(store.path, tmp_path / "store")
    part = copy / "part-00000.parquet"
    content = part.read_bytes()
    start = content.index(b"\xff\xd8\xff")
    part.write_bytes(content[: start + 20] + bytes(400) + content[start + 420 :])
    batches = StreamedRefs(CoverStore.open(copy), "train", PX).batches(8, CPU, shuffle=True)
    with pytest.raises(StoreError, match=r"is damaged: part-00000\.parquet: .* page integrity"):
        list(batches.epoch(0))
    assert not {name for name in _threads() if name.startswith(("covers", "decoding"))}


def test_a_store_that_went_away(store, tmp_path):
    copy = CoverStore.open(shutil.copytree(store.path, tmp_path / "store"))
    shutil.rmtree(copy.path)
    batches = StreamedRefs(copy, "val", PX).batches(8, CPU, shuffle=False)
    with pytest.raises(StoreError, match=r"every node must reach the store's folder, .* cannot"):
        next(batches.epoch(0))


def test_unknown_split(store):
    with pytest.raises(StoreError, match="has the splits train, val, test, got 'dev'"):
        StreamedRefs(store, "dev", PX).batches(8, CPU, shuffle=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_batches_on_a_gpu(train):
    on_gpu = train.batches(32, torch.device("cuda"), shuffle=True).epoch(1)
    on_cpu = train.batches(32, CPU, shuffle=True).epoch(1)
    for came, wanted in zip(on_gpu, on_cpu, strict=True):
        assert all(tensor.is_cuda for tensor in came)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(came, wanted, strict=True))
