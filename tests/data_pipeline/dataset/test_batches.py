import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covertune.data_pipeline.dataset.batches import DeviceResident, EpochBatches
from covertune.data_pipeline.dataset.blocks import Blocks

CPU = torch.device("cpu")


def _split(num_covers, key="f/train/4px", *, marks=False):
    """Covers whose pixels, labels, marks tell which they are; read-only as in the object store.

    They lie in blocks of 1, 2, 3 and more covers.
    """
    numbers = np.arange(num_covers)
    images_NHWC = np.broadcast_to(numbers[:, None, None, None], (num_covers, 4, 4, 3))
    images_NHWC = np.ascontiguousarray(images_NHWC.astype(np.uint8))
    images_NHWC.flags.writeable = numbers.flags.writeable = False
    genres_NK = (numbers[:, None] >> np.arange(8) & 1).astype(np.uint8) if marks else None
    images = tuple(block for block in np.split(images_NHWC, [1, 3, 6, 12]) if len(block))
    return Blocks(images, numbers, numbers.astype("<U16"), key, genres_NK)


def _delivered(batches, epoch=0):
    delivered = []
    for images_BHWC, labels_B, _ in batches.epoch(epoch):
        assert images_BHWC.dtype == torch.uint8
        assert labels_B.dtype == torch.int64
        assert torch.equal(images_BHWC[:, 3, 2, 1].long(), labels_B)
        delivered += labels_B.tolist()
    return delivered


@given(st.integers(1, 60), st.integers(1, 70), st.booleans(), st.integers(0, 5))
def test_every_cover_once_an_epoch(num_covers, batch_size, shuffle, epoch):
    batches = EpochBatches(_split(num_covers), batch_size, CPU, shuffle=shuffle)
    assert sorted(_delivered(batches, epoch)) == list(range(num_covers))
    sizes = [len(labels_B) for _, labels_B, _ in batches.epoch(epoch)]
    assert len(sizes) == len(batches)
    assert all(size == batch_size for size in sizes[:-1])
    if shuffle and min(num_covers, batch_size) > 1:
        assert 1 < sizes[-1] <= batch_size + 1, "batch normalisation cannot use one cover"
    else:
        assert 1 <= sizes[-1] <= batch_size


@pytest.mark.parametrize(
    ("num_covers", "batch_size", "shuffle", "sizes"),
    [
        (9, 4, True, [4, 5]),
        (9, 4, False, [4, 4, 1]),
        (10, 4, True, [4, 4, 2]),
        (1, 4, True, [1]),
        (3, 1, True, [1, 1, 1]),
    ],
)
def test_a_lone_last_cover_joins_the_batch_before_it(num_covers, batch_size, shuffle, sizes):
    batches = EpochBatches(_split(num_covers), batch_size, CPU, shuffle=shuffle)
    assert [len(labels_B) for _, labels_B, _ in batches.epoch(0)] == sizes
    assert len(batches) == len(sizes)


def test_store_order_without_shuffling():
    assert _delivered(EpochBatches(_split(10), 3, CPU, shuffle=False), 7) == list(range(10))


def test_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch):
        batches = EpochBatches(_split(50), 8, CPU, shuffle=True, seed=seed)
        _delivered(batches, 0)  # what came before does not matter
        return tuple(_delivered(batches, epoch))

    assert order(1, 3) == order(1, 3)
    assert len({order(1, 3), order(1, 4), order(2, 3), order(2, 4)}) == 4


def test_batches_are_the_callers_own():
    split = _split(10)
    for images_BHWC, labels_B, _ in EpochBatches(split, 4, CPU, shuffle=False).epoch(0):
        images_BHWC.zero_()
        labels_B.zero_()
    assert split.labels_N.tolist() == list(range(10))
    assert split.images[3][3, 0, 0, 0] == 9


def test_the_split_is_not_copied_on_the_cpu():
    resident = DeviceResident()
    _delivered(EpochBatches(_split(10), 4, CPU, shuffle=True, resident=resident))
    assert resident.held() == []


@pytest.mark.parametrize("path", ["gathered", "copied"])
def test_marks_come_with_their_covers(path):
    batches = EpochBatches(_split(30, marks=True), 4, CPU, shuffle=True)
    order = batches.order(1)
    picks = [order[start : start + 4] for start in range(0, 30, 4)]
    delivered = batches.epoch(1) if path == "gathered" else batches._copied(picks)
    seen = []
    for images_BHWC, labels_B, genres_BK in delivered:
        assert images_BHWC.dtype == genres_BK.dtype == torch.uint8
        assert torch.equal(genres_BK.long(), labels_B[:, None] >> torch.arange(8) & 1)
        seen += labels_B.tolist()
    assert seen == order.tolist()


