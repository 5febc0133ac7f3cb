"""Many distinct covers for measurements, made once and kept.

Drawing a cover takes a tenth of a second, so a few hundred are drawn and the rest put together of
them: a piece of one, turned, recoloured and grained, with a piece of another pasted in. 400 x 600
pixels, JPEG, about 60 kB, as shops have them.
"""

from __future__ import annotations

import io
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from covertune.data_pipeline.sample import draw_sample
from covertune.machine import usable_cpus

SIZE = (400, 600)
_GENRES = 6
_DRAWN_PER_GENRE = 50
_GRAIN = 9.0
_CHUNK = 250


def many_covers(covers, build=Path("build"), size=SIZE):
    """Make a folder of so many covers, a folder per genre; what is there already is kept.

    Args:
        covers: How many.
        build: Where folders of covers are kept.
        size: Width and height.
    """
    base = build / "covers-drawn"
    if not base.exists():
        print(f"drawing {_GENRES * _DRAWN_PER_GENRE} covers …", flush=True)
        draw_sample(base, covers_per_genre=_DRAWN_PER_GENRE, genres=_GENRES)
    folder = build / f"covers-{covers}-{size[0]}x{size[1]}"
    starts = range(0, covers, _CHUNK)
    missing = [start for start in starts if not (folder / f".{start}").exists()]
    if missing:
        print(f"making {covers} covers in {folder} …", flush=True)
        with ProcessPoolExecutor(usable_cpus()) as makers:
            for start in missing:
                end = min(start + _CHUNK, covers)
                makers.submit(_make, base, folder, start, end, size)
        left = [start for start in missing if not (folder / f".{start}").exists()]
        assert not left, f"a process that makes covers failed at {left}"
    return folder


def _make(base, folder, start, end, size):
    for number in range(start, end):
        path = folder / f"genre-{number % _GENRES}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_cover(base, number, size))
    (folder / f".{start}").touch()


def _cover(base, number, size):
    rng = np.random.default_rng(number)
    drawn = _drawn(base)
    image = _piece(drawn, rng, size, 0.35, 0.8)
    inset = tuple(int(side * rng.uniform(0.35, 0.7)) for side in size)
    place = tuple(int((side - of) * rng.uniform()) for side, of in zip(size, inset, strict=True))
    image.paste(_piece(drawn, rng, inset, 0.4, 1.0), place)
    rows = rng.integers(0, 600)
    grained = np.asarray(image).astype(np.float32) + _grain(size)[rows : rows + size[1]]
    encoded = io.BytesIO()
    Image.fromarray(grained.clip(0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def _piece(drawn, rng, size, least, most):
    """Return a piece of a drawn cover, recoloured."""
    image = drawn[rng.integers(len(drawn))]
    width, height = (int(side * rng.uniform(least, most)) for side in image.size)
    left, top = (int(rng.uniform() * room) for room in (image.width - width, image.height - height))
    piece = image.crop((left, top, left + width, top + height)).resize(size)
    if rng.uniform() < 0.5:
        piece = ImageOps.mirror(piece)
    bands = piece.split()
    piece = Image.merge("RGB", [bands[band] for band in rng.permutation(3)])
    gains = np.repeat(rng.uniform(0.6, 1.3, 3), 256)
    return piece.point((np.tile(np.arange(256), 3) * gains).clip(0, 255).astype(int).tolist())


@cache
def _drawn(base):
    return [Image.open(path).convert("RGB") for path in sorted(base.rglob("*.jpg"))]


@cache
def _grain(size):
    rng = np.random.default_rng(0)
    return rng.normal(0, _GRAIN, (size[1] + 600, size[0], 3)).astype(np.float32)
