"""What a Ctrl-C, a job scheduler and a closed terminal send."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from covertune.stops import (
    interrupted_by_stops,
    is_stop_swallowed,
    stop_came_since,
    stops_end_the_process,
)

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

IN_C_CODE = """
import ctypes, os, sys, threading, time
from covertune.stops import interrupted_by_stops, stops_end_the_process

def send():
    time.sleep(0.2)
    os.kill(os.getpid(), int(sys.argv[1]))

with interrupted_by_stops(), stops_end_the_process(lambda: print("told", flush=True)):
    threading.Thread(target=send, daemon=True).start()
    if sys.argv[2] == "for ever":
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
    ctypes.CDLL(None).sleep(10)  # a signal wakes it
"""


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
        with interrupted_by_stops(), stops_end_the_process(lambda: pytest.fail("told")):
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_a_program_that_is_in_library_code_for_ever(number):
    done = _in_c_code(number, "for ever")
    assert (done.returncode, done.stdout, done.stderr) == (130, "told\n", "")


def test_a_ctrl_c_is_raised_when_library_code_comes_back():
    done = _in_c_code(signal.SIGINT, "a while")
    assert "KeyboardInterrupt" in done.stderr
    assert done.stdout == ""


def _in_c_code(number, how_long):
    return subprocess.run(
        [sys.executable, "-c", IN_C_CODE, str(int(number)), how_long],
        capture_output=True,
        text=True,
        check=False,
    )


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


def test_afterwards_a_stop_is_a_ctrl_c_again():
    with interrupted_by_stops():
        with stops_end_the_process(lambda: pytest.fail("told")):
            pass
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