@pytest.mark.parametrize("start_batch", [0, 2, 3, 4, 9])
def test_an_epoch_is_taken_up_within(start_batch):
    batches = EpochBatches(_split(11), 3, CPU, shuffle=True, seed=5)
    order = batches.order(2).tolist()
    rest = batches.epoch(2, start_batch)
    came = [label for _, labels_B, _ in rest for label in labels_B.tolist()]
    assert came == order[3 * start_batch :]


@given(st.integers(1, 30), st.permutations(range(30)))
def test_covers_are_taken_from_their_blocks(num_covers, order):
    split = _split(num_covers)
    wanted = np.array([place for place in order if place < num_covers])
    out = np.empty((num_covers, 4, 4, 3), np.uint8)
    assert split.take(wanted, out)[:, 0, 0, 0].tolist() == wanted.tolist()


class TestCopiedAhead:
    """The path of a GPU without room, here with the CPU as the device."""

    def test_same_batches(self):
        batches = EpochBatches(_split(11), 3, CPU, shuffle=True)
        order = batches.order(2)
        picks = [order[start : start + 3] for start in range(0, 11, 3)]
        delivered = [labels_B.tolist() for _, labels_B, _ in batches._copied(picks)]
        assert delivered == [labels_B.tolist() for _, labels_B, _ in batches.epoch(2)]

    def test_stopping_early_ends_the_thread(self):
        batches = EpochBatches(_split(10), 3, CPU, shuffle=False)
        copied = batches._copied([np.arange(3), np.arange(3, 6), np.arange(6, 9)])
        next(copied)
        copied.close()


class TestDeviceResident:
    def test_moved_once(self):
        resident = DeviceResident()
        first, again = (resident.get(_split(10), CPU) for _ in range(2))
        assert first[0].data_ptr() == again[0].data_ptr()
        assert torch.equal(first[1], torch.arange(10))
        assert first[0][:, 0, 0, 0].tolist() == list(range(10))

    def test_marks_move_too(self):
        split = _split(10, marks=True)
        *_, genres_NK = DeviceResident().get(split, CPU)
        assert np.array_equal(genres_NK.numpy(), split.genres_NK)

    def test_moved_piece_by_piece(self, monkeypatch):
        monkeypatch.setattr("covertune.data_pipeline.dataset.batches._UPLOAD_BYTES", 150)
        images_NHWC, *_ = DeviceResident().get(_split(10), CPU)
        assert images_NHWC[:, 0, 0, 0].tolist() == list(range(10))

    def test_makes_room_by_dropping_other_stores_only(self, monkeypatch):
        resident = DeviceResident()
        keys = ["f/train/4px", "f/train/8px", "g/train/4px"]
        for key in keys:
            resident.get(_split(10, key), CPU)
        rooms = iter([0, 10**9])
        monkeypatch.setattr(resident, "_room", lambda device: next(rooms))
        assert resident.get(_split(10, "f/val/4px"), CPU) is not None
        assert resident.held() == ["f/train/4px", "f/val/4px"]

    def test_keeps_the_splits_of_one_sample(self, monkeypatch):
        resident = DeviceResident()
        keys = ["f/train/4px", "f/train/4px/0-of-4", "f/train/4px/rehearsal/train"]
        for key in keys:
            resident.get(_split(10, key), CPU)
        rooms = iter([0, 10**9])
        monkeypatch.setattr(resident, "_room", lambda device: next(rooms))
        assert resident.get(_split(10, "f/train/4px/rehearsal/val"), CPU) is not None
        assert resident.held() == ["f/train/4px/rehearsal/train", "f/train/4px/rehearsal/val"]

    def test_no_room(self, monkeypatch):
        resident = DeviceResident()
        monkeypatch.setattr(resident, "_room", lambda device: 0)
        assert resident.get(_split(10), CPU) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("marks", [False, True], ids=["one genre", "several"])
@pytest.mark.parametrize("resident", [None, DeviceResident()], ids=["copied", "resident"])
def test_same_batches_on_a_gpu(resident, marks):
    cuda = torch.device("cuda")
    split = _split(49, key=f"{'g' if marks else 'f'}/train/4px", marks=marks)
    on_gpu = EpochBatches(split, 8, cuda, shuffle=True, resident=resident)
    on_cpu = EpochBatches(split, 8, CPU, shuffle=True)
    for came, expected in zip(on_gpu.epoch(3), on_cpu.epoch(3), strict=True):
        assert len(came) == len(expected) == 2 + marks
        for tensor, wanted in zip(came, expected, strict=True):
            assert tensor.is_cuda
            assert torch.equal(tensor.cpu(), wanted)
