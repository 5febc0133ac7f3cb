"""Which covers a search sees: the whole store, or a small sample of it for a rehearsal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from covertune.data_pipeline import (
    CoverRefs,
    CoverStore,
    Part,
    decode_parts,
    spill_part,
    stream_part,
)
from covertune.search.setup.memory_plan import ROOM_FOR_ALL, MemoryPlan
from covertune.vocabulary import Fit

__all__ = ["Feed", "RehearsalFeed", "WholeFeed", "feed_of", "times_larger"]

Progress = Callable[[int, int], None]
Fitted = dict[Fit, dict[str, CoverRefs]]
"""Splits by fit, then by name."""
_OF_TRIALS = ("train", "val")


class Feed(Protocol):
    """Covers by image size, in memory, on a disk or streamed, as the memory plan says."""

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
        """Count the covers of `train`, `val` or `test`."""

    def for_trials(
        self, image_px: int, fits: Sequence[Fit] = ("squash",), progress: Progress | None = None
    ) -> Fitted:
        """Return the `train` and `val` splits."""

    def test_split(self, image_px: int, fits: Sequence[Fit] = ("squash",)) -> Fitted:
        """Return the `test` split; asked for once the last trial has ended."""


class _FedByParts(ABC):
    """A feed that knows which part of a store each split is."""

    plan: MemoryPlan
    decoding_threads: int

    @abstractmethod
    def part(self, split: str) -> Part:
        """Return the covers of `train`, `val` or `test`."""

    def for_trials(
        self, image_px: int, fits: Sequence[Fit] = ("squash",), progress: Progress | None = None
    ) -> Fitted:
        """Return the training and validation covers."""
        return self._splits(_OF_TRIALS, image_px, fits, progress)

    def test_split(self, image_px: int, fits: Sequence[Fit] = ("squash",)) -> Fitted:
        """Return the test covers."""
        return self._splits(("test",), image_px, fits)

    def _splits(
        self,
        splits: tuple[str, ...],
        image_px: int,
        fits: Sequence[Fit],
        progress: Progress | None = None,
    ) -> Fitted:
        parts = {split: self.part(split) for split in splits}
        return _fed(parts, image_px, fits, self.plan, self.decoding_threads, progress)


@dataclass(frozen=True)
class WholeFeed(_FedByParts):
    """Everything the store holds."""

    store: CoverStore
    plan: MemoryPlan = ROOM_FOR_ALL
    decoding_threads: int = 1

    def count(self, split: str) -> int:
        """Count the covers of a split."""
        return self.store.count(split)

    def part(self, split: str) -> Part:
        """Return the store's own split."""
        return Part(self.store, split)


@dataclass(frozen=True)
class RehearsalFeed(_FedByParts):
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
        """Count the covers of a split; fewer where a genre has too few."""
        return sum(
            len(self._places(split, by_split["train"]))
            for by_split in self.store.manifest.counts.values()
        )

    def part(self, split: str) -> Part:
        """Return the sample's covers of a split."""
        return Part(self.store, "train", self._chosen(split), f"rehearsal/{split}")

    def _chosen(self, split: str) -> np.ndarray:
        """Return places in the store's training split, ascending."""
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
        """Return which of a genre's training covers go into a split, by their rank."""
        wanted = dict(self.per_genre)
        share = min(1.0, covers / sum(wanted.values()))
        start = 0
        for name, count in self.per_genre:
            size = max(1, int(count * share))
            if name == split:
                return range(start, min(start + size, covers))
            start += size
        raise KeyError(split)


def _fed(
    parts: Mapping[str, Part],
    image_px: int,
    fits: Sequence[Fit],
    plan: MemoryPlan,
    threads: int,
    progress: Progress | None,
) -> Fitted:
    """Return each split as the plan says; what is decoded is decoded once for all fits."""
    in_memory = {
        split: part
        for split, part in parts.items()
        if not plan.streams(image_px, split) and not plan.spills(image_px, split)
    }
    fed: Fitted = {fit: {} for fit in fits}
    if in_memory:
        decoded = decode_parts(in_memory, image_px, fits, progress)
        fed = {fit: dict(decoded[fit]) for fit in fits}
    for split, part in parts.items():
        if plan.streams(image_px, split):
            refs = {fit: stream_part(part, image_px, fit, threads) for fit in fits}
        elif plan.spills(image_px, split):
            refs = spill_part(part, image_px, fits, progress)
        else:
            continue
        for fit in fits:
            fed[fit][split] = refs[fit]
    return {fit: {split: fed[fit][split] for split in parts} for fit in fits}


def feed_of(store: CoverStore, *, rehearse: bool) -> WholeFeed | RehearsalFeed:
    """Return the covers a search sees."""
    return RehearsalFeed(store) if rehearse else WholeFeed(store)


def times_larger(feed: Feed) -> float:
    """Return how many times as many training covers the store holds; 1 unless it is a rehearsal."""
    return feed.store.count("train") / feed.count("train")
