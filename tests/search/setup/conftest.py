"""What the preflight finds, made up: small facts that a test overrides where it matters."""

import pytest

from covertune.search.events import BackboneCheck
from covertune.search.plan import Slots

CHECK = {
    "backbone": "small_cnn",
    "image_px": 32,
    "stages": 4,
    "pretrained": False,
    "node": "here",
    "device": "cpu",
    "train_covers_per_s": 10.0,
    "eval_covers_per_s": 30.0,
    "decode_covers_per_s": 100.0,
    "memory_mb": 100.0,
    "checkpoint_mb": 1.0,
}
SLOTS = {
    "count": 2,
    "cpus_per_trial": 1,
    "gpus_per_trial": 0.0,
    "cpus": 2,
    "gpus": 0,
    "nodes": 1,
}


@pytest.fixture
def check():
    return lambda **overrides: BackboneCheck(**(CHECK | overrides))


@pytest.fixture
def slots():
    return lambda **overrides: Slots(**(SLOTS | overrides))
