import os
import subprocess
import sys
import tempfile

import pytest
import ray

from covertune.data_pipeline import DataError, local_ray, prepare_store, ray_folder
from covertune.data_pipeline.local_ray import start_local_ray

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def no_ray_yet(monkeypatch, tmp_path_factory):
    """As before the first Ray; the one that tests share goes on undisturbed."""
    parent = tmp_path_factory.mktemp("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(local_ray, "read_token_anew", lambda: None)
    monkeypatch.setattr(local_ray, "when_ray_ends", lambda processes, do: None)
    monkeypatch.setattr(local_ray, "_started", [])
    monkeypatch.setattr(ray_folder, "_is_short", lambda parent: True)
    monkeypatch.setenv("RAY_TMPDIR", str(parent))
    return parent


def test_a_running_ray_is_taken_as_it_is():
    before = ray.get_runtime_context().get_node_id()
    start_local_ray()
    assert ray.get_runtime_context().get_node_id() == before
    assert ray.cluster_resources()["CPU"] == 2


def test_no_other_cluster_is_joined():
    """Neither the one that runs on this machine nor the one the environment names."""
    code = (
        "import ray; from covertune.data_pipeline.local_ray import start_local_ray; "
        "start_local_ray(); "
        "print(*(node['NodeID'] for node in ray.nodes())); ray.shutdown()"
    )
    address = ray.get_runtime_context().gcs_address
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"RAY_ADDRESS": address},
    )
    assert answer.stdout.split()
    assert ray.get_runtime_context().get_node_id() not in answer.stdout


@pytest.mark.parametrize("error", [ConnectionError, Exception])
def test_a_ray_that_cannot_be_started_is_no_error_of_the_disk(
    no_ray_yet, monkeypatch, make_folder, tmp_path, error
):
    def fail(**options):
        raise error("no answer.\nmuch more")

    monkeypatch.setattr(ray, "init", fail)
    source = make_folder(tmp_path / "source", {"Cooking": 3, "Poetry": 3})
    message = (
        r"^Ray does not start on this machine: no answer; if .* look for the cause in Ray's logs, "
        rf"{no_ray_yet}/covertune-ray-\w{{8}}/ray/session_latest/logs$"
    )
    with pytest.raises(DataError, match=message) as caught:
        prepare_store(source, tmp_path / "store")
    assert type(caught.value) is DataError
    assert [entry.name for entry in tmp_path.iterdir()] == ["source"]


@pytest.fixture
def started(no_ray_yet, monkeypatch):
    """What a Ray would be started with, and in what environment."""
    told = {}
    monkeypatch.setattr(ray, "init", lambda **options: told.update(options, **os.environ))
    return told


@pytest.mark.parametrize(("memory_monitor", "every_ms"), [(True, None), (False, "0")])
def test_ray_hears_what_the_caller_wants(started, memory_monitor, every_ms):
    start_local_ray(num_cpus=3, object_store_nbytes=10**8, memory_monitor=memory_monitor)
    assert started["num_cpus"] == 3
    assert started["object_store_memory"] == 10**8
    assert started.get("RAY_memory_monitor_refresh_ms") == every_ms


def test_the_environment_is_as_it_was(started, monkeypatch):
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    before = dict(os.environ)
    start_local_ray(memory_monitor=False)
    assert os.environ == before
    assert started["RAY_memory_monitor_refresh_ms"] == "50"  # the user has the last word


def test_a_token_is_the_user_s_or_one_of_its_own_each_time(started, monkeypatch):
    tokens = set()
    for _ in range(2):
        start_local_ray()
        assert started["RAY_AUTH_MODE"] == "token"
        tokens.add(started["RAY_AUTH_TOKEN"])
    assert len(tokens) == 2
    assert all(len(token) == 64 for token in tokens)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the user")
    start_local_ray()
    assert started["RAY_AUTH_TOKEN"] == "of the user"


def test_cores_and_memory_are_those_this_process_may_use(started, monkeypatch):
    monkeypatch.setattr(local_ray, "usable_cpus", lambda: 7)
    monkeypatch.setattr(local_ray, "available_memory_nbytes", lambda: 10**9)
    start_local_ray()
    assert started["num_cpus"] == 7
    assert started["object_store_memory"] == 300_000_000
    monkeypatch.setattr(local_ray, "available_memory_nbytes", lambda: 10**8)
    start_local_ray()
    assert started["object_store_memory"] == 75 * 2**20  # Ray takes no less


@pytest.mark.parametrize(("in_memory", "store"), [(64 * 2**20, 10**10), (2 * 10**10, 2 * 10**10)])
def test_shared_arrays_lie_in_memory_or_in_small_files(started, monkeypatch, in_memory, store):
    monkeypatch.setattr(local_ray, "available_memory_nbytes", lambda: 10**12)
    monkeypatch.setattr(local_ray, "shared_memory_nbytes", lambda: in_memory)
    start_local_ray()
    assert started["object_store_memory"] == store


NO_GUARD = """
import multiprocessing
from pathlib import Path
from covertune.data_pipeline.local_ray import start_local_ray

with Path("begun").open("a") as file:
    file.write("x")
if multiprocessing.current_process().name == "MainProcess":
    child = multiprocessing.get_context("spawn").Process(target=print)
    child.start()
    child.join()
    print(child.exitcode)
else:
    start_local_ray()
"""


def test_a_main_module_without_its_guard_gets_a_hint(tmp_path):
    (tmp_path / "main.py").write_text(NO_GUARD)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
    hint = 'put what starts it below `if __name__ == "__main__":`'
    assert done.stderr.rstrip().endswith(hint)
    assert (tmp_path / "begun").read_text() == "xx"


SPAWNED = """
import multiprocessing

def work():
    import ray
    from covertune.data_pipeline.local_ray import start_local_ray
    start_local_ray(num_cpus=1)
    print(ray.get(ray.remote(lambda: "done").remote()), flush=True)
    ray.shutdown()

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
    print(child.exitcode)
"""


def test_a_spawned_process_has_a_ray_of_its_own(tmp_path):
    (tmp_path / "main.py").write_text(SPAWNED)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("done\n0\n", "")


def test_what_killed_tasks_leave_goes_with_ray():
    code = """
import os, ray, tempfile
from covertune.data_pipeline.local_ray import start_local_ray

@ray.remote(max_retries=0)
def leave(end):
    folder = tempfile.mkdtemp()
    if end:
        os._exit(1)
    return folder

start_local_ray()
print(tempfile.gettempdir())
folder = ray.get(leave.remote(False))
try:
    ray.get(leave.remote(True))
except ray.exceptions.RayError:
    left = os.listdir(os.path.dirname(folder))
ray.shutdown()
print(len(left), os.path.exists(folder))
"""
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    own, *_, last = answer.stdout.splitlines()  # Ray tells of the death between them
    assert (own, last) == (tempfile.gettempdir(), "2 False")
