import time

import numpy as np
import pytest
from tests.data_pipeline.dedup.conftest import COPIES, copy_of, opened, waves_of

from covertune.data_pipeline.dedup import candidates
from covertune.data_pipeline.dedup.candidates import find_candidates, likeliest_cuts
from covertune.data_pipeline.dedup.signature import COEFFICIENTS, CUTS, Pictures


def _random_waves(pictures, seed=0):
    """Waves of pictures that have nothing to do with each other."""
    levels = np.random.default_rng(seed).normal(0, 32, (pictures, len(CUTS), COEFFICIENTS))
    return Pictures(levels.round().clip(-127, 127).astype(np.int8), np.arange(pictures))


def _pairs(found):
    return {frozenset(pair) for pair in zip(found.inner_P, found.outer_P, strict=True)}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_among_them(drawn, kind):
    copies = [opened(copy_of(image, kind)) for image in drawn]
    found = _pairs(find_candidates(waves_of([*drawn, *copies])))
    number = len(drawn)
    hits = sum(frozenset((n, number + n)) in found for n in range(number))
    assert hits >= 0.99 * number
    assert len(found) < 3 * number


def test_each_pair_once_with_the_cut_it_is_most_alike_under(drawn):
    found = find_candidates(waves_of([drawn[0], opened(copy_of(drawn[0], "inner")), *drawn[1:9]]))
    assert len(_pairs(found)) == len(found)
    (at,) = np.flatnonzero(found.keys(100) == 1)
    assert (found.inner_P[at], found.outer_P[at]) == (1, 0)
    assert CUTS[found.cut_P[at]] == ((0.05, 0.95), (0.05, 0.95))


def test_likeliest_cuts_agree_with_the_search(drawn):
    images = [*drawn[:30], *(opened(copy_of(image, "left")) for image in drawn[:30])]
    found = find_candidates(waves_of(images))
    again = likeliest_cuts(waves_of(images), found.inner_P, found.outer_P)
    assert np.array_equal(again.keys(100), found.keys(100))
    assert np.allclose(again.cosine_P, found.cosine_P)


def test_strangers_are_no_candidates():
    assert len(find_candidates(_random_waves(3000))) == 0


@pytest.mark.parametrize("pictures", [0, 1])
def test_few(pictures):
    assert len(find_candidates(_random_waves(pictures))) == 0


def test_thousands_of_equal_pictures_do_not_make_millions_of_pairs():
    found = find_candidates(_random_waves(1).some(np.zeros(2000, dtype=int)))
    assert 1999 <= len(found) < 2000 * 40
    assert set(found.inner_P) | set(found.outer_P) == set(range(2000))


def test_memory_and_time_grow_with_the_pictures_not_with_their_pairs(monkeypatch):
    monkeypatch.setattr(candidates, "_AT_ONCE", 10_000)  # as little at once as possible
    times_s = []
    for pictures in (2_000, 8_000):
        strangers = _random_waves(pictures)
        begin = time.process_time()
        find_candidates(strangers)
        times_s.append(time.process_time() - begin)
    assert times_s[1] < 8 * times_s[0]  # quadratic: 16
