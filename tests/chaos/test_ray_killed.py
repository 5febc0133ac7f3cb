"""When Ray itself dies under a search, the driver says so in one line and the run can go on."""

import time


def fell(command, processes, named):
    """Kill; the driver must end with one line, soon."""
    assert processes
    for process in processes:
        process.kill()
    killed = time.monotonic()
    assert command.end() == 1, command.story
    took_s = time.monotonic() - killed
    print(f"{named or 'all of Ray'} killed: the driver ended after {took_s:.1f} s")
    assert took_s < 10  # left to itself, Ray takes 14 s without its raylet, 60 without its GCS
    [line] = command.errors
    assert line.startswith(f"error: Ray died: its {named}")
    assert line.endswith("go on with `covertune resume runs/run`")
    assert not any("state-dump" in line for line in command.lines)


def test_a_dead_ray_is_one_line_and_costs_no_trial(new_run, resume, kills):
    run, command = new_run("run", "--trials", 3)
    if kills > 1:
        assert command.until("Ray", command.says, "checking the machine"), command.story
        fell(command, command.rays("raylet"), "raylet")
        command = resume(run)
    for victim in ("raylet", "gcs_server", "")[:kills]:
        assert command.until_epochs(run), command.story
        fell(command, command.rays(victim) if victim else command.family(), victim)
        run.look()
        command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole(trials=3)
    assert not any("lost" in reason for reason in run.reasons), run.reasons
