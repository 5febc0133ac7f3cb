from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.schema import SPLITS
from data_pipeline.splits import assign_splits, largest_remainder

SHARES = {"val_share": 0.15, "test_share": 0.15}


@st.composite
def piles(draw):
    """Covers of a few genres with copies: (genres, groups), one entry a cover."""
    covers = []
    for genre in "ABC"[: draw(st.integers(1, 3))]:
        for group in range(draw(st.integers(3, 12))):
            copies = draw(st.integers(1, 4))
            covers += [(genre, f"{genre}{group}")] * copies
    genres, groups = zip(*covers, strict=True)
    return genres, groups


@given(piles(), st.integers(0, 100))
def test_no_group_straddles_splits(pile, seed):
    splits = assign_splits(*pile, seed=seed, **SHARES)
    seen = set(zip(pile[1], splits, strict=True))
    assert len(seen) == len(set(pile[1]))


@given(
    piles(),
    st.integers(0, 100),
    st.floats(0.01, 0.49, allow_subnormal=False),
    st.floats(0.01, 0.49, allow_subnormal=False),
)
def test_each_split_has_each_genre(pile, seed, val_share, test_share):
    splits = assign_splits(*pile, seed=seed, val_share=val_share, test_share=test_share)
    assert set(zip(pile[0], splits, strict=True)) == {(g, s) for g in pile[0] for s in SPLITS}


@given(piles(), st.integers(0, 100), st.randoms())
def test_order_does_not_matter(pile, seed, random):
    before = dict(zip(pile[1], assign_splits(*pile, seed=seed, **SHARES), strict=True))
    covers = list(zip(*pile, strict=True))
    random.shuffle(covers)
    genres, groups = zip(*covers, strict=True)
    after = dict(zip(groups, assign_splits(genres, groups, seed=seed, **SHARES), strict=True))
    assert before == after


@given(st.integers(3, 400), st.integers(0, 50))
def test_without_copies_the_shares_are_exact(covers, seed):
    groups = [f"{number}" for number in range(covers)]
    splits = Counter(assign_splits(["A"] * covers, groups, seed=seed, **SHARES))
    assert [splits[split] for split in SPLITS] == largest_remainder(covers, (0.7, 0.15, 0.15))


def test_another_genre_changes_nothing():
    alone = assign_splits(["A"] * 20, [f"a{n}" for n in range(20)], seed=0, **SHARES)
    genres, groups = ["A"] * 20 + ["B"] * 9, [f"a{n}" for n in range(20)] + [*"rstuvwxyz"]
    assert assign_splits(genres, groups, seed=0, **SHARES)[:20] == alone


def test_another_seed_another_choice():
    genres, groups = ["A"] * 50, [f"{n}" for n in range(50)]
    choices = {tuple(assign_splits(genres, groups, seed=s, **SHARES)) for s in range(5)}
    assert len(choices) == 5


@pytest.mark.parametrize(
    ("total", "expected"),
    [(3, [1, 1, 1]), (4, [2, 1, 1]), (10, [7, 2, 1]), (20, [14, 3, 3]), (100, [70, 15, 15])],
)
def test_largest_remainder(total, expected):
    assert largest_remainder(total, (0.7, 0.15, 0.15)) == expected


@given(st.integers(3, 10_000), st.floats(0.001, 0.6), st.floats(0.001, 0.39))
def test_largest_remainder_adds_up_and_is_near(total, val_share, test_share):
    shares = (1 - val_share - test_share, val_share, test_share)
    quotas = largest_remainder(total, shares)
    assert sum(quotas) == total
    assert min(quotas) >= 1
    for quota, share in zip(quotas, shares, strict=True):
        assert abs(quota - total * share) <= 1 + 2 * (min(shares) * total < 1)
