"""Which covers a search sees: the whole store, or a small sample of it for a rehearsal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import ray

from data_pipeline import CoverRefs, CoverStore, DecodedRefs, StreamedRefs, decode_store
from search.memory import ROOM_FOR_ALL, MemoryPlan

__all__ = ["Feed", "RehearsalFeed", "WholeFeed"]

Progress = Callable[[int, int], None]
_OF_TRIALS = ("train", "val")


class Feed(Protocol):
    """Covers by image size, decoded or streamed as the memory plan says."""

    @property
    def store(self) -> CoverStore:
        """Where they come from."""

    @property
    def plan(self) -> MemoryPlan:
        """Which of them are decoded."""

    @property
    def decoding_threads(self) -> int:
        """Of each trial, where covers are streamed."""

    def count(self, split: str) -> int:
        """Covers of `train`, `val` or `test`."""

    def for_trials(self, image_px: int, progress: Progress | None = None) -> dict[str, CoverRefs]:
        """The `train` and `val` splits."""

    def for_the_end(self, image_px: int) -> CoverRefs:
        """The `test` split; asked for once the last trial has ended."""


@dataclass(frozen=True)
class WholeFeed:
    """Everything the store holds."""

    store: CoverStore
    plan: MemoryPlan = ROOM_FOR_ALL
    decoding_threads: int = 1

    def count(self, split: str) -> int:
        """Covers of a split."""
        return self.store.count(split)

    def for_trials(self, image_px: int, progress: Progress | None = None) -> dict[str, CoverRefs]:
        """The store's own splits."""
        return self._splits(_OF_TRIALS, image_px, progress)

    def for_the_end(self, image_px: int) -> CoverRefs:
        """The store's test split."""
        return self._splits(("test",), image_px)["test"]

    def _splits(
        self, splits: tuple[str, ...], image_px: int, progress: Progress | None = None
    ) -> dict[str, CoverRefs]:
        fed: dict[str, CoverRefs] = {
            split: StreamedRefs(self.store, split, image_px, threads=self.decoding_threads)
            for split in splits
        }
        resident = [split for split in splits if not self.plan.streams(image_px, split)]
        if resident:
            fed |= decode_store(self.store, image_px, splits=resident, progress=progress)
        return fed


@dataclass(frozen=True)
class RehearsalFeed:
    """A stratified sample, cut from the training split alone.

    Its `test` covers come from there too: a rehearsal must not look at what the real search is
    measured on. The order of a store is that of a hash, so the first covers of a genre are as
    good as any. Only the sample is decoded.
    """

    store: CoverStore
    per_genre: tuple[tuple[str, int], ...] = (("train", 60), ("val", 20), ("test", 20))
    plan: MemoryPlan = ROOM_FOR_ALL
    decoding_threads: int = 1

    def count(self, split: str) -> int:
        """Covers of a split; fewer where a genre has too few."""
        return sum(
            len(self._places(split, by_split["train"]))
            for by_split in self.store.manifest.counts.values()
        )

    def for_trials(self, image_px: int, progress: Progress | None = None) -> dict[str, CoverRefs]:
        """The sample's training and validation covers."""
        return {split: self._sample(split, image_px, progress) for split in _OF_TRIALS}

    def for_the_end(self, image_px: int) -> CoverRefs:
        """The sample's test covers."""
        return self._sample("test", image_px)

    def _sample(self, split: str, image_px: int, progress: Progress | None = None) -> CoverRefs:
        threads = self.decoding_threads
        chosen = StreamedRefs(self.store, "train", image_px, self._chosen(split), threads)
        if self.plan.streams(image_px, split):
            return chosen
        decoded = chosen.load(f"rehearsal/{split}", progress)
        return DecodedRefs(split, len(decoded), image_px, ray.put(decoded))

    def _chosen(self, split: str) -> np.ndarray:
        """Places in the store's training split, ascending."""
        chosen: list[int] = []
        for label in range(len(self.store.genres)):
            of_genre = np.flatnonzero(self._train_labels == label)
            places = self._places(split, len(of_genre))
            chosen += of_genre[places.start : places.stop].tolist()
        return np.array(sorted(chosen))

    @cached_property
    def _train_labels(self) -> np.ndarray:
        covers = self.store.read_columns(["split", "label"])
        labels_N: np.ndarray = covers["label"].to_numpy()[covers["split"].to_numpy() == "train"]
        return labels_N

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
