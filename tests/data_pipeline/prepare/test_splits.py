from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covertune.data_pipeline.prepare._splits import assign_splits, largest_remainder
from covertune.vocabulary import SPLITS

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
OFFICIAL = {"train": 0.8, "val": 0.2}


@st.composite
def piles(draw, fewest_own=3, mixed=True):
    """Covers of a few genres, some in groups: (genres, groups), one entry a cover.

    Some groups hold covers of several genres, some covers have several genres themselves.
    """
    covers = []
    names = "ABC"[: draw(st.integers(1, 3))]
    for genre in names:
        for group in range(draw(st.integers(fewest_own, 12))):
            covers += [((genre,), f"{genre}{group}")] * draw(st.integers(1, 4))
    for group in range(draw(st.integers(0, 6)) if mixed else 0):
        of_cover = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
        covers += [(genres, f"m{group}") for genres in draw(st.lists(of_cover, min_size=1))]
    genres, groups = zip(*covers, strict=True)
    return genres, groups


def _split_of_group(pile, **arguments):
    return dict(zip(pile[1], assign_splits(*pile, **arguments), strict=True))


@given(piles(), st.integers(0, 100), st.sampled_from([SHARES, OFFICIAL]))
def test_no_group_straddles_splits(pile, seed, shares):
    splits = assign_splits(*pile, seed=seed, shares=shares)
    assert len(splits) == len(pile[0])
    assert len(set(zip(pile[1], splits, strict=True))) == len(set(pile[1]))
    assert set(splits) <= set(shares)


@given(
    piles(),
    st.integers(0, 100),
    st.floats(0.01, 0.49, allow_subnormal=False),
    st.floats(0.01, 0.49, allow_subnormal=False),
)
def test_a_genre_with_three_groups_of_its_own_is_in_each_split(pile, seed, val, test):
    shares = {"train": 1 - val - test, "val": val, "test": test}
    splits = assign_splits(*pile, seed=seed, shares=shares)
    found = {(g, s) for genres, s in zip(pile[0], splits, strict=True) for g in genres}
    assert found == {(g, s) for genres in pile[0] for g in genres for s in SPLITS}


@given(st.integers(0, 100), st.integers(3, 9))
def test_genres_that_share_all_their_groups_are_in_each_split(seed, groups):
    pile = [("A",), ("B",)] * groups, [f"g{number // 2}" for number in range(2 * groups)]
    splits = assign_splits(*pile, seed=seed, shares=SHARES)
    assert set(splits) == set(SPLITS)


@given(st.integers(0, 200))
def test_single_groups_are_moved_for_a_genre_that_shares_nearly_all_its_groups(seed):
    genres = {"g0": "AB", "g1": "AB", "g2": "A", "g3": "B", "g4": "A", "g5": "A", "g6": "B"}
    pile = [tuple(of_group) for of_group in genres.values()], list(genres)
    splits = _split_of_group(pile, seed=seed, shares=SHARES)
    of_genre = defaultdict(set)
    for group, split in splits.items():
        for genre in genres[group]:
            of_genre[genre].add(split)
    assert of_genre["A"] == of_genre["B"] == set(SPLITS)


@given(piles(), st.integers(0, 100), st.randoms())
def test_order_does_not_matter(pile, seed, random):
    before = _split_of_group(pile, seed=seed, shares=SHARES)
    covers = list(zip(*pile, strict=True))
    random.shuffle(covers)
    assert before == _split_of_group(list(zip(*covers, strict=True)), seed=seed, shares=SHARES)


@given(st.integers(3, 400), st.integers(0, 50))
def test_without_copies_the_shares_are_exact(covers, seed):
    groups = [f"{number}" for number in range(covers)]
    splits = Counter(assign_splits([("A",)] * covers, groups, seed=seed, shares=SHARES))
    assert [splits[split] for split in SPLITS] == largest_remainder(covers, (0.7, 0.15, 0.15))


@given(st.integers(0, 20))
def test_mixed_groups_leave_the_shares_of_each_genre_near(seed):
    genres, groups = [], []
    for number in range(300):
        genre = "AAABBC"[number % 6]
        genres.append((genre,))
        groups.append(f"{number % 40 if number < 120 else number}")  # 40 mixed groups of three
    splits = assign_splits(genres, groups, seed=seed, shares=SHARES)
    counts = Counter(zip(genres, splits, strict=True))
    for genre, total in Counter(genres).items():
        for split, share in SHARES.items():
            assert abs(counts[genre, split] - total * share) <= 3


def test_another_genre_changes_nothing():
    groups = [f"a{n}" for n in range(20)]
    alone = assign_splits([("A",)] * 20, groups, seed=0, shares=SHARES)
    genres, more = [("A",)] * 20 + [("B",)] * 9, [*groups, *"rstuvwxyz"]
    assert assign_splits(genres, more, seed=0, shares=SHARES)[:20] == alone


def test_another_seed_another_choice():
    genres, groups = [("A",)] * 50, [f"{n}" for n in range(50)]
    choices = {tuple(assign_splits(genres, groups, seed=s, shares=SHARES)) for s in range(5)}
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
