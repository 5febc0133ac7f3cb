"""A search whose workers are killed while they train ends with every trial accounted for."""

import time

KILLS_A_SEARCH = 5
RETRIES = 2  # of one trial; with its third lost worker it fails
WORKERS = ("ray::CoverTrial", "ray::_Inner")


def at_work(command, run, epochs):
    """Whether there is a worker, and so many epochs more than before."""
    return command.family(*WORKERS) and run.has_epochs_beside(*epochs)


def test_killed_workers_cost_no_more_than_their_epoch(new_run, predicts, draws, kills):
    killed = 0
    number = 0
    while killed < kills:
        run, command = new_run(f"search-{number}")
        number += 1
        here = 0
        while here < min(KILLS_A_SEARCH, kills - killed):
            epochs = run.checkpoints, draws.randint(0, 1)
            if not command.until("a worker at work", at_work, command, run, epochs):
                break
            time.sleep(draws.uniform(0, 1.5))
            workers = command.family(*WORKERS)
            if not workers or command.says("measuring the winner"):
                continue
            victim = draws.choice(workers)
            victim.kill()
            here += 1
            states = [trial.state.name.lower() for trial in run.look(driven=True)]
            print(f"{run.path.name}: kill {killed + here}: worker {victim.pid}, {states}")
        assert command.end() == 0, command.story
        assert command.errors == []
        found = run.require_whole()
        print(f"{run.path.name}: {[trial.state.name.lower() for trial in found]}")
        lost = [reason for reason in run.reasons if "lost" in reason]
        assert len(lost) <= here // (RETRIES + 1)
        predicts(run)
        killed += here
    print(f"{killed} kills")
