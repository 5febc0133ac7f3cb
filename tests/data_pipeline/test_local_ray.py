import os
import subprocess
import sys

import pytest
import ray

from covertune.data_pipeline import DataError, prepare_store
from covertune.data_pipeline.local_ray import start_local_ray

pytestmark = pytest.mark.usefixtures("local_ray")


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
    monkeypatch, make_folder, tmp_path, error
):
    def fail(**options):
        raise error("no answer.\nmuch more")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fail)
    source = make_folder(tmp_path / "source", {"Cooking": 3, "Poetry": 3})
    message = (
        r"^Ray does not start on this machine: no answer; if .* look for the cause in Ray's logs$"
    )
    with pytest.raises(DataError, match=message) as caught:
        prepare_store(source, tmp_path / "store")
    assert type(caught.value) is DataError
    assert [entry.name for entry in tmp_path.iterdir()] == ["source"]


@pytest.fixture
def started(monkeypatch):
    """What a Ray would be started with, and in what environment."""
    told = {}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
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
