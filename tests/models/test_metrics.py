import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from covertune.models.metrics import (
    any_top1,
    confusion,
    difference_interval,
    expected_calibration_error,
    macro_f1,
    share_variance,
    top_k,
    wilson_interval,
)

SCORES = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]])
LABELS = np.array([0, 1, 2, 0])


def test_by_hand():
    assert top_k(SCORES, LABELS, 1) == 0.5
    assert top_k(SCORES, LABELS, 2) == 0.75
    assert top_k(SCORES, LABELS, 3) == 1.0
    assert confusion(SCORES, LABELS).tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert macro_f1(confusion(SCORES, LABELS)) == pytest.approx((0.5 + 0 + 1) / 3)


def test_any_genre_by_hand():
    # first guesses 0, 0, 2, 1
    genres = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 0, 0]])
    assert any_top1(SCORES, genres) == 0.5
    assert any_top1(SCORES, np.eye(3, dtype=np.uint8)[LABELS]) == top_k(SCORES, LABELS, 1)
    assert any_top1(np.full((2, 3), np.nan), genres[:2]) == 0.0
    assert math.isnan(any_top1(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.uint8)))


def test_equal_scores_count_as_one_guess():
    assert top_k(np.zeros((4, 4)), np.arange(4), 1) == 0.25


def test_what_is_no_number_is_not_right():
    assert top_k(np.full((2, 3), np.nan), np.array([0, 1]), 1) == 0.0
    assert top_k(np.full((2, 3), np.nan), np.array([0, 1]), 3) == 0.0
    assert top_k(np.array([[0.9, np.nan], [0.9, 0.1]]), np.array([0, 0]), 1) == 0.5


def test_more_guesses_than_genres():
    assert top_k(SCORES[:, :2], np.array([0, 1, 0, 1]), 3) == 1.0


def test_genres_nobody_has_or_is_given_are_left_out():
    assert macro_f1(np.array([[2, 0, 0], [0, 3, 0], [0, 0, 0]])) == 1.0


@given(st_np.arrays(np.int64, (4, 4), elements=st.integers(0, 50)))
def test_macro_f1_is_a_share(table):
    assert table.sum() == 0 or 0 <= macro_f1(table) <= 1


def test_calibration_by_hand():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    # two of confidence 0.9 with accuracy 0.5, two of 0.6 with accuracy 1
    assert expected_calibration_error(probs, np.array([0, 1, 0, 0])) == pytest.approx(0.4)


def test_a_sure_and_right_classifier_is_calibrated():
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0.0


def test_wilson_against_published_values():
    # Newcombe 1998, table I: 81 of 263 and 0 of 20
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(case):
    k, n = case
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1


def test_a_difference_has_one_hit_and_one_miss_added_to_either_side():
    # 31/102 - 21/102 = 0.09804, its standard error 0.060638 (Agresti and Caffo 2000)
    assert difference_interval(0.3, 0.2, 100) == pytest.approx((-0.02081, 0.21689), abs=5e-5)
    assert difference_interval(0.2, 0.3, 100) == pytest.approx((-0.21689, 0.02081), abs=5e-5)


def test_of_one_cover_nothing_is_known():
    low, high = difference_interval(1.0, 0.0, 1)
    assert low < 0 < high
    assert share_variance(0.0, 1) == pytest.approx(1 / 3 * 2 / 3 / 3)


def test_nothing_measured_is_no_number():
    none, labels = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    assert math.isnan(top_k(none, labels, 1))
    assert math.isnan(expected_calibration_error(none, labels))
    assert math.isnan(macro_f1(np.zeros((3, 3), dtype=np.int64)))
