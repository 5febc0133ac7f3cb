"""Covers made on the spot, and a store of them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline import CoverStore, PrepareSettings, prepare_store

MakeCover = Callable[..., bytes]
MakeFolder = Callable[[Path, dict[str, int]], Path]


def _cover(number: int, size: tuple[int, int] = (48, 64), file_format: str = "JPEG") -> bytes:
    """An encoded picture; another number, another picture."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def _folder(root: Path, covers_per_genre: dict[str, int]) -> Path:
    """A folder per genre; no two pictures alike."""
    number = 0
    for genre, covers in covers_per_genre.items():
        (root / genre).mkdir(parents=True)
        for index in range(covers):
            (root / genre / f"{index}.jpg").write_bytes(_cover(number))
            number += 1
    return root


@pytest.fixture(scope="session")
def make_cover() -> MakeCover:
    return _cover


@pytest.fixture(scope="session")
def make_folder() -> MakeFolder:
    return _folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> CoverStore:
    """400 covers of three genres; several row groups in the part of `train`."""
    root = tmp_path_factory.mktemp("covers")
    source = _folder(root / "source", {"Cooking": 200, "Poetry": 160, "Travel": 40})
    prepare_store(source, root / "store", settings=PrepareSettings(seed=1))
    return CoverStore.open(root / "store")
