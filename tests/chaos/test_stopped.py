"""Stops as shells, job schedulers and closed terminals send them: 130, a line, nothing left."""

import os
import signal
import time

import psutil
import pytest

SECONDS_TO_END = 30  # Ray's agents see within some seconds that their raylet has gone


def nothing_left(command):
    """All processes of the command's session end soon."""
    deadline = time.monotonic() + SECONDS_TO_END
    while left := command.session():
        if time.monotonic() > deadline:
            return [" ".join(process.cmdline()[:3]) for process in left]
        time.sleep(0.1)
    return []


def to_driver(command, number):
    command.process.send_signal(number)


def to_group(command, number):
    """As `timeout` does, and a terminal."""
    os.killpg(command.pid, number)


def to_everybody(command, number):
    """As systemd and Slurm do."""
    for process in command.session():
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


@pytest.mark.parametrize(
    ("send", "number"),
    [
        pytest.param(to_group, signal.SIGTERM, marks=pytest.mark.long),
        (to_everybody, signal.SIGTERM),
        pytest.param(to_group, signal.SIGINT, marks=pytest.mark.long),  # Ctrl-C
        pytest.param(to_driver, signal.SIGHUP, marks=pytest.mark.long),
        pytest.param(to_group, signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_a_stop_while_trials_run(new_run, resume, send, number):
    run, command = new_run("run", "--trials", 2)
    assert command.until_epochs(run), command.story
    send(command, number)
    assert command.end() == 130, command.story
    assert command.errors == ["stopped: go on with `covertune resume runs/run`"], command.story
    assert nothing_left(command) == []
    run.look()
    command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole(trials=2)
    assert not any("lost" in reason for reason in run.reasons), run.reasons


def test_a_stop_before_the_first_trial(new_run, draws, kills):
    for _ in range(2 * kills):
        run, command = new_run(f"run-{draws.randrange(10**6)}")
        time.sleep(draws.uniform(0.2, 8))
        send = draws.choice([to_driver, to_group, to_everybody])
        send(command, draws.choice([signal.SIGTERM, signal.SIGHUP]))
        assert command.end() == 130, command.story
        [line] = command.errors
        assert line.startswith("stopped: "), command.story
        assert nothing_left(command) == []
        if run.path.exists():
            assert line.endswith(f"covertune resume runs/{run.path.name}`")


def test_a_stop_of_a_prepare(start, covers, tmp_path, draws):
    for number in (signal.SIGTERM, signal.SIGHUP):
        command = start("data", "prepare", covers, tmp_path / "store", cwd=tmp_path)
        time.sleep(draws.uniform(0.5, 4))
        if command.has_ended:
            break
        to_group(command, number)
        assert command.end() in (0, 130), command.story
        assert command.errors in ([], ["stopped: interrupted"]), command.story
        assert nothing_left(command) == []
        assert [path.name for path in tmp_path.iterdir()] in ([], ["store"])


@pytest.mark.long
def test_nohup(new_run):
    run, command = new_run("run", "--trials", 1, ignores=signal.SIGHUP)
    assert command.until("its preparation", command.says, "checking the machine"), command.story
    to_group(command, signal.SIGHUP)
    assert command.end() == 0, command.story
    run.require_whole(trials=1)
