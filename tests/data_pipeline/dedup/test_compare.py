import numpy as np
import pytest
from PIL import Image, ImageDraw
from tests.data_pipeline.dedup.conftest import (
    COPIES,
    copy_of,
    draw_series,
    encode,
    opened,
    waves_of,
)

from covertune.data_pipeline.dedup.candidates import likeliest_cuts
from covertune.data_pipeline.dedup.compare import open_for_comparison, same_picture
from covertune.data_pipeline.dedup.signature import CUTS


def _same(one, other):
    """Compare two encoded covers as a prepare does."""
    images = [opened(one), opened(other)]
    pair = likeliest_cuts(waves_of(images), np.array([0]), np.array([1]))
    covers = open_for_comparison(one), open_for_comparison(other)
    return same_picture(covers[pair.inner_P[0]], covers[pair.outer_P[0]], CUTS[pair.cut_P[0]])


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_the_same(drawn, kind):
    same = [_same(encode(image), copy_of(image, kind)) for image in drawn[:60]]
    assert np.mean(same) >= 0.98


def test_volumes_of_a_series_are_different():
    pairs = []
    for seed in range(30):
        first, *others = map(encode, draw_series(seed))
        pairs += [_same(first, other) for other in others]
    assert sum(pairs) <= 1  # of 90; two random titles may be the same words


def test_a_small_volume_of_a_series_is_different_from_a_large_one():
    same = []
    for seed in range(20):
        first, second, *_ = draw_series(seed)
        same.append(_same(encode(first), copy_of(second, "x0.3")))
    assert sum(same) <= 1


def test_other_colours_make_another_cover_and_no_colours_do_not():
    image = Image.new("RGB", (160, 240), (60, 130, 60))
    ImageDraw.Draw(image).ellipse((40, 60, 120, 180), fill=(230, 220, 240))
    red = image.copy()
    red.paste((206, 60, 60), (0, 0, 160, 40))
    red.paste((206, 60, 60), (0, 200, 160, 240))
    grey = image.convert("L").convert("RGB")
    assert _same(encode(image), encode(grey))
    assert not _same(encode(image), encode(red))


@pytest.mark.parametrize("share", [0.12, 0.2])
def test_a_large_crop_is_another_picture(drawn, share):
    cut_x, cut_y = round(160 * share), round(240 * share)
    same = [
        _same(encode(image), encode(image.crop((cut_x, cut_y, 160 - cut_x, 240 - cut_y))))
        for image in drawn[:20]
    ]
    assert not any(same)


def test_brightness_does_not_matter_much(drawn):
    same = [
        _same(encode(image), encode(image.point(lambda level: round(12 + 0.9 * level))))
        for image in drawn[:20]
    ]
    assert np.mean(same) >= 0.95
