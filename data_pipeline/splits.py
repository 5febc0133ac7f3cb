"""Assigns covers to train, val and test.

Stratified: each genre is divided by itself, into shares rounded by the largest remainder. Copies
of one cover (a group) stay together. Which groups go where depends on the seed and on the groups'
names only, neither on their order nor on the machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from data_pipeline.schema import SPLITS, Split

__all__ = ["assign_splits", "largest_remainder"]


def assign_splits(
    genres: Sequence[str],
    groups: Sequence[str],
    *,
    val_share: float,
    test_share: float,
    seed: int,
) -> list[Split]:
    """Choose a split for each cover.

    Args:
        genres: The genre of each cover; each needs at least three groups.
        groups: The group of each cover; all covers of a group have the same genre.
        val_share: Share of each genre for `val`, in (0, 1).
        test_share: Share of each genre for `test`, in (0, 1).
        seed: Another seed, another choice.

    Returns:
        The split of each cover. Of each genre, every split has at least one cover.
    """
    sizes_by_genre: dict[str, Counter[str]] = {}
    for genre, group in zip(genres, groups, strict=True):
        sizes_by_genre.setdefault(genre, Counter())[group] += 1
    split_of: dict[str, Split] = {}
    for sizes in sizes_by_genre.values():
        assert not split_of.keys() & sizes.keys(), "a group has covers of one genre only"
        split_of |= _divide(sizes, val_share, test_share, seed)
    return [split_of[group] for group in groups]


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


def _divide(
    sizes: Counter[str], val_share: float, test_share: float, seed: int
) -> dict[str, Split]:
    """Divide one genre: largest groups first, each to the split that lacks most covers."""
    assert len(sizes) >= len(SPLITS), "a genre needs a group for each split"
    shares = (1.0 - val_share - test_share, val_share, test_share)
    wanted = dict(zip(SPLITS, largest_remainder(sizes.total(), shares), strict=True))
    missing: list[Split] = list(SPLITS)  # splits without any cover yet
    split_of: dict[str, Split] = {}
    in_seeded_order = sorted(sizes, key=lambda group: (-sizes[group], _draw(seed, group)))
    for place, group in enumerate(in_seeded_order):
        groups_left = len(in_seeded_order) - place
        choices = missing if groups_left == len(missing) else SPLITS
        split = max(choices, key=lambda name: wanted[name])
        split_of[group] = split
        wanted[split] -= sizes[group]
        if split in missing:
            missing.remove(split)
    return split_of


def _draw(seed: int, group: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=16).digest()
