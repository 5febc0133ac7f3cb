import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_pipeline.dedup.conftest import copy_of, opened, waves_of

from covertune.data_pipeline.dedup.near import find_near_copies
from covertune.data_pipeline.dedup.signature import COEFFICIENTS, CUTS, Pictures


def _family(pictures, strength=2.0, seed=0):
    """Waves of pictures that look alike from afar."""
    rng = np.random.default_rng(seed)
    levels = rng.normal(0, 32, (1, 1, COEFFICIENTS)) + rng.normal(
        0, strength, (pictures, 1, COEFFICIENTS)
    )
    levels = np.repeat(levels, len(CUTS), axis=1).round().clip(-127, 127).astype(np.int8)
    return Pictures(levels, np.arange(pictures))


def _by(same):
    """A comparison that asks `same` about numbers."""
    return lambda pairs: np.array(
        [same(int(a), int(b)) for a, b in zip(pairs.inner_P, pairs.outer_P, strict=True)], bool
    )


def test_copies_come_to_the_best_of_them(drawn):
    images = [drawn[0], opened(copy_of(drawn[0], "x2")), opened(copy_of(drawn[0], "grey"))]
    found = find_near_copies(
        waves_of([*images, drawn[1]]), np.array([1, 0, 2, 3]), _by(lambda a, b: True)
    )
    assert found.centre_N.tolist() == [1, 1, 1, 3]


def test_look_alikes_that_are_no_copies_stay_by_themselves():
    found = find_near_copies(_family(50), np.arange(50), _by(lambda a, b: False))
    assert found.centre_N.tolist() == list(range(50))
    assert found.compared > 0
    assert len(found.links_L2) == 0


def test_a_chain_is_broken_where_it_no_longer_matches_the_centre():
    found = find_near_copies(_family(12), np.arange(12), _by(lambda a, b: abs(a - b) == 1))
    assert found.centre_N.tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))), st.permutations(range(10)))
def test_members_match_their_centre_and_centres_do_not_match(links, rank):
    linked = {frozenset(pair) for pair in links if pair[0] != pair[1]}
    same = _by(lambda a, b: frozenset((a, b)) in linked)
    centre = find_near_copies(_family(10), np.array(rank), same).centre_N.tolist()
    for picture, of_picture in enumerate(centre):
        assert of_picture == picture or frozenset((picture, of_picture)) in linked
        assert centre[of_picture] == of_picture
        assert rank[of_picture] <= rank[picture]
    for pair in linked:
        one, other = pair
        assert not (centre[one] == one and centre[other] == other)


@given(st.permutations(range(21)))
def test_order_does_not_matter(order):
    family, clique = _family(21), np.arange(21) // 3
    order = np.array(order)
    found = find_near_copies(
        family.some(order), order, _by(lambda a, b: clique[order[a]] == clique[order[b]])
    )
    assert (order[found.centre_N] == (order // 3) * 3).all()


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_thousands_of_copies_come_together_with_few_comparisons_each(strength):
    found = find_near_copies(_family(1000, strength), np.arange(1000), _by(lambda a, b: True))
    assert len(set(found.centre_N)) == 1
    assert found.compared < 40 * 1000


def test_thousands_of_look_alikes_cost_few_comparisons_each():
    found = find_near_copies(_family(1000), np.arange(1000), _by(lambda a, b: False))
    assert found.compared <= 24 * 1000
