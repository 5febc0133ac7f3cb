"""Ray's insides are as `cluster.compat` takes them to be."""

import inspect
import os
from pathlib import Path

import pytest
import ray
from ray import tune
from ray._private import worker

from covertune.search.cluster import compat
from covertune.search.cluster.compat import cluster_address, dead_processes, prints_to

pytestmark = pytest.mark.usefixtures("local_ray")


def test_no_process_of_a_ray_that_lives_is_dead():
    assert dead_processes() == []
    assert {"raylet", "gcs_server"} <= set(worker._global_node.all_processes)


def test_what_ray_prints_goes_where_it_is_sent():
    before, heard = worker.print_to_stdstream, []
    with prints_to(heard.append):
        worker.print_to_stdstream({"lines": ["one", "two"]}, ignore_prefix=False)
    assert heard == ["one\ntwo"]
    assert worker.print_to_stdstream is before


def test_the_address_of_a_cluster_is_found_without_joining():
    assert cluster_address("127.0.0.1:6379").endswith(":6379")
    assert ray.is_initialized()


def test_tune_still_reads_what_quietens_it(monkeypatch):
    home = Path(ray.__file__).parent
    files = [file for part in ("air", "train", "tune") for file in (home / part).rglob("*.py")]
    read = "".join(file.read_text() for file in files)
    for name in compat._OF_TUNE:
        assert f'"{name}"' in read
        monkeypatch.setenv(name, "the user's")
    compat.quieten_tune()
    assert {os.environ[name] for name in compat._OF_TUNE} == {"the user's"}


def test_an_experiment_takes_what_it_is_given():
    parameters = inspect.signature(tune.run).parameters
    assert {
        *("name", "storage_path", "resources_per_trial", "search_alg", "scheduler"),
        *("num_samples", "max_concurrent_trials", "reuse_actors", "stop", "max_failures"),
        *("raise_on_failed_trial", "callbacks", "trial_dirname_creator", "verbose"),
    } <= set(parameters)
