"""Signals that ask a search to stop."""

import os
import signal

import pytest

from covertune.search.schedule.budget import Budget
from covertune.search.schedule.stop_signals import stopped_by_signals, terminated_as_interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_insists(number):
    budget, heard = Budget(None), []
    before = signal.getsignal(number)
    with stopped_by_signals(budget, lambda: heard.append("stop")):
        os.kill(os.getpid(), number)
        assert budget.interrupted
        assert heard == ["stop"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_being_terminated_is_a_ctrl_c():
    before = signal.getsignal(signal.SIGTERM)
    with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
