"""What a process may use, on machines of the test's own making."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from covertune import machine

ASK = (
    "from covertune.machine import available_memory_nbytes, usable_cpus; "
    "print(usable_cpus(), available_memory_nbytes())"
)


def ask(**options):
    told = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, **options
    )
    return tuple(map(int, told.stdout.split()))


def test_cores_a_batch_system_keeps_from_us_are_not_counted():
    core = min(os.sched_getaffinity(0))
    cpus, _ = ask(preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    assert cpus == 1


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write files of control groups; the process is in those that are named."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_GROUPS_OF_THIS_PROCESS", tmp_path / "self")
    monkeypatch.setattr(machine, "_cores", lambda: 64)

    def write(of_this_process, **files):
        (tmp_path / "self").write_text(of_this_process)
        for name, text in files.items():
            file = tmp_path / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return write


def test_without_groups_all_is_there(groups):
    groups("0::/\n")
    assert machine.usable_cpus() == 64
    assert machine.available_memory_nbytes() > 0


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 64), ("400000 100000", 4), ("150000 100000", 1), ("20000 100000", 1)],
)
def test_a_quota_of_version_2(groups, quota, cpus):
    groups("0::/job/step\n", **{"job__cpu_dot_max": quota, "job__step__cpu_dot_max": "max 100000"})
    assert machine.usable_cpus() == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 64), ("300000", 3)])
def test_a_quota_of_version_1_inside_a_container(groups, quota, cpus):
    """There the name of the group is that outside, and its files lie on top."""
    files = {"cpu_dot_cfs_quota_us": quota, "cpu_dot_cfs_period_us": "100000"}
    groups(
        "5:cpu,cpuacct:/docker/1234\n0::/docker/1234\n",
        **{f"cpu,cpuacct__{name}": text for name, text in files.items()},
    )
    assert machine.usable_cpus() == cpus


def test_memory_of_a_group_is_what_is_left_of_it(groups):
    files = {"max": "1000000", "current": "700000", "stat": "anon 5\ninactive_file 100000\n"}
    groups("0::/job\n", **{f"job__memory_dot_{name}": text for name, text in files.items()})
    assert machine.available_memory_nbytes() == 400_000
    files["current"] = "1500000"
    groups("0::/job\n", **{f"job__memory_dot_{name}": text for name, text in files.items()})
    assert machine.available_memory_nbytes() == 0


LIMITS = {
    "cpu": {"cpu.cfs_quota_us": 100_000},
    "memory": {"memory.limit_in_bytes": 10**9},
}
LIMITS_OF_VERSION_2 = {"": {"cpu.max": "100000 100000", "memory.max": 10**9}}


@pytest.fixture
def limited_group():
    """A real group, one core and one GB; how to put a process into it."""
    top = Path("/sys/fs/cgroup")
    limits = LIMITS_OF_VERSION_2 if (top / "cgroup.controllers").exists() else LIMITS
    made = []
    try:
        for controller, files in limits.items():
            group = top / controller / f"covertune-test-{os.getpid()}"
            group.mkdir()
            made.append(group)
            for name, limit in files.items():
                (group / name).write_text(str(limit))
    except OSError as error:
        for group in made:
            group.rmdir()
        pytest.skip(f"no control group can be made here: {error}")

    def enter():
        for group in made:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    yield enter
    for group in made:
        group.rmdir()


def test_a_real_group_is_heeded(limited_group):
    cpus, memory = ask(preexec_fn=limited_group)
    assert cpus == 1
    assert 0 < memory < 10**9 < psutil.virtual_memory().available


def _is_imported_again(answers):
    answers.put(machine.is_main_imported_again())


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_of_somebody_s_own_is_no_second_import(method):
    context = multiprocessing.get_context(method)
    answers = context.SimpleQueue()
    process = context.Process(target=_is_imported_again, args=(answers,))
    process.start()
    process.join()
    assert answers.get() is False
