"""Blocks on a cluster: each is decoded once, and once more if its node was lost."""

import json
import subprocess
import sys

import pytest

TWO_NODES = """
import hashlib, json, os, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from ray.experimental import get_object_locations

from covertune.data_pipeline import CoverStore, decode_store

store, log = sys.argv[1:]

def note_what_is_read():
    from covertune.data_pipeline.dataset import decoding
    read = decoding.read_row_groups

    def noted(part, groups, columns):
        with open(log, "a") as out:
            out.write(f"{part.name} {groups}\\n")
        return read(part, groups, columns)

    decoding.read_row_groups = noted

def decoded():
    return len(Path(log).read_text().splitlines())

@ray.remote(num_cpus=1)
class Trial:
    def pixels(self, refs):
        return [hashlib.sha256(refs.block(at).images[0]).hexdigest()
                for at in range(len(refs.block_rows))]

size = {"num_cpus": 1, "object_store_memory": 700 * 10**6}
cluster = Cluster(initialize_head=True, head_node_args={**size, "resources": {"first": 1}})
second = cluster.add_node(**size, resources={"second": 1})
hook = {"worker_process_setup_hook": note_what_is_read}
ray.init(address=cluster.address, runtime_env=hook, log_to_driver=False, logging_level="error")
refs = decode_store(CoverStore.open(store), 512, splits=("train",))["train"]
first = decoded()
there = [
    info["node_ids"] == [second.node_id]
    for info in get_object_locations(list(refs.blocks)).values()
]
on_second = Trial.options(resources={"second": 1}).remote()
before = ray.get(on_second.pixels.remote(refs))
mapped = decoded()
on_first = Trial.options(resources={"first": 1}).remote()
ray.get(on_first.__ray_ready__.remote())  # it holds the only CPU that will be left
cluster.remove_node(second, allow_graceful=False)
after = ray.get(on_first.pixels.remote(refs), timeout=120)
print(json.dumps({
    "blocks": len(refs.blocks), "there": sum(there), "same": before == after,
    "distinct": len(set(before)), "decoded": [first, mapped, decoded()],
}))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_node_that_is_lost_costs_the_decoding_of_its_blocks(store, tmp_path):
    arguments = [str(store.path), str(tmp_path / "read")]
    command = [sys.executable, "-c", TWO_NODES, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    blocks, there = told["blocks"], told["there"]
    assert told["distinct"] == blocks > 4
    assert 0 < there < blocks
    assert told["decoded"] == [blocks, blocks, blocks + there]
    assert told["same"]
