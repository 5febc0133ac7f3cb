from functools import partial

import numpy as np
import pytest
import ray

from covertune.data_pipeline import Part, decode_store, map_blocks, stream_part
from covertune.data_pipeline.dataset import decoding

PX = 16


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK_BYTES", 20 * PX * PX * 3)


class MeansOf:
    """Counts how often it is made: once a task."""

    def __init__(self, power):
        self.power, self.made = power, np.random.default_rng().integers(2**60)

    def __call__(self, covers):
        return self.made, covers.images[0].mean(axis=(1, 2, 3)) ** self.power


def submit(work, *arguments, num_returns):
    return ray.remote(num_returns=num_returns, num_cpus=0)(work).remote(*arguments)


@pytest.mark.parametrize("tasks", [1, 3, 100])
@pytest.mark.parametrize("where", ["in memory", "streamed"])
def test_a_result_a_block_in_the_store_s_order(store, local_ray, tasks, where):
    if where == "in memory":
        refs = decode_store(store, PX, splits=("train",))["train"]
    else:
        refs = stream_part(Part(store, "train"), PX, "squash")
    computed = map_blocks(refs, partial(MeansOf, 2), submit, tasks=tasks)
    blocks = len(refs.block_rows)
    assert computed.rows == refs.block_rows
    assert sum(computed.rows) == store.count("train") == refs.num_covers
    assert blocks > 3
    results = computed.get()
    assert len({made for made, _ in results}) == min(tasks, blocks)
    expected = [refs.block(index).images[0].mean(axis=(1, 2, 3)) ** 2 for index in range(blocks)]
    assert all(np.allclose(one, other) for (_, one), other in zip(results, expected, strict=True))


def test_a_block_by_itself_has_its_own_labels(store, local_ray):
    refs = decode_store(store, PX, splits=("val",))["val"]
    labels = [refs.block(index).labels_N for index in range(len(refs.block_rows))]
    assert np.array_equal(np.concatenate(labels), refs.get().labels_N)
