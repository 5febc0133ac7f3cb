"""What holds on real covers, and on however many workers; needs covers that lie beside the code."""

import hashlib
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from covertune.data_pipeline import CoverStore, prepare_store

COVERS5 = Path(__file__).parents[3] / "shared" / "covers5"

needs_covers5 = pytest.mark.skipif(not COVERS5.is_dir(), reason=f"no real covers at {COVERS5}")


@needs_covers5
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_no_file_of_a_group_is_on_two_sides(tmp_path):
    prepare_store(COVERS5, tmp_path / "store")
    splits_of_group, splits_of_bytes = defaultdict(set), defaultdict(set)
    covers = 0
    for part in sorted((tmp_path / "store").glob("part-*.parquet")):
        for row in pq.read_table(part, columns=["split", "group", "source"]).to_pylist():
            covers += 1
            splits_of_group[row["group"]].add(row["split"])
            content = (COVERS5 / row["source"]).read_bytes()
            splits_of_bytes[hashlib.sha256(content).digest()].add(row["split"])
    assert covers == 4233
    assert all(len(splits) == 1 for splits in splits_of_group.values())
    assert all(len(splits) == 1 for splits in splits_of_bytes.values())
    manifest = CoverStore.open(tmp_path / "store").manifest
    assert (manifest.pictures, manifest.conflicting) == (4556, 323)
    assert manifest.noise_ceiling == pytest.approx(0.93189, abs=1e-5)


_PREPARE = """
import json, sys
from pathlib import Path
from covertune.data_pipeline import PrepareSettings, prepare_store
from covertune.data_pipeline.local_ray import start_local_ray
start_local_ray(num_cpus=int(sys.argv[3]))
how = PrepareSettings(conflicts="multi")
summary = prepare_store(Path(sys.argv[1]), Path(sys.argv[2]), settings=how)
print(json.dumps({"fingerprint": summary.fingerprint, "reasons": summary.reasons}))
"""


@pytest.mark.slow
def test_one_worker_and_four_make_the_same_store(tmp_path, make_folder, make_cover):
    source = make_folder(tmp_path / "source", {"Art": 60, "Poetry": 60})
    for number in range(20):
        data = make_cover(number, size=(96, 128))  # a larger copy of what make_folder wrote
        (source / ("Poetry" if number % 4 else "Art") / f"big{number}.jpg").write_bytes(data)
    said = []
    for cpus in (1, 4):
        arguments = [str(source), str(tmp_path / f"store{cpus}"), str(cpus)]
        done = subprocess.run(
            [sys.executable, "-c", _PREPARE, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(json.loads(done.stdout.splitlines()[-1]))
    assert said[0] == said[1]
    assert said[0]["reasons"] == {"near copy of another cover": 20}
    for part in (tmp_path / "store1").glob("*.parquet"):
        assert part.read_bytes() == (tmp_path / "store4" / part.name).read_bytes()
