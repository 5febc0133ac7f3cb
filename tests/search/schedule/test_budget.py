"""The clock of a search."""

from covertune.search.cluster.budget_stopper import BudgetStopper
from covertune.search.schedule.budget import Budget


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_time_counts_on_from_before():
    clock = Clock()
    budget = Budget(60.0, spent_s=50.0, clock=clock)
    clock.now += 4.0
    assert budget.spent_s == 54.0
    assert budget.left_s == 6.0
    assert not budget.is_over
    clock.now += 6.0
    assert budget.is_over


def test_no_limit_is_never_over():
    clock = Clock()
    budget = Budget(None, clock=clock)
    clock.now += 1e9
    assert not budget.is_over
    assert budget.admits_a_trial


def test_a_trial_that_cannot_have_an_epoch_is_not_begun():
    clock = Clock()
    budget = Budget(60.0, clock=clock)
    budget.shortest_epoch_s = 20.0
    clock.now += 39.0
    assert budget.admits_a_trial
    clock.now += 2.0
    assert not budget.admits_a_trial
    assert not budget.is_over


def test_the_stopper_ends_all_trials_when_the_time_is_over_or_the_user_wants_it():
    clock = Clock()
    budget = Budget(60.0, clock=clock)
    stopper = BudgetStopper(budget)
    assert not stopper("trial", {})
    assert not stopper.stop_all()
    budget.interrupt()
    assert stopper.stop_all()
    late = Budget(60.0, spent_s=60.0, clock=clock)
    assert BudgetStopper(late).stop_all()
