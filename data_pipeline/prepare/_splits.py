"""Assigns covers to splits.

Stratified: each genre is divided by itself, into shares rounded by the largest remainder. Covers of
one group stay together. Groups with covers of several genres come first, then each genre's own
groups make up for what those did; both the largest first (Sechidis et al. 2011, "On the
stratification of multi-label data", with groups for examples). Of the splits that have room for a
group, that takes it which lacks most of its own share, so that every split has its part of large
and of mixed groups; where none has room, the one that lacks most covers.

A genre with a group of its own for each split is in every split. One that shares nearly all its
groups with others is where that can be had by moving single groups.

Which groups go where depends on the seed and on the groups' names only, neither on their order nor
on the machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from covertune.vocabulary import Split

__all__ = ["assign_splits", "largest_remainder"]

_Sizes = dict[str, Counter[str]]
"""For each group how many covers it has of each genre."""


def assign_splits(
    genres: Sequence[Sequence[str]],
    groups: Sequence[str],
    *,
    shares: Mapping[Split, float],
    seed: int,
) -> list[Split]:
    """Choose a split for each cover.

    Args:
        genres: The genres of each cover; each genre needs as many groups as there are shares.
        groups: The group of each cover.
        shares: The splits, each with its share of each genre, adding up to 1.
        seed: Another seed, another choice.

    Returns:
        The split of each cover, see the module for what is certain.
    """
    sizes: _Sizes = {}
    for of_cover, group in zip(genres, groups, strict=True):
        sizes.setdefault(group, Counter()).update(of_cover)
    state = _Division(sizes, shares)
    mixed = [group for group, of_group in sizes.items() if len(of_group) > 1]
    own = [group for group, of_group in sizes.items() if len(of_group) == 1]
    for batch in (mixed, own):
        for group in sorted(batch, key=lambda name: (-sizes[name].total(), _draw(seed, name))):
            state.put(group)
    state.mend(sorted(sizes, key=lambda name: (sizes[name].total(), _draw(seed, name))))
    return [state.split_of[group] for group in groups]


def largest_remainder(total: int, shares: Sequence[float]) -> list[int]:
    """Divide `total` into whole numbers close to its shares, each at least 1.

    Hamilton's method: round down, then give what is left to the largest remainders, earlier ones
    first among equals.

    Args:
        total: What to divide, at least the number of shares.
        shares: Positive, adding up to 1.
    """
    assert total >= len(shares), "every share gets at least 1"
    exact = [total * share for share in shares]
    # Guard against 0.15 * 20 = 2.9999999999999996
    quotas = [int(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: quotas[i] - exact[i])
    for i in by_remainder[: total - sum(quotas)]:
        quotas[i] += 1
    while 0 in quotas:
        quotas[quotas.index(0)] += 1
        quotas[quotas.index(max(quotas))] -= 1
    return quotas


class _Division:
    """Groups on their way into splits."""

    def __init__(self, sizes: _Sizes, shares: Mapping[Split, float]) -> None:
        self.split_of: dict[str, Split] = {}
        self._sizes = sizes
        self._splits = tuple(shares)
        covers: Counter[str] = Counter()
        self._groups_left: Counter[str] = Counter()  # of each genre, not put yet
        for of_group in sizes.values():
            covers.update(of_group)
            self._groups_left.update(of_group.keys())
        assert all(left >= len(shares) for left in self._groups_left.values())
        self._covers = covers
        self._quotas: dict[str, dict[Split, int]] = {
            genre: dict(zip(shares, largest_remainder(total, list(shares.values())), strict=True))
            for genre, total in covers.items()
        }
        self._wanted = {genre: dict(quota) for genre, quota in self._quotas.items()}  # not met yet
        self._groups_in: dict[str, Counter[Split]] = {genre: Counter() for genre in covers}

    def put(self, group: str) -> None:
        """Put a group where its genres lack most."""
        of_group = self._sizes[group]
        choices: set[Split] = set(self._splits)
        for genre in sorted(of_group, key=lambda name: (self._groups_left[name], name)):
            missing = self._missing(genre)
            if self._groups_left[genre] <= len(missing) and choices & missing:
                choices &= missing
        self._move(group, max(self._in_order(choices), key=lambda s: self._need(of_group, s)))
        self._groups_left.subtract(of_group.keys())

    def mend(self, movable: Sequence[str]) -> None:
        """Bring genres into splits that have none of them, as long as no other genre suffers."""
        moved = True
        while moved:
            moved = False
            for genre in sorted(self._wanted):
                for split in self._in_order(self._missing(genre)):
                    group = self._spare(genre, movable)
                    if group is not None:
                        self._move(group, split)
                        moved = True

    def _missing(self, genre: str) -> set[Split]:
        return {split for split in self._splits if not self._groups_in[genre][split]}

    def _in_order(self, splits: Iterable[Split]) -> list[Split]:
        return sorted(splits, key=self._splits.index)

    def _need(self, of_group: Counter[str], split: Split) -> tuple[bool, float]:
        """Return how much a split needs a group: first whether it has room, then what it lacks."""
        genres = sorted(of_group)
        wanted = {genre: self._wanted[genre][split] for genre in genres}
        room = all(wanted[genre] >= of_group[genre] for genre in genres)
        whole = {g: self._quotas[g][split] if room else self._covers[g] for g in genres}
        return room, sum(of_group[genre] * wanted[genre] / whole[genre] for genre in genres)

    def _spare(self, genre: str, movable: Sequence[str]) -> str | None:
        """Return a group that no genre would miss where it is."""
        for group in movable:
            here = self.split_of[group]
            others = self._sizes[group]
            if genre in others and all(self._groups_in[other][here] > 1 for other in others):
                return group
        return None

    def _move(self, group: str, split: Split) -> None:
        before = self.split_of.get(group)
        for genre, covers in self._sizes[group].items():
            if before is not None:
                self._wanted[genre][before] += covers
                self._groups_in[genre][before] -= 1
            self._wanted[genre][split] -= covers
            self._groups_in[genre][split] += 1
        self.split_of[group] = split


def _draw(seed: int, group: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=16).digest()
