"""What a search was worth."""

import numpy as np
import optuna
import pytest

from covertune.models.metrics import difference_interval
from covertune.search.config import SearchConfig
from covertune.search.finish.gap import Gap, gap_so_far
from covertune.search.plan import Baseline


def test_the_gap_is_that_between_untuned_and_baseline():
    gap = Gap(0.17, 0.355, Baseline("best on Kaggle", 0.40), covers=2000)
    assert gap.closed == pytest.approx((0.355 - 0.17) / (0.40 - 0.17))
    assert gap.in_words == (
        "untuned 0.170, best 0.355 (+18.5 points, 95 % interval +15.8 to +21.1), "
        "best on Kaggle 0.400, gap closed 80 % (71 % to 90 %)"
    )


def test_beyond_the_baseline_is_more_than_all_of_it():
    assert Gap(0.2, 0.5, Baseline("x", 0.4), 1000).closed == pytest.approx(1.5)


@pytest.mark.parametrize(
    "gap",
    [
        Gap(None, 0.5, Baseline("x", 0.4), 1000),  # no yardstick was measured
        Gap(0.2, 0.5, Baseline("x", None), 1000),
        Gap(0.2, None, Baseline("x", 0.4), 1000),
        Gap(0.4, 0.5, Baseline("x", 0.4), 1000),  # nothing to close
        Gap(0.2, 0.5, Baseline("x", 0.4)),  # on nobody knows how many covers
        Gap(0.0, 1.0, Baseline("x", 0.2), 1),  # 500 %, of one cover
        Gap(0.584, 0.655, Baseline("x", 0.612, is_measured=True), 636),  # 254 %, of noise
    ],
)
def test_where_it_means_nothing_no_gap_is_told(gap):
    assert gap.closed is None
    assert gap.closed_interval is None
    assert "closed" not in gap.in_words


def test_a_gap_is_told_once_the_covers_tell_baseline_and_untuned_apart():
    baseline = Baseline("x", 0.25)

    def told(covers):
        low, _ = difference_interval(0.25, 0.2, covers)
        assert (low > 0) == (Gap(0.2, 0.3, Baseline("x", 0.25, True), covers).closed is not None)
        return Gap(0.2, 0.3, baseline, covers).closed is not None

    # A word has no error of its own: sqrt(0.2 * 0.8 / n) * 1.96 is 0.05 at n = 246.
    assert [told(covers) for covers in (10, 100, 240, 260, 500, 1000)] == [0, 0, 0, 1, 1, 1]


def test_the_interval_of_the_gap_holds_what_it_says():
    rng, covers, hits = np.random.default_rng(0), 300, []
    untuned, best, baseline = 0.2, 0.4, 0.45
    for _ in range(2000):
        u, x, b = rng.binomial(covers, (untuned, best, baseline)) / covers
        low, high = Gap(u, x, Baseline("x", b, is_measured=True), covers).closed_interval
        hits.append(low <= (best - untuned) / (baseline - untuned) <= high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


def test_the_best_being_the_untuned_is_ahead_of_nobody():
    gap = Gap(0.2, 0.2, Baseline("x", 0.4), 1000)
    assert gap.in_words == "untuned 0.200, best 0.200, x 0.400"


def test_the_frozen_probe_is_the_baseline_unless_one_is_named():
    assert SearchConfig().baseline_or(0.6) == Baseline("frozen probe", 0.6, is_measured=True)
    assert SearchConfig().baseline_or(None).top1 is None
    named = SearchConfig(baseline=0.4, baseline_name="best on Kaggle")
    assert named.baseline_or(0.6) == Baseline("best on Kaggle", 0.4)


def test_running_trials_count_and_failed_ones_do_not():
    study = optuna.create_study(direction="maximize")
    untuned, running, failed = (study.ask() for _ in range(3))
    for trial, role, value in ((untuned, "untuned", 0.3), (running, "sampled", 0.5)):
        trial.set_user_attr("role", role)
        trial.report(value - 0.1, 1)
        trial.report(value, 2)
    study.tell(untuned, 0.3)
    failed.report(0.9, 1)
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    gap = gap_so_far(study.trials, Baseline("frozen probe", 0.4))
    assert gap == Gap(0.3, 0.5, Baseline("frozen probe", 0.4))
    assert gap_so_far([], Baseline("frozen probe", None)) == Gap(
        None, None, Baseline("frozen probe", None)
    )
