"""The fast resizer gives Pillow's pixels, but for roundings."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline.images import _resizing, load_square, load_squares, normalise
from covertune.data_pipeline.images._resizing import resize, resize_fast, resize_image

BICUBIC, LANCZOS = Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
MEAN_LEVELS, MOST_LEVELS = 0.5, 40  # of 255; the most where both passes meet a hard edge


@pytest.fixture
def cover():
    """Smooth and hard edges, as covers have them."""
    draws = np.random.default_rng(7)
    small = draws.integers(0, 256, (30, 20, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((400, 600), BICUBIC)
    image.paste((255, 255, 255), (50, 80, 350, 160))
    image.paste((0, 0, 0), (60, 90, 340, 95))
    return image


def differences(one, other):
    return np.abs(one.astype(int) - other)


@pytest.mark.parametrize("how", [BICUBIC, LANCZOS])
@pytest.mark.parametrize("size", [(128, 128), (224, 224), (256, 384), (500, 700), (1, 1)])
@pytest.mark.parametrize("box", [None, (0.0, 100.0, 400.0, 500.0), (0.5, 99.5, 399.5, 498.5)])
def test_its_pixels_are_pillow_s(cover, how, size, box):
    fast = resize_fast(cover, size, how, box)
    assert fast.shape == (size[1], size[0], 3)
    assert fast.dtype == np.uint8
    assert fast.flags.writeable
    far = differences(fast, resize(cover, size, how, box))
    assert far.mean() < MEAN_LEVELS
    assert far.max() <= MOST_LEVELS


@pytest.mark.parametrize("size", [(256, 384), (500, 700), (1, 1)])
def test_as_another_image_they_are_the_same(cover, size):
    image = resize_image(cover, size, LANCZOS)
    assert (image.mode, image.size) == ("RGB", size)
    assert (np.asarray(image) == resize_fast(cover, size, LANCZOS)).all()


def test_what_has_the_size_already_is_left_as_it_is(cover):
    assert (resize_fast(cover, cover.size, BICUBIC) == np.asarray(cover)).all()


def test_threads_do_not_disturb_each_other(cover):
    alone = resize_fast(cover, (64, 64), BICUBIC)
    with ThreadPoolExecutor(4) as threads:
        several = list(threads.map(lambda _: resize_fast(cover, (64, 64), BICUBIC), range(64)))
    assert all((one == alone).all() for one in several)


@pytest.mark.parametrize("why", ["no wheel", "so many pixels"])
def test_else_pillow_resizes(cover, monkeypatch, why):
    if why == "no wheel":
        monkeypatch.setattr(_resizing, "cykooz_resizer", None)
    else:
        monkeypatch.setattr(_resizing, "_MOST_PIXELS", 400 * 600 - 1)
    assert (resize_fast(cover, (99, 77), LANCZOS) == resize(cover, (99, 77), LANCZOS)).all()


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_what_is_trained_on_is_what_is_asked_about(cover, tmp_path, fit):
    cover.save(tmp_path / "cover.png")
    data = normalise((tmp_path / "cover.png").read_bytes(), 256).data
    (trained,) = load_squares(data, 128, (fit,), fast=True)
    assert differences(trained, load_square(data, 128, fit)).mean() < MEAN_LEVELS
