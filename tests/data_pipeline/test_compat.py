"""Ray's insides are as `data_pipeline.compat` takes them to be."""

import logging
import os
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import ray
from ray._private import worker
from ray.data import ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayTaskError

from covertune.data_pipeline import StoreError
from covertune.data_pipeline.compat import (
    blocks_as_read,
    error_beneath,
    map_tables,
    prints_to,
    quiet_ray_data,
    read_in_order,
)
from covertune.data_pipeline.nodes import object_store_in_use, object_store_sizes

pytestmark = pytest.mark.usefixtures("local_ray")

ON_ITS_OWN = """
import pyarrow as pa
from ray._private import worker
from covertune.data_pipeline.compat import map_tables
from covertune.data_pipeline.local_ray import start_local_ray

def refuse(table):
    raise OSError("no room")

start_local_ray(num_cpus=1, memory_monitor=False)
with open(worker._global_node.get_session_dir_path() + "/logs/raylet.out") as log:
    assert "MemoryMonitor disabled" in log.read()
tables = [pa.table({"number": [1]})]
assert len(list(map_tables(lambda table: table, tables, num_cpus=1, at_once=1))) == 1
try:
    list(map_tables(refuse, tables, num_cpus=1, at_once=1))
except OSError:
    print("caught")
"""


def test_a_ray_that_has_to_be_quiet_is_and_lets_memory_alone():
    done = subprocess.run(
        [sys.executable, "-c", ON_ITS_OWN], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "caught\n", "")


APART = """
import os
import signal
import psutil
import ray
from pathlib import Path
from ray._private import worker
from covertune.data_pipeline.local_ray import start_local_ray

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

def hears(pid, number):
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    return not blocked >> (number - 1) & 1

start_local_ray(num_cpus=1)
processes = [
    info.process
    for infos in worker._global_node.all_processes.values()
    for info in infos
]
assert len(processes) >= 2, "a raylet and a GCS at least"
assert all(os.getpgid(process.pid) == process.pid for process in processes)
assert all(os.getsid(process.pid) == os.getsid(0) for process in processes)
at_work = ray.get(ray.remote(lambda: os.getpid()).remote())
family = psutil.Process().children(recursive=True)
assert at_work in {process.pid for process in family}
if Path("/proc/self/status").exists():
    deaf_to = {n for n in STOPS if not any(hears(process.pid, n) for process in family)}
    assert deaf_to == set(STOPS), deaf_to
ray.shutdown()
_, left = psutil.wait_procs(family, timeout=2)
for process in left:
    try:
        assert process.status() == psutil.STATUS_ZOMBIE, process  # nobody's child any more
    except psutil.NoSuchProcess:
        pass
print("apart")
"""

BROKEN_OFF = """
import sys
import time
import psutil
import ray._private.services as services
from covertune.data_pipeline.compat import apart_from_stops

sleeper = [sys.executable, "-c", "import time; time.sleep(100)"]
try:
    with apart_from_stops():
        process = services.ConsolePopen(sleeper, preexec_fn=lambda: None)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    assert process.wait(10) == -9
print("gone")
"""


@pytest.mark.parametrize(("program", "says"), [(APART, "apart"), (BROKEN_OFF, "gone")])
def test_a_ray_is_apart_from_stops(program, says):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{says}\n", "")


def test_what_is_put_takes_room():
    [size] = object_store_sizes()
    before = object_store_in_use()
    ref = ray.put(np.zeros(20_000_000, dtype=np.uint8))
    deadline = time.monotonic() + 20
    while object_store_in_use() < before + 20_000_000:
        assert time.monotonic() < deadline, "Ray tells of it with some delay, but it does"
        time.sleep(0.1)
    assert object_store_in_use() < size
    del ref


@ray.remote(num_cpus=0)
def _damaged():
    raise StoreError("damaged")


@ray.remote(num_cpus=0)
def _pass_on(what):
    return what


def test_the_error_of_a_task_lies_beneath_ray_s():
    for future in (_damaged.remote(), _pass_on.remote(_damaged.remote())):
        with pytest.raises(StoreError) as caught:
            ray.get(future)
        assert isinstance(caught.value, RayTaskError)
        assert "\n" in str(caught.value)
        beneath = error_beneath(caught.value, (StoreError, OSError))
        assert type(beneath) is StoreError
        assert str(beneath) == "damaged"
        assert error_beneath(caught.value, (OSError,)) is None


def _measured(table, *, pause_s):
    began = time.time()
    time.sleep(pause_s)
    return pa.table({"rows": [len(table)], "began": [began], "ended": [time.time()]})


def test_each_table_is_a_task_of_its_own_so_many_at_once():
    tables = [pa.table({"number": list(range(rows))}) for rows in (3, 1, 4, 1, 5)]
    done = list(map_tables(_measured, tables, num_cpus=0.1, at_once=2, pause_s=0.2))
    assert [len(table) for table in done] == [1] * 5
    rows = pa.concat_tables(done).to_pylist()
    assert sorted(row["rows"] for row in rows) == [1, 1, 3, 4, 5]
    for row in rows:
        side_by_side = [other for other in rows if other["began"] <= row["began"] < other["ended"]]
        assert len(side_by_side) <= 2


