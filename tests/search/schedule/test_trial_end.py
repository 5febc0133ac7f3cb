"""What the end of a trial means: every end has one decision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covertune.search.schedule.trial_end import (
    LOST_WORKERS,
    Complete,
    Fail,
    Prune,
    Retry,
    Suspend,
    TrialEnd,
    decide,
)

ENDS = st.builds(
    TrialEnd,
    finished=st.booleans(),
    halved=st.booleans(),
    failure=st.none() | st.just("loss is NaN"),
    recipe_at_fault=st.booleans(),
    lost_workers=st.integers(0, LOST_WORKERS + 1),
    is_time_over=st.booleans(),
    is_search_halted=st.booleans(),
)


@pytest.mark.parametrize(
    ("end", "decision"),
    [
        (TrialEnd(finished=True), Complete()),
        (TrialEnd(halved=True), Prune("successive halving")),
        (TrialEnd(is_time_over=True), Prune("time budget")),
        (TrialEnd(finished=True, failure="NaN", recipe_at_fault=True), Fail("NaN", True)),
        (TrialEnd(lost_workers=1), Retry()),
        (TrialEnd(lost_workers=3), Fail("the worker was lost 3 times in one epoch", None)),
        (TrialEnd(lost_workers=1, is_time_over=True), Prune("time budget")),
        (TrialEnd(is_search_halted=True), Suspend()),
        (TrialEnd(is_search_halted=True, halved=True), Prune("successive halving")),
        (TrialEnd(is_search_halted=True, finished=True), Complete()),
        (TrialEnd(is_search_halted=True, is_time_over=True), Prune("time budget")),
    ],
)
def test_each_end(end, decision):
    assert decide(end) == decision


@given(ENDS)
def test_only_a_search_that_goes_on_later_leaves_a_trial_as_it_is(end):
    if isinstance(decide(end), Suspend):
        assert end.is_search_halted
        assert not (end.is_time_over or end.finished or end.halved)


@given(ENDS)
def test_a_lost_worker_is_never_a_completed_trial(end):
    if end.lost_workers and not end.is_time_over:
        assert not isinstance(decide(end), Complete | Prune)


@given(ENDS)
def test_what_failed_by_itself_is_never_complete(end):
    if end.failure is not None:
        assert not isinstance(decide(end), Complete | Prune)


@given(ENDS)
def test_a_failure_says_why(end):
    decision = decide(end)
    if isinstance(decision, Fail):
        assert decision.reason
        assert (decision.recipe_at_fault is None) == ("worker was lost" in decision.reason)
