"""Drawn covers, copies of them as they turn up in the world, and series of one design."""

import dataclasses
import io
import random

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline.dedup.signature import (
    SIGNATURE_BYTES,
    Pictures,
    compute_signature,
    dct_coefficients,
)
from covertune.data_pipeline.sample import cover
from covertune.data_pipeline.sample.genres import GENRES
from covertune.data_pipeline.sample.layouts import LAYOUTS
from covertune.data_pipeline.sample.words import author, title

COPIES = ("x0.3", "x0.5", "x2", "quality 30", "grey", "inner", "left", "top", "right", "bottom")


def encode(image, quality=92):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def copy_of(image, kind):
    """An encoded copy of one of the kinds in `COPIES`."""
    width, height = image.size
    if kind.startswith("x"):
        factor = float(kind[1:])
        size = (round(width * factor), round(height * factor))
        return encode(image.resize(size, Image.Resampling.LANCZOS))
    if kind == "quality 30":
        return encode(image, quality=30)
    if kind == "grey":
        return encode(image.convert("L").convert("RGB"))
    cut_x, cut_y = round(0.05 * width), round(0.05 * height)
    all_round = kind == "inner"
    box = (
        cut_x * (all_round or kind == "left"),
        cut_y * (all_round or kind == "top"),
        width - cut_x * (all_round or kind == "right"),
        height - cut_y * (all_round or kind == "bottom"),
    )
    return encode(image.crop(box))


def draw_series(seed, volumes=4):
    """Covers of one layout, palette and motif; titles differ, of the last the author too."""
    rng = random.Random(f"series {seed}")
    genre = rng.choice(GENRES)
    brief = cover._brief(genre, rng)
    layout = LAYOUTS[rng.choice(sorted(LAYOUTS))]
    images = []
    for volume in range(volumes):
        words = {"title": title(genre.words, rng)}
        if volume == volumes - 1:
            words["author"] = author(genre.words, rng)
        of_volume = dataclasses.replace(brief, **words)
        size = (3 * cover.WIDTH_PX, 3 * cover.HEIGHT_PX)
        image = layout(size, of_volume, random.Random(seed)).reduce(3)
        images.append(cover.grain(image, 3, volume))
    return images


def signatures(images):
    """(N, D) uint8."""
    joined = b"".join(compute_signature(image) for image in images)
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, SIGNATURE_BYTES)


def waves_of(images):
    return Pictures(dct_coefficients(signatures(images)), np.arange(len(images)))


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.fixture(scope="session")
def drawn():
    """120 covers, all different."""
    rng = random.Random("copies")
    return [opened(cover.draw_cover(rng.choice(GENRES), rng)) for _ in range(120)]
