"""Work around the trials: who does it on a CPU, and that one GPU is enough for all of it."""

import os
from dataclasses import replace

import pytest
import ray
import torch

from covertune.search.cluster.objects import results
from covertune.search.cluster.workers import Workers
from covertune.search.errors import SearchError
from covertune.search.plan import Slots

SLOTS = Slots(count=1, cpus_per_trial=1, gpus_per_trial=0.0, cpus=2, gpus=0, nodes=1)

# Ray is told of a GPU. Torch finds none and computes on the CPU; who may begin when is the same.
ONE_GPU = """
import sys, ray
store, runs = sys.argv[1:]
ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
from covertune.search.cli import main
main(["search", store, "--runs-dir", runs, "--name", "one-gpu", "--image-px", "32,48",
      "--trials", "2", "--epochs", "1"])
"""


@pytest.fixture
def submit(local_ray):
    """Have a worker do something; the results of all of it."""

    def of(work, *arguments, **options):
        futures = [Workers(SLOTS).submit(work, one, **options) for one in arguments]
        return results(futures, "working", remedy="try again")

    return of


def process(_):
    return os.getpid()


def twice(number):
    return 2 * number


def end(_):
    os._exit(1)


def test_on_a_cpu_processes_are_kept_from_one_piece_of_work_to_the_next(submit):
    assert len(set(submit(process, 1) + submit(process, 2))) == 1
    assert len(set(submit(process, 1, 2, 3, fresh_process=True))) == 3


def threads(_):
    return torch.get_num_threads()


def test_torch_has_as_many_threads_as_in_a_trial(local_ray):
    for cpus in (2, 1):
        workers = Workers(replace(SLOTS, cpus_per_trial=cpus))
        assert ray.get(workers.submit(threads, None)) == cpus


def test_results_of_other_work_are_waited_for(submit):
    first = Workers(SLOTS).submit(process, None)
    assert submit(twice, first) == [2 * ray.get(first)]


def test_a_worker_that_dies_is_one_line(submit):
    message = r"^working failed: the worker died, most often for lack of memory; try again$"
    with pytest.raises(SearchError, match=message):
        submit(end, 1, retries=0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_whole_search_with_one_gpu(run_script, store, tmp_path):
    """Nothing that holds the only GPU waits for anything that needs it."""
    done = run_script(ONE_GPU, store, tmp_path / "runs", timeout_s=280)
    assert done.returncode == 0, done.stdout + done.stderr
    if not torch.cuda.is_available():
        assert "torch there cannot use it" in done.stdout + done.stderr
    assert (tmp_path / "runs" / "one-gpu" / "model").is_dir()
