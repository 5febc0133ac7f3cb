"""What a Ctrl-C, a job scheduler and a closed terminal send."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from covertune import stops
from covertune.stops import (
    answered_stops,
    deferred_stops,
    interrupted_by_stops,
    is_stop_swallowed,
    stop_came_since,
)

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(params=STOPS)
def number(request):
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    assert signal.getsignal(request.param) is signal.default_int_handler, "it is put back"
    signal.signal(request.param, before)


def test_all_of_them_are_a_ctrl_c(number):
    began = time.monotonic()
    with interrupted_by_stops(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert stop_came_since(began)
    assert not stop_came_since(time.monotonic())


@pytest.mark.parametrize("number", STOPS)
def test_what_is_ignored_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interrupted_by_stops():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_library_that_makes_another_error_of_a_stop_is_overruled():
    with pytest.raises(KeyboardInterrupt), interrupted_by_stops():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as stop:
            raise RuntimeError("cannot import") from stop
    with pytest.raises(RuntimeError), interrupted_by_stops():
        raise RuntimeError


def test_a_stop_that_a_library_swallows_is_remembered():
    with interrupted_by_stops():
        assert not is_stop_swallowed()
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert is_stop_swallowed()
    assert not is_stop_swallowed()


def test_signals_that_come_together_are_one(monkeypatch):
    heard = []
    with answered_stops(lambda: heard.append("stop")):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        assert heard == ["stop"]
        monkeypatch.setattr(stops, "_TOGETHER_S", 0)
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == ["stop", "stop"]


def test_a_stop_that_is_deferred_is_answered_afterwards(monkeypatch):
    monkeypatch.setattr(stops, "_TOGETHER_S", 0)
    done = []
    with pytest.raises(KeyboardInterrupt), interrupted_by_stops():
        with deferred_stops():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("block")
        done.append("more")
    assert done == ["block"]
    with pytest.raises(KeyboardInterrupt), deferred_stops():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


class _Interrupts:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_in_a_destructor_is_remembered_without_a_word(capsys):
    with interrupted_by_stops():
        _Interrupts()
        assert is_stop_swallowed()
    assert capsys.readouterr().err == ""


INTERRUPTS = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            exec("raise KeyboardInterrupt")

sys.meta_path.insert(0, Finder())
"""


def test_a_ctrl_c_in_text_that_is_executed_does_not_choose_the_exit_code(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS)
    done = subprocess.run(
        [sys.executable, "-m", "covertune", "backbones"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped: interrupted\n")
