"""Which covers a search sees."""

import numpy as np

from covertune.data_pipeline import CoverStore
from covertune.search.setup.feed import RehearsalFeed, WholeFeed


def test_the_whole_feed_is_the_store(store):
    opened = CoverStore.open(store)
    feed = WholeFeed(opened)
    splits = feed.for_trials(32)["squash"]
    assert {name: refs.num_covers for name, refs in splits.items()} == {
        "train": opened.count("train"),
        "val": opened.count("val"),
    }
    assert feed.test_split(32)["squash"]["test"].num_covers == feed.count("test")


def test_a_rehearsal_is_a_stratified_part_of_the_training_split(store):
    opened = CoverStore.open(store)
    feed = RehearsalFeed(opened, per_genre=(("train", 6), ("val", 3), ("test", 2)))
    splits = feed.for_trials(32)["squash"] | {"test": feed.test_split(32)["squash"]["test"]}
    training = set(WholeFeed(opened).for_trials(32)["squash"]["train"].get().cover_ids_N)
    seen = set()
    for name, per_genre in feed.per_genre:
        split = splits[name].get()
        assert np.bincount(split.labels_N).tolist() == [per_genre] * 3
        assert feed.count(name) == len(split) == 3 * per_genre
        ids = set(split.cover_ids_N)
        assert ids <= training, "nothing of the real validation or test split"
        assert not ids & seen
        seen |= ids


def test_a_small_store_is_shared_out(store):
    feed = RehearsalFeed(CoverStore.open(store))
    assert feed.count("train") > feed.count("val") >= 3
    assert sum(feed.count(s) for s in ("train", "val", "test")) <= feed.store.count("train")
