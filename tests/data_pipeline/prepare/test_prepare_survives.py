"""What a prepare leaves behind when it is killed, when its workers die, when the disk is full."""

import io
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from data_pipeline import CoverStore, StoreError, prepare_store

ROOT = Path(__file__).parents[3]
COVERS = 64
PREPARE = """
import sys
from pathlib import Path
from data_pipeline import prepare_store

prepare_store(
    Path(sys.argv[1]), Path(sys.argv[2]), progress=lambda done, total: print(done, flush=True)
)
"""


def _large_covers(folder):
    """Covers that take some 50 ms each, so that there is time to kill somebody."""
    for number in range(COVERS):
        coarse = np.random.default_rng(number).integers(0, 256, (9, 6, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((1200, 1800)).save(buffer, "JPEG")
        path = folder / "AB"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return _large_covers(tmp_path_factory.mktemp("source"))


class Prepare:
    """A prepare in a process of its own."""

    def __init__(self, source, out):
        command = [sys.executable, "-c", PREPARE, str(source), str(out)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def until(self, covers):
        """Wait until so many covers are done."""
        for line in self.process.stdout:
            if int(line) >= covers:
                return
        raise AssertionError("ended too early")

    def workers(self):
        """Ray's processes that run a task now."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "_normalise_block" in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def kill(self):
        # What could still write goes with its driver; Ray's agents take their time.
        writing = self.workers()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        _, alive = psutil.wait_procs(writing, timeout=30)
        assert not alive

    def end(self):
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait()


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_a_whole_store_or_none(source, tmp_path):
    out = tmp_path / "store"
    draws = random.Random()
    for covers in (draws.randrange(COVERS), COVERS):
        prepare = Prepare(source, out)
        prepare.until(covers)
        time.sleep(draws.uniform(0, 0.1))
        prepare.kill()
        visible = [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")]
        assert visible in ([], ["store"])
        if visible:  # killed after its last act
            assert CoverStore.open(out).manifest.kept == COVERS
            shutil.rmtree(out)
    prepare = Prepare(source, out)
    assert prepare.end() == 0
    assert CoverStore.open(out).manifest.kept == COVERS
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"], "leftovers are removed"


@pytest.mark.slow
def test_a_killed_worker_costs_no_cover(source, tmp_path):
    prepare = Prepare(source, tmp_path / "store")
    prepare.until(0)
    deadline = time.monotonic() + 60
    while not (workers := prepare.workers()):
        assert time.monotonic() < deadline, "no worker was ever seen"
        time.sleep(0.01)
    workers[0].kill()
    assert prepare.end() == 0
    store = CoverStore.open(tmp_path / "store")
    assert (store.manifest.kept, store.manifest.rejected) == (COVERS, 0)
    assert len(set(store.read_columns(["cover_id"])["cover_id"].to_pylist())) == COVERS
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"a small disk cannot be mounted: {tried.stderr.strip()}")
    yield disk
    # Lazily: a task that has not heard of the end may hold a file a moment longer.
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("covers", [32, 12], ids=["workers fill it", "parts fill it"])
def test_a_full_disk_is_one_clear_error(small_disk, tmp_path, covers):
    for number in range(covers):
        path = tmp_path / "source" / "AB"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)  # about 110 kB in the store
    message = rf"^cannot write the store {small_disk}/store: .*No space left on device.*; choose a"
    with pytest.raises(StoreError, match=message) as caught:
        prepare_store(tmp_path / "source", small_disk / "store")
    assert "\n" not in str(caught.value)
    assert list(small_disk.iterdir()) == []
