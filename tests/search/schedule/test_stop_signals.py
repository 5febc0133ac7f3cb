"""Signals that ask a search to stop."""

import os
import signal
import time

import pytest

from covertune.search.schedule.budget import Budget
from covertune.search.schedule.stop_signals import (
    interrupted_by_signals,
    stop_came_since,
    stopped_by_signals,
)

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(params=STOPS)
def number(request):
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    assert signal.getsignal(request.param) is signal.default_int_handler, "it is put back"
    signal.signal(request.param, before)


def test_the_first_signal_asks_and_the_second_insists(number):
    budget, heard = Budget(None), []
    with stopped_by_signals(budget, lambda: heard.append("stop")):
        os.kill(os.getpid(), number)
        assert budget.interrupted
        assert heard == ["stop"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_all_of_them_are_a_ctrl_c(number):
    began = time.monotonic()
    with interrupted_by_signals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert stop_came_since(began)
    assert not stop_came_since(time.monotonic())


@pytest.mark.parametrize("number", STOPS)
def test_what_is_ignored_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        budget = Budget(None)
        with interrupted_by_signals(), stopped_by_signals(budget, lambda: None):
            os.kill(os.getpid(), number)
        assert not budget.interrupted
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
