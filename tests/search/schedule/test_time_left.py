"""How long a search still takes: right once trials have shown what an epoch takes."""

import pytest

from covertune.search.schedule.time_left import TimeLeft


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def begin(left, number, epochs=0.0, epoch_s=10.0, is_judged=True, is_new=True):
    left.began(
        number,
        epochs=epochs,
        max_epochs=6,
        epoch_s=epoch_s,
        is_judged=is_judged,
        is_new=is_new,
    )


def test_nothing_is_told_before_an_epoch_is_measured(clock):
    left = TimeLeft(trials=4, slots=1, mean_epochs=2, epoch_s=10, clock=clock)
    assert left.left_s is None
    begin(left, 0)
    clock.now = 500
    assert left.left_s is None


def test_a_preflight_that_was_off_by_three_is_put_right_by_the_first_epoch(clock):
    left = TimeLeft(trials=4, slots=1, mean_epochs=2, epoch_s=30, clock=clock)
    begin(left, 0, epoch_s=30)
    clock.now = 25  # of which 15 for the worker to start
    left.measured(0, 1, 10)
    # One more epoch of this trial, then three trials of two: 7 epochs of 10 s, not of 30.
    assert left.left_s == pytest.approx(70)
    clock.now = 29
    assert left.left_s == pytest.approx(66)


def test_trials_side_by_side_share_what_is_left(clock):
    left = TimeLeft(trials=5, slots=2, mean_epochs=2, epoch_s=10, clock=clock)
    begin(left, 0)
    begin(left, 1)
    clock.now = 10
    left.measured(0, 1, 10)
    left.measured(1, 1, 10)
    assert left.left_s == pytest.approx((2 * 10 + 3 * 20) / 2)


def test_costly_backbones_are_known_to_be_costly(clock):
    left = TimeLeft(trials=2, slots=1, mean_epochs=1, epoch_s=(10 + 90) / 2, clock=clock)
    begin(left, 0, epoch_s=10)
    clock.now = 20
    left.measured(0, 1, 20)  # twice what was told
    left.ended(0)
    assert left.left_s == pytest.approx(2 * 50)


def test_trials_that_go_on_longer_than_expected_count(clock):
    left = TimeLeft(trials=5, slots=1, mean_epochs=2, epoch_s=10, clock=clock)
    for number in range(4):
        begin(left, number)
        for epoch in range(1, 5):
            clock.now += 10
            left.measured(number, epoch, 10)
        left.ended(number)
    # As many trials of four epochs as of two are expected by now: three epochs of 10 s.
    assert left.left_s == pytest.approx(30)


def test_the_yardstick_trains_to_its_end_and_tells_nothing_of_others(clock):
    left = TimeLeft(trials=2, slots=1, mean_epochs=1, epoch_s=10, clock=clock)
    begin(left, 0, is_judged=False)
    clock.now = 10
    left.measured(0, 1, 10)
    assert left.left_s == pytest.approx(50 + 10)
    left.measured(0, 6, 50)
    left.ended(0)
    assert left.left_s == pytest.approx(10)


def test_a_resumed_search_knows_at_once(clock):
    left = TimeLeft(trials=1, slots=1, mean_epochs=2, epoch_s=10, clock=clock)
    left.measured_before(epochs=4, seconds=80, epoch_s=10)
    begin(left, 3, epochs=1, is_new=False)
    assert left.left_s == pytest.approx(20 + 2 * 20)


def test_an_epoch_that_takes_longer_than_ever_is_about_to_end(clock):
    left = TimeLeft(trials=1, slots=1, mean_epochs=3, epoch_s=10, clock=clock)
    begin(left, 0)
    clock.now = 10
    left.measured(0, 1, 10)
    clock.now = 100
    assert left.left_s == pytest.approx(10), "and one more"
