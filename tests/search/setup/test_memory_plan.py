"""Which covers stay decoded in memory, and searches on a store that does not fit."""

import pytest
import ray
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from covertune.data_pipeline import (
    CoverStore,
    Part,
    decode_store,
    in_flight_nbytes,
    stream_part,
)
from covertune.data_pipeline.dataset.lazy_blocks import (
    SpilledBlock,
    UndecodedBlock,
    WindowedRefs,
)
from covertune.machine import usable_cpus
from covertune.models import Features
from covertune.search.cluster.session import _object_store_nbytes
from covertune.search.config import SearchConfig
from covertune.search.events import SearchObserver
from covertune.search.run import run_search
from covertune.search.setup import set_up
from covertune.search.setup.feed import RehearsalFeed, WholeFeed
from covertune.search.setup.memory_plan import MemoryPlan, plan_memory
from covertune.search.setup.preflight import _epoch_s, _room_warnings
from covertune.search.setup.probes import FeaturesOf
from covertune.vocabulary import SPLITS

SIZES = {
    (px, split): share * px
    for px in (100, 200)
    for split, share in (("train", 10), ("val", 2), ("test", 2))
}  # 1,400 and 2,800 bytes


def plan(free, memory_gb=None, cpus=0, *, disk_free=0, in_cluster=False):
    return plan_memory(
        SIZES,
        free=free,
        cpus=cpus,
        memory_gb=memory_gb,
        disk_free=disk_free,
        in_cluster=in_cluster,
    )


def kinds(refs):
    """Whether covers lie in memory, on a disk or in the store alone."""
    return {type(block) for block in refs.blocks} if isinstance(refs, WindowedRefs) else "memory"


NOTHING_AT_32_PX = MemoryPlan(frozenset((32, split) for split in SPLITS))


class TestPlan:
    def test_what_fits_stays_in_memory(self):
        assert plan(4200).streamed == frozenset()
        assert plan(4200).decoded(100) == ("train", "val")
        assert (plan(4200).needed, plan(4200).room) == (4200, 4200)

    def test_val_first_then_train_then_test_small_before_large(self):
        test = {(100, "test"), (200, "test")}
        assert plan(4199).streamed == {(200, "test")}
        assert plan(3599).streamed == {(200, "train")}
        assert plan(1600).streamed == {(200, "train")} | test
        assert plan(600).streamed == {(100, "train"), (200, "train")} | test
        assert plan(0).streamed == SIZES.keys()

    def test_what_has_no_room_in_memory_lies_on_the_disk_as_far_as_that_has_some(self):
        test = {(100, "test"), (200, "test")}
        assert plan(1600, disk_free=2600).spilled == {(200, "train")} | test
        assert plan(1600, disk_free=2600).streamed == frozenset()
        assert plan(1600, disk_free=600).spilled == test
        assert plan(1600, disk_free=600).streamed == {(200, "train")}
        assert plan(1600, disk_free=2600).decoded(200) == ("train", "val")

    @pytest.mark.parametrize(
        ("memory_gb", "in_cluster", "remedy"),
        [
            (None, False, "raise --memory-gb"),
            (1e-6, False, "raise --memory-gb"),
            (1e-6, True, "raise --memory-gb"),
            (9.0, False, "start Ray with more object_store_memory"),
            (None, True, "start Ray with more object_store_memory"),
        ],
    )
    def test_what_gives_more_room(self, memory_gb, in_cluster, remedy):
        assert plan(2000, memory_gb, in_cluster=in_cluster).remedy == remedy

    def test_the_user_may_allow_less(self):
        assert plan(10**9, memory_gb=1600e-9).streamed == plan(1600).streamed
        assert plan(10**9, memory_gb=1600e-9).room == 1600
        assert plan(1600, memory_gb=1.0).room == 1600

    def test_blocks_on_their_way_need_room_too(self):
        assert plan(8399, cpus=1).streamed
        assert not plan(8400, cpus=1).streamed

    @given(st.integers(0, 10**4), st.integers(0, 3))
    def test_the_room_is_never_exceeded(self, free, cpus):
        made = plan(free, cpus=cpus)
        taken = sum(size for key, size in SIZES.items() if key not in made.streamed)
        assert taken <= made.room <= free


def test_ray_is_started_with_the_room_that_is_allowed():
    assert _object_store_nbytes(None) is None
    beside = in_flight_nbytes(None, usable_cpus())
    assert _object_store_nbytes(0.001) == 1_000_000 + beside, "not more than the user allows"
    asked = _object_store_nbytes(1000.0)
    assert 0 < asked < 1000e9, "not more than shared memory has"


