"""What a search was worth."""

import pytest

from models import Measurement
from search.config import SearchConfig
from search.outcome import Score, _baseline, _gap_closed


def score(test_top1, trial=None):
    measured = Measurement(
        n=100, top1=test_top1, top1_interval=(0, 1), top3=1.0, macro_f1=0.5, ece=0.1
    )
    return Score(what="x", trial=trial, val_top1=0.5, test=measured)


def test_the_gap_is_that_between_untuned_and_baseline():
    scores = {"untuned": score(0.17), "best": score(0.355)}
    assert _gap_closed(scores, 0.40) == pytest.approx((0.355 - 0.17) / (0.40 - 0.17))


def test_beyond_the_baseline_is_more_than_all_of_it():
    assert _gap_closed({"untuned": score(0.2), "best": score(0.5)}, 0.4) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("scores", "baseline"),
    [
        ({"best": score(0.5)}, 0.4),  # no yardstick was measured
        ({"best": score(0.5), "untuned": score(0.2)}, None),
        ({"best": score(0.5), "untuned": score(0.4)}, 0.4),  # nothing to close
    ],
)
def test_without_two_ends_there_is_no_gap(scores, baseline):
    assert _gap_closed(scores, baseline) is None


def test_the_frozen_probe_is_the_baseline_unless_one_is_named():
    assert _baseline(SearchConfig(), score(0.6)) == ("frozen probe", 0.6)
    assert _baseline(SearchConfig(), None) == ("frozen probe", None)
    named = SearchConfig(baseline=0.4, baseline_name="best on Kaggle")
    assert _baseline(named, score(0.6)) == ("best on Kaggle", 0.4)
