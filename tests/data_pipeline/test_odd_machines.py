"""Ray on machines as people have them: each in a process that finds its surroundings so."""

import json
import os
import resource
import subprocess
import sys

import pytest

# Tells what a Ray that was started here looks like while it runs, and what is left of it.
TELL = """
import json, os, stat
import numpy as np, psutil, ray
from ray._private import worker
from covertune.data_pipeline.local_ray import start_local_ray

before = dict(os.environ)
start_local_ray()
shared = ray.put(np.ones(80_000_000, dtype=np.uint8))
total = ray.get(ray.remote(lambda array: int(array.sum())).remote(shared))
this = psutil.Process()
processes = [this, *this.children(recursive=True)]
ports = [c.laddr for p in processes for c in p.net_connections() if c.status == "LISTEN"]
token = next(
    value for p in processes[1:] for name, value in p.environ().items() if name == "RAY_AUTH_TOKEN"
)
node = worker._global_node
session = node.get_session_dir_path()
told = {
    "total": total,
    "cpus": ray.cluster_resources()["CPU"],
    "hosts": sorted({address.ip for address in ports}),
    "ports": len(ports),
    "told on a command line": any(token in " ".join(p.cmdline()) for p in processes),
    "session": session,
    "mode": oct(stat.S_IMODE(os.stat(os.path.dirname(os.path.dirname(session))).st_mode)),
    "spill": json.loads(node._object_spilling_config)["params"]["directory_path"],
    "environment as it was": before == dict(os.environ),
}
ray.shutdown()
told["left"] = os.path.exists(session)
print(json.dumps(told))
"""
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def tell(*before, environment=None, code=TELL, **options):
    """Run in an environment without what tests, or this machine, may have set."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAY_", "LC_", "LANG", "TMPDIR"))
    }
    done = subprocess.run(
        [*before, sys.executable, "-P", "-c", code],  # as the command `covertune` looks for modules
        env=clean | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def own_mounts():
    """How a command is run with mounts and a host name of its own."""
    return [*apart("--mount", "--uts"), "sh", "-e", "-c"]


def apart(*namespaces):
    before = ["unshare", *namespaces]
    try:
        tried = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare, of Debian's package util-linux")
    if tried.returncode:
        pytest.skip(f"no namespaces of its own can be had here: {tried.stderr.strip()}")
    return before


def test_a_frugal_account_on_a_shared_server(tmp_path):
    """One core, few files, nothing for others to read, no home, a deep folder, plain letters."""
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    home = tmp_path / "home"
    home.write_text("no folder, so that nobody can write into it")
    core = min(os.sched_getaffinity(0))

    def confine():
        os.sched_setaffinity(0, {core})
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        os.umask(0o077)

    told = tell(
        environment={
            "TMPDIR": str(deep),
            "HOME": str(home),
            "LC_ALL": "C",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONUTF8": "0",
        },
        preexec_fn=confine,
    )
    assert told["total"] == 80_000_000
    assert told["cpus"] == 1
    assert told["ports"] >= 5
    assert set(told["hosts"]) <= LOOPBACK
    assert not told["told on a command line"]
    assert told["environment as it was"]
    assert told["mode"] == "0o700"
    assert not told["session"].startswith(str(deep))
    assert told["spill"].startswith(str(deep))  # there is room, where the user says so
    assert not told["left"]
    assert list(deep.iterdir()) == []


def test_a_container_with_docker_s_defaults(own_mounts):
    """64 MB of /dev/shm, and a host name that nobody knows."""
    prepare = (
        'mount -t tmpfs -o size=64m tmpfs /dev/shm; hostname nobody-knows.example; exec "$0" "$@"'
    )
    told = tell(*own_mounts, prepare)
    assert told["total"] == 80_000_000
    assert not told["left"]


def test_another_ray_that_the_environment_tells_of_is_none_of_ours():
    """That of a job or a worker this process is of, with its settings and its store."""
    told = tell(
        environment={
            "RAY_ADDRESS": "203.0.113.1:6379",
            "RAY_CLIENT_MODE": "1",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "1",
            "RAY_JOB_CONFIG_JSON_ENV_VAR": '{"runtime_env": {"working_dir": "/not/there"}}',
            "RAY_LOG_TO_STDERR": "1",
            "RAY_NAMESPACE": "another",
            "RAY_OVERRIDE_RESOURCES": '{"CPU": 0}',
            "RAY_RAYLET_PID": "1",
            "RAY_REDIS_ADDRESS": "127.0.0.1:1",
            "RAY_RUNTIME_ENV_HOOK": "no.such.hook",
            "RAY_USE_TLS": "1",
        }
    )
    assert told["total"] == 80_000_000
    assert told["cpus"] == len(os.sched_getaffinity(0))
    assert told["environment as it was"]


def test_modules_of_the_current_folder_take_no_module_s_place(tmp_path):
    for name in ("calendar", "colorsys", "copy", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not the one you want')")
    assert tell(cwd=tmp_path)["total"] == 80_000_000


NOWHERE = """
import json
from covertune.data_pipeline import DataError
from covertune.data_pipeline.local_ray import start_local_ray
try:
    start_local_ray()
except DataError as error:
    print(json.dumps(str(error)))
"""


def test_a_machine_that_cannot_be_written_is_told_in_one_line(own_mounts):
    prepare = (
        "for place in /tmp /var/tmp; do mount --bind $place $place; "
        'mount -o remount,bind,ro $place; done; cd /proc; exec "$0" "$@"'
    )
    message = tell(*own_mounts, prepare, code=NOWHERE)
    assert message.startswith(
        "Ray needs a folder for temporary files that can be written and whose path has at most "
    )
    assert "/tmp (Read-only file system), /var/tmp (Read-only file system)" in message
    assert message.endswith("; set RAY_TMPDIR to one")


@pytest.mark.parametrize("gigabytes", [4, 11])
def test_a_limit_on_addresses(gigabytes):
    """Ray and torch have them for much that they never touch."""

    def confine():
        resource.setrlimit(resource.RLIMIT_AS, (gigabytes * 10**9,) * 2)

    if gigabytes == 11:
        assert tell(preexec_fn=confine)["total"] == 80_000_000
        return
    assert tell(preexec_fn=confine, code=NOWHERE) == (
        "a process may have 4.0 GB of addresses here (`ulimit -v`), Ray and torch take 10 GB "
        "without any covers; lift that limit: `ulimit -v unlimited`, or limit the memory of a "
        "control group instead"
    )


def test_a_machine_without_loopback_is_told_in_one_line():
    assert tell(*apart("--net"), code=NOWHERE) == (
        "Ray does not start on this machine: its processes talk over 127.0.0.1, which does not "
        "answer (Network is unreachable); bring it up: `ip link set lo up`"
    )
