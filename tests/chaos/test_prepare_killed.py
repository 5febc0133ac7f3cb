"""A `data prepare` that is killed leaves a whole store or none, and the next one makes it."""

import shutil
import time

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline import CoverStore

COVERS = 96
SIZE = (1000, 1500)  # some 40 ms each, so that there is time to kill somebody
IDLE = ("ray::IDLE", "ray::Dashboard", "ray::RuntimeEnv")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Large covers, all different, in three genres."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(COVERS):
        coarse = np.random.default_rng(number).integers(0, 256, (9, 6, 3), dtype=np.uint8)
        path = folder / "ABC"[number % 3] / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(coarse).resize(SIZE).save(path)
    return folder


def require_whole(folder):
    """All covers once, and nothing beside the store."""
    store = CoverStore.open(folder / "store")
    assert (store.manifest.kept, store.manifest.rejected) == (COVERS, 0)
    assert len(set(store.read_columns(["cover_id"])["cover_id"].to_pylist())) == COVERS
    assert [entry.name for entry in folder.iterdir()] == ["store"]


def test_a_killed_prepare_leaves_a_whole_store_or_none(
    start, run_to_the_end, source, tmp_path, draws, kills
):
    life_s = run_to_the_end("data", "prepare", source, "store", cwd=tmp_path).age_s
    require_whole(tmp_path)
    shutil.rmtree(tmp_path / "store")
    killed = whole = 0
    while killed < kills:
        command = start("data", "prepare", source, "store", cwd=tmp_path)
        moment_s = draws.uniform(0, 1.1 * life_s)
        command.until(f"{moment_s} s", lambda c=command, s=moment_s: c.age_s >= s)
        if not command.has_ended:
            command.kill()
            killed += 1
        visible = [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")]
        print(f"kill {killed} after {moment_s:.1f} of {life_s:.1f} s: {visible or 'no store'}")
        assert visible in ([], ["store"])
        if visible:
            whole += 1
            require_whole(tmp_path)
            shutil.rmtree(tmp_path / "store")
    run_to_the_end("data", "prepare", source, "store", cwd=tmp_path)
    require_whole(tmp_path)
    print(f"{killed} kills, {whole} whole stores before the last")


def test_killed_workers_cost_no_cover(start, source, tmp_path, draws, kills):
    killed = 0
    while killed < kills:
        command = start("data", "prepare", source, "store", cwd=tmp_path)
        here = 0
        while here < min(2, kills - killed) and command.until("a worker", busy, command):
            time.sleep(draws.uniform(0, 0.3))
            if workers := busy(command):
                draws.choice(workers).kill()
                here += 1
        assert command.end() == 0, command.story
        print(f"{here} workers killed")
        require_whole(tmp_path)
        shutil.rmtree(tmp_path / "store")
        killed += here
    print(f"{killed} kills")


def busy(command):
    """Ray's processes that run a task."""
    idle = {process.pid for process in command.family(*IDLE)}
    return [process for process in command.family("ray::") if process.pid not in idle]
