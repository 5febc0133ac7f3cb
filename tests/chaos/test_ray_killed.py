"""When Ray itself dies under a search, the driver says so in one line and the run can go on."""

import time

import pytest


@pytest.mark.parametrize(
    ("victims", "named"),
    [(("raylet",), "raylet"), (("gcs_server",), "gcs_server"), (("raylet", "gcs_server"), "")],
    ids=["raylet", "gcs", "both"],
)
def test_a_dead_ray_is_one_line_and_costs_no_trial(new_run, resume, victims, named):
    run, command = new_run("run", "--trials", 3, "--epochs", 3)
    assert command.until("an epoch", lambda: run.checkpoints), command.story
    processes = command.rays(*victims)
    assert len(processes) == len(victims)
    for process in processes:
        process.kill()
    killed = time.monotonic()
    assert command.end() == 1, command.story
    took_s = time.monotonic() - killed
    print(f"{' and '.join(victims)} killed: the driver ended after {took_s:.1f} s")
    assert took_s < 10
    [line] = command.errors
    assert line.startswith(f"error: Ray died: its {named}")
    assert line.endswith("go on with `covertune resume runs/run`")
    assert not any("state-dump" in line for line in command.lines)
    assert not any("lost" in reason for reason in run.reasons)

    run.look()
    command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole(trials=3, epochs=3)
    assert not any("lost" in reason for reason in run.reasons)


def test_all_of_ray_killed_at_once(new_run, resume):
    run, command = new_run("run", "--trials", 3, "--epochs", 3)
    assert command.until("an epoch", lambda: run.checkpoints), command.story
    for process in command.family():
        process.kill()
    killed = time.monotonic()
    assert command.end() == 1, command.story
    print(f"all of Ray killed: the driver ended after {time.monotonic() - killed:.1f} s")
    [line] = command.errors
    assert line.startswith("error: Ray died: its ")
    assert line.endswith("go on with `covertune resume runs/run`")
    command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole(trials=3, epochs=3)
    assert not any("lost" in reason for reason in run.reasons)


def test_a_ray_that_dies_before_the_first_trial(new_run, resume):
    run, command = new_run("run", "--trials", 2, "--epochs", 1)
    assert command.until("Ray", command.says, "checking the machine"), command.story
    for process in command.rays("raylet"):
        process.kill()
    assert command.end() == 1, command.story
    [line] = command.errors
    assert line.startswith("error: Ray died: its raylet")
    command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole(trials=2, epochs=1)
