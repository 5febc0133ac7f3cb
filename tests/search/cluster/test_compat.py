"""Ray's insides are as `cluster.compat` takes them to be."""

import ast
import inspect
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray import tune
from ray._private import worker
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from covertune.search.cluster import compat
from covertune.search.cluster.compat import (
    calls_held,
    cluster_address,
    dead_processes,
    run_experiment,
)
from covertune.search.cluster.scheduler import HalvingScheduler
from covertune.search.cluster.searcher import StudySearcher
from covertune.search.cluster.trainable import CoverTrial

pytestmark = pytest.mark.usefixtures("local_ray")


def test_no_process_of_a_ray_that_lives_is_dead():
    assert dead_processes(("raylet", "gcs_server"), 0.01) == []
    assert {"raylet", "gcs_server"} <= set(worker._global_node.all_processes)


def test_a_process_that_dies_is_noticed_at_once(monkeypatch):
    with subprocess.Popen(["sleep", "3600"]) as process:
        dies = {"raylet": [SimpleNamespace(process=process)]}
        monkeypatch.setattr(worker._global_node, "all_processes", dies)
        threading.Timer(0.1, process.kill).start()
        assert dead_processes(("raylet",), 60) == [("raylet", -9)]
        assert dead_processes(("raylet",), 60) == [("raylet", -9)]
        assert dead_processes(("gcs_server",), 0.01) == []


def test_who_calls_a_dead_ray_waits(capfd):
    ended = threading.Event()

    def put():
        ray.put(1)
        ended.set()

    before = sys.stderr
    with calls_held():
        threading.Thread(target=put, daemon=True).start()
        assert not ended.wait(0.5)
        os.write(2, b"of the core")
        print("ours", file=sys.stderr)
    assert sys.stderr is before
    assert ray.get(ray.put(1)) == 1
    os.write(2, b"later")
    assert "of the core" not in capfd.readouterr().err


def test_the_address_of_a_cluster_is_found_without_joining():
    assert cluster_address("127.0.0.1:6379").endswith(":6379")
    assert ray.is_initialized()


def test_tune_still_reads_what_quietens_it(monkeypatch):
    home = Path(ray.__file__).parent
    files = [file for part in ("air", "train", "tune") for file in (home / part).rglob("*.py")]
    read = "".join(file.read_text() for file in files)
    for name in compat._OF_TUNE:
        assert f'"{name}"' in read
        monkeypatch.setenv(name, "another experiment's")
    # Tune refuses the first, and reports epochs late by the second.
    monkeypatch.setenv("TUNE_RESULT_DIR", "elsewhere")
    monkeypatch.setenv("TUNE_RESULT_BUFFER_LENGTH", "100")
    before = dict(os.environ)
    with compat.tune_of_our_own():
        assert {name: os.environ[name] for name in compat._OF_TUNE} == compat._OF_TUNE
        assert "TUNE_RESULT_DIR" not in os.environ
        assert "TUNE_RESULT_BUFFER_LENGTH" not in os.environ
    assert dict(os.environ) == before


def test_an_experiment_takes_what_it_is_given():
    parameters = inspect.signature(tune.run).parameters
    assert {
        *("name", "storage_path", "resources_per_trial", "search_alg", "scheduler"),
        *("num_samples", "max_concurrent_trials", "reuse_actors", "stop", "max_failures"),
        *("raise_on_failed_trial", "callbacks", "trial_dirname_creator", "verbose"),
    } <= set(parameters)


def test_a_worker_s_end_that_tune_does_not_expect_is_beneath_a_runtime_error():
    task, killed = SimpleNamespace(_tracked_actor=None), OutOfMemoryError("killed")
    with pytest.raises(RuntimeError) as caught:
        RayActorManager._actor_task_failed(None, task, killed)
    assert caught.value.__cause__ is killed


class _Steps(tune.Trainable):
    def setup(self, config):
        self.steps = 0

    def reset_config(self, new_config):
        self.steps = 0
        return True

    def step(self):
        self.steps += 1
        return {"steps": self.steps, "pid": os.getpid(), "done": self.steps == 3}


class _Calls(Searcher):
    """Hands out three trials, and is told like all searchers."""

    def __init__(self, calls):
        super().__init__(metric="steps", mode="max")
        self.calls = calls
        self.given = 0
        self.pids = set()

    def suggest(self, trial_id):
        if self.given == 3:
            return Searcher.FINISHED
        self.given += 1
        return {"number": self.given}

    def on_trial_result(self, trial_id, result):
        self.calls.append(("searcher", result["config/number"], result["steps"]))

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.pids.add(result["pid"])
        self.calls.append(("end", result["config/number"], result["steps"]))

    def save(self, checkpoint_path):
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path):
        raise AssertionError


class _StopsTheSecond(FIFOScheduler):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_trial_result(self, tune_controller, trial, result):
        number, steps = trial.config["number"], result["steps"]
        self.calls.append(("scheduler", number, steps))
        return TrialScheduler.STOP if number == steps == 2 else TrialScheduler.CONTINUE


def test_who_hears_what_in_which_order(tmp_path, monkeypatch, caplog):
    """What `StudySearcher`, `HalvingScheduler` and `CoverTrial` build upon; the log stays empty."""
    of_ray = logging.getLogger("ray.tune")
    monkeypatch.setattr(of_ray, "handlers", [caplog.handler])
    caplog.set_level(logging.INFO, "ray.tune")
    levels = {name: logging.getLogger(name).level for name in compat._TELLS_NOTHING_BELOW}
    for name, value in compat._OF_TUNE.items():
        monkeypatch.setenv(name, value)
    calls = []
    searcher = _Calls(calls)
    run_experiment(
        _Steps,
        storage_path=str(tmp_path),
        resources_per_trial={"cpu": 1},
        search_alg=searcher,
        scheduler=_StopsTheSecond(calls),
        num_samples=-1,
        max_concurrent_trials=1,
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
    )
    to_the_end = [
        *(("scheduler", 1), ("searcher", 1)),
        *(("scheduler", 2), ("searcher", 2)),
        ("end", 3),  # a trial that is done is no result, and the scheduler is not asked
    ]
    stopped = [("scheduler", 1), ("searcher", 1), ("scheduler", 2), ("end", 2)]
    assert calls == [
        *((who, 1, steps) for who, steps in to_the_end),
        *((who, 2, steps) for who, steps in stopped),
        *((who, 3, steps) for who, steps in to_the_end),
    ]
    assert len(searcher.pids) == 1, "one actor after the other trial"
    assert [record.message for record in caplog.records if "ray.tune" in record.name] == []
    assert {name: logging.getLogger(name).level for name in levels} == levels


@pytest.mark.parametrize("ours", [CoverTrial, HalvingScheduler, StudySearcher])
def test_what_we_keep_hides_nothing_of_ray_s(ours):
    theirs = set()
    for parent in ours.__mro__[1:-1]:
        theirs |= kept(parent) | set(vars(parent))
    assert kept(ours)
    assert not kept(ours) & theirs


def kept(kind):
    """Attributes that the methods of a class set."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(kind))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found
