"""What holds for all tests, and the one Ray they share: each start of one costs seconds."""

import os
import shutil
import subprocess
from collections import Counter

import pytest
from hypothesis import settings

# The machine may be slow, and a first call may import torch: time is no property of the code here.
settings.register_profile("covertune", deadline=None)
settings.load_profile("covertune")

CLI = "tests/search/cli/"
ALL_PROGRAMS = "COVERTUNE_ALL_PROGRAMS"  # set by .ci/run, which installs them


def pytest_addoption(parser):
    # Here and not in chaos/: pytest learns options only from the first conftests it meets.
    parser.addoption(
        "--kills", type=int, default=1, help="how often the chaos tests kill each kind of process"
    )
    parser.addoption(
        "--chaos-seed", type=int, default=None, help="repeats the moments of an earlier chaos test"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file stays in one process, and the files of the command line together: they share a run."""
    from xdist.scheduler import LoadFileScheduling

    class SharedRun(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return CLI if nodeid.startswith(CLI) else super()._split_scope(nodeid)

    return SharedRun(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Files with many slow tests come first: no core waits at the end for one of them."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_runtest_setup(item):
    """Skip what needs a program that is not here; where all were installed, it fails."""
    for marker in item.iter_markers("needs"):
        if not any(map(shutil.which, marker.args)):
            give_up = pytest.fail if ALL_PROGRAMS in os.environ else pytest.skip
            give_up(f"no {marker.args[0]} on the PATH")


@pytest.fixture(scope="session")
def local_ray():
    """Two CPUs; whatever other Ray runs on this machine is none of ours."""
    import ray

    from covertune.data_pipeline.local_ray import start_local_ray

    start_local_ray(num_cpus=2)
    yield
    ray.shutdown()


@pytest.fixture
def small_disk(request, tmp_path):
    """A disk of so many MB as the module's `DISK_MB` says, to be filled."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={request.module.DISK_MB}m"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"a small disk cannot be mounted: {tried.stderr.strip()}")
    yield disk
    # Lazily: a process that has not heard of the end may hold a file a moment longer.
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
