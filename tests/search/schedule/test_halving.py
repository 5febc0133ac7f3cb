"""Successive halving: who goes on after a rung."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covertune.search.plan import HalvingPlan
from covertune.search.schedule.halving import SuccessiveHalving

NINE = HalvingPlan(grace_epochs=1, epochs=9, eta=3)


def rule(**overrides):
    return SuccessiveHalving(replace(NINE, **overrides))


def test_rungs_are_geometric_and_below_the_last_epoch():
    assert list(rule().rungs) == [1, 3]
    assert list(rule(epochs=10).rungs) == [1, 3, 9]
    assert list(rule(grace_epochs=2, epochs=20, eta=2).rungs) == [2, 4, 8, 16]


def test_one_epoch_leaves_nothing_to_stop():
    assert rule(epochs=1).rungs == {}


def test_one_in_three_of_fewer_than_three_is_nobody_to_stop():
    halving = rule()
    assert halving.should_continue(0, 1, 0.5)
    assert halving.should_continue(1, 1, 0.1)
    assert not halving.should_continue(2, 1, 0.4)
    assert halving.should_continue(3, 1, 0.6)
    assert halving.should_continue(4, 3, 0.2), "each rung counts its own"


def test_between_rungs_everyone_goes_on():
    halving = rule()
    halving.should_continue(0, 1, 0.9)
    assert halving.should_continue(1, 2, 0.0)
    assert halving.should_continue(1, 9, 0.0)


def test_what_is_recorded_counts_like_what_was_decided():
    fresh, resumed = rule(), rule()
    values = [0.5, 0.4, 0.7, 0.6, 0.2]
    for number, value in enumerate(values):
        fresh.should_continue(number, 1, value)
        resumed.record(number, 1, value)
    assert fresh.rungs == resumed.rungs
    assert fresh.should_continue(9, 1, 0.65) == resumed.should_continue(9, 1, 0.65)


def test_a_trial_taken_up_again_is_not_judged_twice():
    halving = rule()
    halving.record(0, 1, 0.5)
    assert halving.should_continue(1, 1, 0.9)
    assert halving.should_continue(0, 1, 0.5)
    assert len(halving.rungs[1]) == 2


def test_it_remembers_whom_it_stopped():
    halving = rule()
    values = enumerate((0.5, 0.4, 0.3))
    assert [halving.should_continue(number, 1, value) for number, value in values][2] is False
    assert not halving.should_continue(2, 1, 0.3)


def test_every_second_trial_passes_the_first_rung_unjudged():
    halving = rule(brackets=2)
    for number, value in enumerate((0.9, 0.1, 0.8, 0.1)):
        assert halving.should_continue(number, 1, value) == (number != 2)
    assert halving.should_continue(3, 3, 0.1)
    assert halving.should_continue(1, 3, 0.2)
    assert not halving.should_continue(5, 3, 0.1), "the rungs after that are everyone's"


def test_who_passes_unjudged_counts_for_the_others():
    halving = rule(brackets=2)
    for number in (1, 3, 5):
        assert halving.should_continue(number, 1, 0.7)
    assert not halving.should_continue(0, 1, 0.6)


def test_everyone_is_judged_at_the_last_rung():
    halving = rule(brackets=4)
    for number, value in ((0, 0.9), (3, 0.1), (7, 0.1), (4, 0.8)):
        assert halving.should_continue(number, 1, value) == (number != 4)
    for number, value in ((0, 0.9), (1, 0.8), (2, 0.7), (3, 0.1)):
        assert halving.should_continue(number, 3, value) == (number < 2)
    only_one = rule(epochs=3, brackets=2)
    assert only_one.should_continue(0, 1, 0.9)
    assert only_one.should_continue(2, 1, 0.8)
    assert not only_one.should_continue(1, 1, 0.7)


def test_mean_epochs_follow_the_rungs():
    # 9 epochs, eta 3: all train 1, a third 2 more, a ninth 6 more
    assert rule().mean_epochs() == pytest.approx(1 + 2 / 3 + 6 / 9)
    # and of the second bracket all train 3, a third 6 more
    assert rule(brackets=2).mean_epochs() == pytest.approx((1 + 2 / 3 + 6 / 9 + 3 + 6 / 3) / 2)
    assert rule(epochs=1, brackets=2).mean_epochs() == 1


@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=3, max_size=60, unique=True))
def test_the_best_so_far_always_goes_on(values):
    halving = rule()
    for number, value in enumerate(values):
        should_continue = halving.should_continue(number, 1, value)
        if value == max(values[: number + 1]):
            assert should_continue


@given(
    st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=60, unique=True),
    st.integers(2, 5),
)
def test_an_answer_agrees_with_the_rank_at_that_moment(values, eta):
    halving = rule(eta=eta)
    for number, value in enumerate(values):
        rank = sum(other >= value for other in values[: number + 1])
        allowed = (number + 1) // eta
        assert halving.should_continue(number, 1, value) == (allowed == 0 or rank <= allowed)


def test_half_a_standard_error_behind_is_not_behind():
    """On 400 covers 0.5 is known to 2.5 points."""
    rule = SuccessiveHalving(NINE, covers=400)
    assert rule.should_continue(0, 1, 0.5)
    assert rule.should_continue(1, 1, 0.2)
    assert rule.should_continue(2, 1, 0.489)
    assert not rule.should_continue(3, 1, 0.487)
    assert SuccessiveHalving(NINE).should_continue(0, 1, 0.5)


def test_on_very_many_covers_the_rank_alone_counts():
    rule = SuccessiveHalving(NINE, covers=10**8)
    assert rule.should_continue(0, 1, 0.5)
    assert rule.should_continue(1, 1, 0.2)
    assert not rule.should_continue(2, 1, 0.499)
