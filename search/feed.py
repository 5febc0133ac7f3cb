"""Which covers a search sees: the whole store, or a small sample of it for a rehearsal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import ray

from data_pipeline import CoverStore, DecodedRefs, decode_store

__all__ = ["Feed", "RehearsalFeed", "WholeFeed"]

Progress = Callable[[int, int], None]


class Feed(Protocol):
    """Decoded covers by image size."""

    @property
    def store(self) -> CoverStore:
        """Where they come from."""

    def count(self, split: str) -> int:
        """Covers of `train`, `val` or `test`."""

    def for_trials(self, image_px: int, progress: Progress | None = None) -> dict[str, DecodedRefs]:
        """The `train` and `val` splits."""

    def for_the_end(self, image_px: int) -> DecodedRefs:
        """The `test` split; asked for once the last trial has ended, after `for_trials`."""


@dataclass(frozen=True)
class WholeFeed:
    """Everything the store holds."""

    store: CoverStore

    def count(self, split: str) -> int:
        """Covers of a split."""
        return self.store.count(split)

    def for_trials(self, image_px: int, progress: Progress | None = None) -> dict[str, DecodedRefs]:
        """The store's own splits."""
        return decode_store(self.store, image_px, progress=progress)

    def for_the_end(self, image_px: int) -> DecodedRefs:
        """The store's test split."""
        return decode_store(self.store, image_px, splits=("test",))["test"]


@dataclass(frozen=True)
class RehearsalFeed:
    """A stratified sample, cut from the training split alone.

    Its `test` covers come from there too: a rehearsal must not look at what the real search is
    measured on. The order of a store is that of a hash, so the first covers of a genre are as
    good as any.
    """

    store: CoverStore
    _ends: dict[int, DecodedRefs] = field(default_factory=dict, init=False, repr=False)
    per_genre: tuple[tuple[str, int], ...] = (("train", 60), ("val", 20), ("test", 20))

    def count(self, split: str) -> int:
        """Covers of a split; fewer where a genre has too few."""
        return sum(
            len(self._places(split, by_split["train"]))
            for by_split in self.store.manifest.counts.values()
        )

    def for_trials(self, image_px: int, progress: Progress | None = None) -> dict[str, DecodedRefs]:
        """The sample's training and validation covers; its test covers are set aside."""
        whole = decode_store(self.store, image_px, splits=("train",), progress=progress)["train"]
        self._ends[image_px] = self._sample(whole, "test")
        return {split: self._sample(whole, split) for split in ("train", "val")}

    def for_the_end(self, image_px: int) -> DecodedRefs:
        """The sample's test covers."""
        return self._ends[image_px]

    def _places(self, split: str, covers: int) -> range:
        """Which of a genre's training covers go into a split, by their rank."""
        wanted = dict(self.per_genre)
        share = min(1.0, covers / sum(wanted.values()))
        start = 0
        for name, count in self.per_genre:
            size = max(1, int(count * share))
            if name == split:
                return range(start, min(start + size, covers))
            start += size
        raise KeyError(split)

    def _sample(self, whole: DecodedRefs, split: str) -> DecodedRefs:
        decoded = whole.get()
        chosen: list[int] = []
        for label in range(len(self.store.genres)):
            of_genre = np.flatnonzero(decoded.labels_N == label)
            places = self._places(split, len(of_genre))
            chosen += of_genre[places.start : places.stop].tolist()
        chosen.sort()
        sample = decoded.part(chosen, f"rehearsal/{split}")
        return DecodedRefs(split, len(chosen), whole.image_px, ray.put(sample))