def test_an_error_in_a_table_s_task_is_found():
    def refuse(table):
        raise StoreError("damaged")

    with pytest.raises(StoreError) as caught:
        list(map_tables(refuse, [pa.table({"number": [1]})], num_cpus=0.1, at_once=1))
    beneath = error_beneath(caught.value, (StoreError,))
    assert beneath.args[0].partition("\n")[0] == "damaged"


def test_ray_data_is_quiet_only_inside():
    import ray.data

    context = ray.data.DataContext.get_current()
    logger = logging.getLogger("ray.data")
    before = [handler.level for handler in logger.handlers]
    with pytest.raises(RuntimeError), quiet_ray_data():
        assert not context.enable_progress_bars
        assert not context.print_on_execution_start
        assert context.raise_original_map_exception
        assert [handler.level for handler in logger.handlers] != before
        raise RuntimeError
    assert context.enable_progress_bars
    assert context.print_on_execution_start
    assert not context.raise_original_map_exception
    assert [handler.level for handler in logger.handlers] == before


def test_ray_data_tells_nobody_how_it_is_used():
    """Where it does, an actor gathers it and asks for a Prometheus."""
    from ray.data._internal.usage.collector import usage_collection_disabled

    with quiet_ray_data():
        assert usage_collection_disabled()
    list(blocks_as_read(read_in_order(Numbers(2), num_cpus=0)))
    assert not [actor for actor in ray.util.list_named_actors(True) if "sage" in actor["name"]]


def test_what_ray_prints_goes_where_it_is_sent():
    before, heard = worker.print_to_stdstream, []
    with prints_to(heard.append):
        worker.print_to_stdstream({"lines": ["one", "two"]}, ignore_prefix=False)
    assert heard == ["one\ntwo"]
    assert worker.print_to_stdstream is before


SIGNALS = """
import ctypes, os, signal
import ray
from covertune.data_pipeline.local_ray import start_local_ray

LIBC = ctypes.CDLL(None)
action = ctypes.create_string_buffer(512)
seen, looked = set(), 0

def look():
    global looked
    looked += 1
    LIBC.sigaction(signal.SIGTERM, None, action)
    seen.add(action.raw[:8])

def heard(number, frame):
    print("heard")

make = ray._raylet.CoreWorker

def make_and_look(*arguments):
    core = make(*arguments)
    look()
    return core

ray._raylet.CoreWorker = make_and_look
signal.signal(signal.SIGTERM, heard)
look()
start_local_ray(num_cpus=1)
look()
ray.shutdown()
look()
assert signal.getsignal(signal.SIGTERM) is heard
assert len(seen) == 1 and looked == 4
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_ray_that_starts_and_ends_leaves_the_program_its_signals():
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")


SESSION = """
import json, os
import ray
from ray._private import worker
from covertune.data_pipeline.compat import LONGEST_SOCKET, when_ray_ends
from covertune.data_pipeline.local_ray import start_local_ray

start_local_ray(num_cpus=1)
node = worker._global_node
socket = os.path.relpath(node._plasma_store_socket_name, node.temp_dir)
raylet = os.path.relpath(node._raylet_socket_name, node.temp_dir)
assert len(socket) <= len(LONGEST_SOCKET) and len(raylet) <= len(LONGEST_SOCKET), (socket, raylet)
assert len(socket) > len(LONGEST_SOCKET) - 7, socket  # no more than the process has fewer digits
[told] = ray.nodes()
assert told["NodeManagerAddress"] == "127.0.0.1", told
when_ray_ends([], lambda: print("ended"))
ray.shutdown()
assert not os.path.exists(node.get_session_dir_path())
assert "RAY_AUTH_MODE" not in os.environ

# A Ray of the program's own, with the token that Ray finds or makes below HOME.
ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
print(ray.get(ray.remote(lambda: "another").remote()))
ray.shutdown()
"""


def test_a_ray_is_told_where_it_may_be_reached_and_when_it_has_ended(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ended\nanother\n"), done.stderr
    assert (tmp_path / ".ray" / "auth_token").is_file()  # that of the program's own


class Numbers(ray.data.Datasource):
    """A block of each of some numbers; the first takes longest."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks

    def __len__(self):
        return self.blocks

    def estimate_inmemory_data_size(self):
        return None

    def get_read_tasks(self, parallelism, per_task_row_limit=None, data_context=None):
        def read(number):
            time.sleep(0 if number else 1)
            yield pa.table({"number": [number] * (number + 1)})

        none_known = BlockMetadata(None, None, None, None)
        return [ReadTask(partial(read, number), none_known) for number in range(self.blocks)]


@pytest.mark.parametrize("at_once", [None, 2, 8])
def test_blocks_come_in_order_one_a_task_and_stay(at_once, capfd):
    dataset = read_in_order(Numbers(4), num_cpus=0, at_once=at_once)
    blocks = list(blocks_as_read(dataset))
    assert [rows for _, rows in blocks] == [1, 2, 3, 4]
    del dataset
    tables = ray.get([block for block, _ in blocks])
    assert [table["number"][0].as_py() for table in tables] == [0, 1, 2, 3]
    assert capfd.readouterr() == ("", "")
    assert not ray.data.DataContext.get_current().execution_options.preserve_order