class TestFeeds:
    def test_a_split_that_streams_has_the_same_covers(self, store):
        opened = CoverStore.open(store)
        feed = WholeFeed(opened, MemoryPlan(frozenset({(32, "train")})), decoding_threads=2)
        train, val = feed.for_trials(32)["squash"].values()
        assert kinds(train) == {UndecodedBlock}
        assert train.threads == 2
        assert kinds(val) == "memory"
        assert (train.num_covers, val.num_covers) == (opened.count("train"), opened.count("val"))

    def test_a_split_on_the_disk_has_the_same_covers(self, store, local_ray):
        opened = CoverStore.open(store)
        feed = WholeFeed(opened, MemoryPlan(spilled=frozenset({(32, "train")})))
        done = []
        fed = feed.for_trials(32, ("squash", "pad"), lambda *told: done.append(told))
        assert done[-1] == (opened.count("train"),) * 2
        for fit in ("squash", "pad"):
            assert kinds(fed[fit]["train"]) == {SpilledBlock}
            assert kinds(fed[fit]["val"]) == "memory"
            assert fed[fit]["train"].num_covers == opened.count("train")

    def test_nothing_is_decoded_where_all_streams(self, store):
        feed = WholeFeed(CoverStore.open(store), NOTHING_AT_32_PX)
        fed = feed.for_trials(32)["squash"] | feed.test_split(32)["squash"]
        assert [kinds(refs) for refs in fed.values()] == [{UndecodedBlock}] * 3

    def test_a_rehearsal_streams_its_sample(self, store):
        opened = CoverStore.open(store)
        per_genre = (("train", 6), ("val", 3), ("test", 2))
        streams = MemoryPlan(frozenset({(32, "train")}))
        streamed = RehearsalFeed(opened, per_genre, streams).for_trials(32)["squash"]["train"]
        resident = RehearsalFeed(opened, per_genre).for_trials(32)["squash"]["train"]
        assert kinds(streamed) == {UndecodedBlock}
        assert streamed.num_covers == 18
        one, other = (
            [
                batch.images_BHWC
                for batch in refs.batches(18, torch.device("cpu"), shuffle=False).epoch(0)
            ]
            for refs in (streamed, resident)
        )
        assert torch.equal(*one, *other)


class TestCost:
    def _feed(self, store, *streamed):
        plan = MemoryPlan(frozenset(streamed), needed=4 * 10**9, room=10**9)
        return WholeFeed(CoverStore.open(store), plan)

    def test_epochs_take_longer_by_decoding(self, store, check, slots):
        covers = {split: CoverStore.open(store).count(split) for split in ("train", "val")}
        check = check(train_covers_per_s=10.0, eval_covers_per_s=30.0, decode_covers_per_s=5.0)
        trained_s = covers["train"] / 10 + covers["val"] / 30
        streamed_s = covers["train"] / 5
        feed = self._feed(store, (32, "train"))
        assert _epoch_s(check, self._feed(store), slots()) == pytest.approx(trained_s)
        assert _epoch_s(check, feed, slots()) == pytest.approx(trained_s + streamed_s)
        on_gpu = slots(gpus=1, gpus_per_trial=1.0)  # which works while threads decode
        assert _epoch_s(check, feed, on_gpu) == pytest.approx(max(trained_s, streamed_s))

    def test_the_warning_says_so_and_what_to_do(self, store, check):
        feed = self._feed(store, (32, "train"), (32, "val"))
        (told,) = _room_warnings((check(epoch_s=8.0),), feed)
        assert told == (
            "train and val at 32 px are streamed: decoded covers need 4.00 GB, memory has room for "
            "1.00 GB, the disk for no more; decoding them anew takes about 1 s of each epoch of 8 "
            "s; raise --memory-gb or choose a smaller --image-px"
        )

    def test_so_does_that_of_a_disk(self, store, check):
        plan = MemoryPlan(spilled=frozenset({(32, "train")}), needed=4 * 10**9, room=10**9)
        (told,) = _room_warnings((check(epoch_s=8.0),), WholeFeed(CoverStore.open(store), plan))
        assert told == (
            "train at 32 px are decoded onto a disk: decoded covers need 4.00 GB, memory has room "
            "for 1.00 GB; to have them in memory raise --memory-gb or choose a smaller --image-px"
        )

    def test_no_warning_where_all_fits(self, store, check):
        assert _room_warnings((check(),), self._feed(store)) == []


def test_slots_share_out_the_threads(slots):
    assert slots().decoding_threads == 1
    assert slots(count=1, cpus=8).decoding_threads == 8
    assert slots(count=2, cpus=8, cpus_per_trial=3).decoding_threads == 4


def test_features_of_streamed_covers_are_those_of_decoded_ones(store, local_ray):
    opened, pixels = CoverStore.open(store), []
    torch.manual_seed(0)
    features_of = FeaturesOf("small_cnn", "none", 32)
    for refs in (decode_store(opened, 32)["val"], stream_part(Part(opened, "val"), 32, "squash")):
        pixels.append([features_of(refs.block(index)) for index in range(len(refs.block_rows))])
    decoded, streamed = map(Features.joined, pixels)
    assert torch.allclose(decoded.features_ND, streamed.features_ND, atol=1e-5)
    assert torch.equal(decoded.labels_N, streamed.labels_N)


class Listener(SearchObserver):
    def __init__(self):
        self.warnings, self.stages, self.free_cpus = [], [], []

    def warn(self, text):
        self.warnings.append(text)

    def phase(self, text):
        self.stages.append(text)

    def epoch(self, trial, progress, confusion_KK):
        self.free_cpus.append(ray.available_resources().get("CPU", 0))


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["streamed", "decoded onto a disk"])
def test_a_search_whose_covers_do_not_fit_while_trials_hold_every_cpu_ends(
    store, tmp_path, monkeypatch, how
):
    if how == "streamed":
        monkeypatch.setattr(set_up, "spill_room_nbytes", lambda: 0)
    listener = Listener()
    result = run_search(
        SearchConfig(
            store=store,
            runs_dir=tmp_path,
            name="r",
            backbones=("small_cnn",),
            image_px=(32,),
            trials=4,
            epochs=3,
            memory_gb=1e-6,
        ),
        listener,
    )
    assert [
        warning for warning in listener.warnings if f"train and val at 32 px are {how}" in warning
    ]
    assert ("decoding covers at 32 px" in listener.stages) is (how != "streamed")
    assert min(listener.free_cpus) == 0, "trials held every CPU"
    assert len(result.trials) == 4
    assert result.trials[0].state is TrialState.COMPLETE
    assert result.outcome.best.test.n == CoverStore.open(store).count("test")
    for trial in result.trials:
        for epoch in trial.user_attrs["history"]:
            assert 0 <= epoch["data_wait_share"] < 1
