"""A search whose driver is killed, and resumed, again and again, ends as if nothing had been."""

import shutil
import time

import pytest

# In which part of a driver's life it is killed, and how long after that begins, in seconds.
PHASES = {"starting": 4.0, "preparing": 10.0, "trials": 1.0, "concluding": 5.0}
CONCLUDES = "averaging the best models"
EARLY = ("starting", "preparing", "trials", "trials")


def plan(draws, kills):
    """The phases in which the drivers of one search after the other are killed."""
    while kills > 0:
        early = draws.sample(EARLY, k=min(len(EARLY), kills - 1))
        yield [*early, "concluding"]
        kills -= len(early) + 1


def lives_to(phase, command, run, epochs):
    """Wait for a phase, in `trials` for so many new epochs; what was reached before it ended."""
    if phase == "starting":
        return phase
    if not command.until(phase, command.says, "checking the machine"):
        return None
    if phase == "preparing":
        return phase
    if phase == "trials" and command.until_epochs(run, epochs, or_says=CONCLUDES):
        return phase
    return "concluding" if command.until("its end", command.says, CONCLUDES) else None


def test_a_killed_driver_costs_nothing_but_time(new_run, resume, predicts, draws, kills):
    killed = 0
    for number, phases in enumerate(plan(draws, kills)):
        run, command = new_run(f"search-{number}")
        while True:
            if phases:
                phase = phases.pop(0)
                epochs, delay_s = draws.randint(1, 3), draws.uniform(0, PHASES[phase])
                hit = lives_to(phase, command, run, epochs)
                time.sleep(delay_s)
                if hit and not command.has_ended:
                    command.kill()
                    killed += 1
                    states = [trial.state.name.lower() for trial in run.look()]
                    print(
                        f"{run.path.name}: kill {killed}, {delay_s:.1f} s into {hit}, after "
                        f"{command.age_s:.1f} s: {states or 'no trial'}"
                    )
            else:
                command.end()
            if command.process.returncode == 0:
                break
            if command.end() == 1 and "Ray does not start on this machine" in command.errors[-1]:
                print(f"{run.path.name}: {command.errors[-1]}")  # so busy; it can be resumed
            else:
                assert command.end() == -9, command.story
            # Not waiting for Ray's processes: a person would not either.
            if (run.path / "run.json").exists():
                command = resume(run)
            else:
                shutil.rmtree(run.path, ignore_errors=True)  # as the message would say
                command = new_run(run.path.name)[1]
        found = run.require_whole()
        print(f"{run.path.name}: {[trial.state.name.lower() for trial in found]}")
        assert not any("interrupted" in r or "lost" in r for r in run.reasons), run.reasons
        predicts(run)
    print(f"{killed} kills")


@pytest.mark.long
def test_a_killed_resume_remembers_how_many_trials_there_are_to_be(new_run, resume):
    run, command = new_run("run", "--trials", 2)
    assert command.end() == 0, command.story
    command = resume(run, "--trials", 4)
    assert command.until("its preparation", command.says, "checking the machine"), command.story
    command.kill()
    command = resume(run)
    assert command.end() == 0, command.story
    run.require_whole(trials=4)
