"""What a search was worth."""

import optuna
import pytest

from covertune.search.config import SearchConfig
from covertune.search.finish.gap import Gap, gap_so_far
from covertune.search.plan import Baseline


def test_the_gap_is_that_between_untuned_and_baseline():
    gap = Gap(0.17, 0.355, Baseline("best on Kaggle", 0.40))
    assert gap.closed == pytest.approx((0.355 - 0.17) / (0.40 - 0.17))
    assert gap.in_words == (
        "untuned 0.170, best 0.355 (+18.5 points), best on Kaggle 0.400, gap closed 80%"
    )


def test_beyond_the_baseline_is_more_than_all_of_it():
    assert Gap(0.2, 0.5, Baseline("x", 0.4)).closed == pytest.approx(1.5)


@pytest.mark.parametrize(
    "gap",
    [
        Gap(None, 0.5, Baseline("x", 0.4)),  # no yardstick was measured
        Gap(0.2, 0.5, Baseline("x", None)),
        Gap(0.2, None, Baseline("x", 0.4)),
        Gap(0.4, 0.5, Baseline("x", 0.4)),  # nothing to close
    ],
)
def test_without_two_ends_there_is_no_gap(gap):
    assert gap.closed is None
    assert "closed" not in gap.in_words


def test_the_frozen_probe_is_the_baseline_unless_one_is_named():
    assert SearchConfig().baseline_or(0.6) == Baseline("frozen probe", 0.6)
    assert SearchConfig().baseline_or(None) == Baseline("frozen probe", None)
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
