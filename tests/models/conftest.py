"""Small covers that can be learnt, and a quick recipe."""

import numpy as np
import pytest
import torch

from covertune.batch import Batch
from covertune.models import Recipe

PX = 32
K = 4
CPU = torch.device("cpu")


class Covers:
    """Covers whose genre is their colour, under noise; a list of batches each pass."""

    def __init__(self, n, seed, batch_size=16):
        rng = np.random.default_rng(seed)
        self.labels_N = torch.from_numpy(rng.permutation(np.arange(n) % K))
        base = rng.integers(60, 120, (n, PX, PX, 3))
        colours = np.array([[90, 0, 0], [0, 90, 0], [0, 0, 90], [60, 60, 0]])
        tinted = base + colours[self.labels_N.numpy()][:, None, None, :]
        self.images_NHWC = torch.from_numpy(tinted.astype(np.uint8))
        self.batch_size = batch_size

    def __iter__(self):
        images, labels = (of.split(self.batch_size) for of in (self.images_NHWC, self.labels_N))
        return map(Batch, images, labels)

    def __len__(self):
        return -(-len(self.labels_N) // self.batch_size)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def train():
    return Covers(96, seed=1)


@pytest.fixture(scope="session")
def val():
    return Covers(48, seed=2)


@pytest.fixture
def recipe():
    """Learns the covers above in five epochs."""
    return Recipe(
        backbone="small_cnn",
        image_px=PX,
        epochs=5,
        batch_size=16,
        lr_head=3e-3,
        lr_backbone=3e-3,
    )


@pytest.fixture
def change(recipe):
    """The recipe with other settings, validated."""

    def changed(**settings):
        return Recipe(**(recipe.model_dump() | settings))

    return changed
