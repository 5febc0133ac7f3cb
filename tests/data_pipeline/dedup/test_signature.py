import time

import numpy as np
import pytest
from PIL import Image
from tests.data_pipeline.dedup.conftest import COPIES, copy_of, opened, signatures

from covertune.data_pipeline.dedup import placeholders
from covertune.data_pipeline.dedup.signature import (
    COEFFICIENTS,
    CUTS,
    SIGNATURE_BYTES,
    colours,
    compute_signature,
    dct_coefficients,
    spreads,
)


def test_layout(drawn):
    signed = signatures(drawn[:3])
    assert dct_coefficients(signed).shape == (3, len(CUTS), COEFFICIENTS)
    assert dct_coefficients(signed).base is not None  # a view
    assert CUTS[0] == ((0.0, 1.0), (0.0, 1.0))
    assert len(compute_signature(drawn[0])) == SIGNATURE_BYTES


@pytest.mark.parametrize("kind", COPIES)
def test_the_whole_of_a_copy_looks_like_a_cut_of_the_original(drawn, kind):
    original = dct_coefficients(signatures(drawn)).astype(float)
    copies = dct_coefficients(signatures([opened(copy_of(image, kind)) for image in drawn]))[:, 0]
    cosines = np.einsum("ncw,nw->nc", original, copies.astype(float))
    cosines /= np.linalg.norm(original, axis=2) * np.linalg.norm(copies, axis=1)[:, None]
    assert np.quantile(cosines.max(axis=1), 0.02) > 0.99


def test_different_covers_have_different_signatures(drawn):
    whole = dct_coefficients(signatures(drawn))[:, 0].astype(float)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    cosines = whole @ whole.T
    assert np.sort(cosines[np.triu_indices(len(whole), 1)])[-5] < 0.9


def test_costs_well_under_a_millisecond(drawn):
    image = drawn[0].resize((256, 384))
    times_s = []
    for _ in range(30):
        begin = time.perf_counter()
        compute_signature(image)
        times_s.append(time.perf_counter() - begin)
    assert min(times_s) < 0.001


def test_colours(drawn):
    grey = [opened(copy_of(image, "grey")) for image in drawn]
    assert (colours(signatures(grey)) <= 1).all()
    assert np.mean(colours(signatures(drawn)) >= 3) > 0.95


class TestBlank:
    def test_spread(self):
        image = Image.new("RGB", (160, 240), (240, 240, 240))
        assert spreads(signatures([image]))[0] == 0
        image.paste((40, 40, 40), (60, 100, 100, 130))
        assert spreads(signatures([image]))[0] >= 195

    @pytest.mark.parametrize("colour", ["white", "black", (200, 30, 60)])
    def test_one_colour_is_blank_whatever_the_encoder_did(self, colour):
        image = Image.new("RGB", (160, 240), colour)
        assert placeholders.blank(signatures([image, opened(copy_of(image, "quality 30"))])).all()

    def test_a_scan_of_white_paper_is_blank(self):
        noise = np.random.default_rng(0).normal(245, 4, (300, 200, 3)).clip(0, 255)
        assert placeholders.blank(signatures([Image.fromarray(noise.astype(np.uint8))])).all()

    @pytest.mark.parametrize("ink", [(0, 0, 0), (150, 150, 150), (210, 210, 210)])
    @pytest.mark.parametrize("size", [(128, 128), (256, 384), (60, 90)])
    def test_a_white_cover_with_a_small_title_is_a_cover(self, ink, size):
        image = Image.new("RGB", size, "white")
        width, height = size
        for letter in range(6):  # strokes a hundredth of the width
            x = round(width * (0.4 + 0.03 * letter))
            stroke = max(1, round(width * 0.01))
            image.paste(ink, (x, round(height * 0.45), x + stroke, round(height * 0.48)))
        assert not placeholders.blank(signatures([image]))[0]

    def test_a_pattern_of_colours_of_equal_luminance_is_no_blank(self):
        image = Image.new("RGB", (160, 240), (200, 60, 60))
        image.paste((60, 130, 60), (40, 60, 120, 180))
        grey = np.asarray(image.convert("L"), dtype=int)
        assert np.ptp(grey) <= 4
        assert not placeholders.blank(signatures([image]))[0]
