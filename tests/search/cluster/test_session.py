"""A search on a Ray cluster of two nodes, and the launcher's configuration."""

import json
from pathlib import Path

import pytest
import ray
import yaml

from covertune.data_pipeline import local_ray
from covertune.search.cluster import session
from covertune.search.cluster.session import _fits, ray_session, slots_of
from covertune.search.errors import PreflightError
from covertune.search.plan import Slots, TrialResources

ROOT = Path(__file__).parents[3]

# Trials long enough that the second node's worker has started before the first has done them all.
TWO_NODES = """
import json, os, sys
from ray.cluster_utils import Cluster

store, runs = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
os.environ["RAY_ADDRESS"] = cluster.address
from covertune.search.cli import main
try:
    main(["search", store, "--runs-dir", runs, "--name", "two", "--address", "auto",
          "--backbones", "small_cnn", "--image-px", "32", "--trials", "2", "--epochs", "3"])
except SystemExit as ended:
    code = ended.code
cluster.shutdown()
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_trials_run_on_both_nodes(run_script, store, tmp_path):
    done = run_script(TWO_NODES, store, tmp_path / "runs", timeout_s=380)
    assert done.returncode == 0, done.stdout + done.stderr
    from covertune.search.record.run_folder import RunFolder
    from covertune.search.record.study import open_study

    trials = open_study(RunFolder.open(tmp_path / "runs" / "two")).get_trials()
    assert len(trials) == 2
    assert all(trial.state.is_finished() for trial in trials)
    assert len({trial.user_attrs["node_id"] for trial in trials}) == 2
    assert json.loads((tmp_path / "runs" / "two" / "outcome.json").read_text())["trials"] == 2


def test_an_address_without_a_cluster_is_said_to_have_none(run_script, store, tmp_path):
    arguments = ["search", store, "--runs-dir", tmp_path / "runs", "--address", "auto"]
    script = "from covertune.search.cli import main; main()"
    done = run_script(script, *arguments, timeout_s=120, ray_address="127.0.0.1:1")
    assert done.returncode == 1
    assert "no Ray cluster at --address auto" in done.stderr
    assert not list((tmp_path / "runs").glob("*"))


def test_the_launcher_accepts_cluster_yaml():
    """As `ray up` checks it, before it reaches for the first host."""
    from ray.autoscaler._private.commands import prepare_config
    from ray.autoscaler._private.util import validate_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    assert config["provider"]["type"] == "local"
    assert config["max_workers"] == len(config["provider"]["worker_ips"])


def test_slots_of_this_machine(local_ray):
    slots = slots_of(TrialResources())
    assert slots == Slots(2, cpus_per_trial=1, gpus_per_trial=0.0, cpus=2, gpus=0, nodes=1)
    assert slots_of(TrialResources(cpus=2)).count == 1
    assert slots_of(TrialResources(at_once=1)).count == 1


def test_a_trial_no_node_holds_is_refused(local_ray):
    with pytest.raises(PreflightError, match=r"asks for 3 CPUs and 0 GPUs, no node has that"):
        slots_of(TrialResources(cpus=3))


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "trials"),
    [
        ({"CPU": 16, "GPU": 1}, 1, 1.0, 1),
        ({"CPU": 16, "GPU": 1}, 1, 0.25, 4),
        ({"CPU": 16, "GPU": 1}, 1, 0.1, 10),
        ({"CPU": 16, "GPU": 1}, 1, 0.2, 5),
        ({"CPU": 3, "GPU": 1}, 1, 0.25, 3),
        ({"CPU": 16, "GPU": 4}, 2, 0.4, 8),  # two to a GPU: a share never spans two
        ({"CPU": 16, "GPU": 4}, 2, 2.0, 2),
        ({"CPU": 16}, 1, 0.5, 0),
        ({"CPU": 7}, 2, 0, 3),
    ],
)
def test_trials_a_node_holds(resources, cpus, gpus, trials):
    assert _fits(resources, cpus, gpus) == trials


def test_a_ray_that_does_not_come_up_is_one_line(monkeypatch):
    def times_out(**_options):
        raise Exception("The current node timed out.\nMuch more.")  # as Ray 2.60 does

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", times_out)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # of the Ray that tests share
    monkeypatch.setattr(local_ray, "read_token_anew", lambda: None)
    message = r"^Ray does not start on this machine: The current node timed out; if the machine"
    with pytest.raises(PreflightError, match=message) as told, ray_session(None, print):
        pass
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("in_memory", "memory_gb", "store"),
    [
        (64e6, 8, 9e9),  # Docker gives 64 MB: in files on a disk then
        (64e6, 30, 1e10),  # which Ray allows so much
        (5e9, 8, 5e9),
        (50e9, 8, 9e9),
        (50e9, 0.5, 1.5e9),
    ],
)
def test_room_for_covers_is_in_memory_where_there_is_some(monkeypatch, in_memory, memory_gb, store):
    monkeypatch.setattr(session, "shared_memory_nbytes", lambda: int(in_memory))
    monkeypatch.setattr(session, "default_store_nbytes", lambda: 3 * 10**9)
    monkeypatch.setattr(session, "in_flight_nbytes", lambda covers, cpus: 10**9)
    assert session._object_store_nbytes(memory_gb) == store


def test_shared_memory_that_is_next_to_nothing_is_told(monkeypatch):
    monkeypatch.setattr(session, "default_store_nbytes", lambda: 3 * 10**9)
    monkeypatch.setattr(session, "shared_memory_nbytes", lambda: 60_000_000)
    warning = session.slow_store()
    assert "/dev/shm holds 60 MB only" in warning
    assert "--shm-size" in warning
    monkeypatch.setattr(session, "shared_memory_nbytes", lambda: 2 * 10**9)
    assert session.slow_store() is None


LOCAL = """
import os
import ray
from covertune.machine import available_memory_nbytes
from ray._private import worker
from covertune.search.cluster.session import _object_store_nbytes, ray_session

memory_gb = 0.4e-9 * available_memory_nbytes()
asked = _object_store_nbytes(memory_gb)
with ray_session(None, print, memory_gb=memory_gb):
    [node] = ray.nodes()
    with open(worker._global_node.get_session_dir_path() + "/logs/raylet.out") as log:
        assert "MemoryMonitor disabled" in log.read()
assert abs(node["Resources"]["object_store_memory"] / asked - 1) < 0.01, (node, asked)
assert not ray.is_initialized()
assert not {"COVERTUNE_WORKER", "RAY_memory_monitor_refresh_ms"} & set(os.environ)
print("quiet")
"""


def test_a_search_starts_a_ray_of_its_own_and_ends_it(run_script):
    done = run_script(LOCAL, timeout_s=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "quiet\n", "")
