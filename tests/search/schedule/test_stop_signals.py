"""Signals that ask a search to stop."""

import contextlib
import os
import signal

import pytest

from covertune import stops
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.stop_signals import stopped_by_signals
from covertune.stops import interrupted_by_stops

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _each_signal_counts(monkeypatch):
    monkeypatch.setattr(stops, "_TOGETHER_S", 0)


@pytest.mark.parametrize("number", STOPS)
def test_the_first_signal_asks_and_the_second_insists(number):
    before = signal.signal(number, signal.default_int_handler)
    try:
        budget, heard = Budget(None), []
        with interrupted_by_stops(), stopped_by_signals(budget, lambda: heard.append("stop")):
            os.kill(os.getpid(), number)
            assert budget.interrupted
            assert heard == ["stop"]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)


def test_a_stop_that_a_library_swallowed_before_counts():
    budget, heard = Budget(None), []
    with interrupted_by_stops():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        with stopped_by_signals(budget, lambda: heard.append("stop")):
            assert budget.interrupted
    assert heard == ["stop"]


def test_what_is_ignored_does_not_ask():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        budget = Budget(None)
        with stopped_by_signals(budget, lambda: None):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not budget.interrupted
    finally:
        signal.signal(signal.SIGHUP, before)
