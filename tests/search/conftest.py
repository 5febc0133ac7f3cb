"""Small real parts: covers drawn by the test, a prepared store."""

import logging

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline import PrepareSettings, prepare_store

GENRES = {"Alarm": (200, 40, 40), "Balm": (40, 200, 40), "Calm": (40, 40, 200)}


@pytest.fixture(scope="session")
def store(tmp_path_factory, local_ray):
    """A store of three genres told apart by colour, with some noise: 40 covers each, 32 px."""
    folder = tmp_path_factory.mktemp("covers")
    rng = np.random.default_rng(0)
    for genre, colour in GENRES.items():
        (folder / "raw" / genre).mkdir(parents=True)
        for number in range(40):
            pixels = rng.normal(colour, 60, size=(32, 32, 3)).clip(0, 255).astype(np.uint8)
            file = folder / "raw" / genre / f"{number:03}.jpg"
            Image.fromarray(pixels).save(file, quality=95)
    prepare_store(folder / "raw", folder / "store", settings=PrepareSettings(max_px=32))
    return folder / "store"


@pytest.fixture
def told(caplog):
    """What a search logs; Ray's loggers keep it from the root once Ray has been started."""
    logger = logging.getLogger("covertune")
    logger.addHandler(caplog.handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    yield caplog
    logger.setLevel(before)
    logger.removeHandler(caplog.handler)
