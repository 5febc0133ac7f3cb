import io

import numpy as np
import pytest
import ray
import torch
from PIL import Image

from covertune.data_pipeline import (
    CapacityError,
    CoverStore,
    Part,
    PrepareSettings,
    decode_fits,
    decode_store,
    decoded_nbytes,
    load_square,
    load_squares,
    prepare_store,
    stream_part,
)
from covertune.vocabulary import FITS

RED, GREEN, BLUE, GREY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _banner(width: int, height: int) -> bytes:
    """Red, green and blue thirds, in the direction of the longer side."""
    image = Image.new("RGB", (width, height), GREEN)
    if height > width:
        image.paste(RED, (0, 0, width, height // 3))
        image.paste(BLUE, (0, height - height // 3, width, height))
    else:
        image.paste(RED, (0, 0, width // 3, height))
        image.paste(BLUE, (width - width // 3, 0, width, height))
    return _png(image)


class TestSquare:
    @pytest.mark.parametrize("fit", FITS)
    def test_a_square_stays_as_it_is(self, make_cover, fit):
        data = make_cover(1, (64, 64), "PNG")
        for px in (64, 24):
            assert np.array_equal(load_square(data, px, fit), load_square(data, px))

    def test_squash_shows_all_of_it_everywhere(self):
        square = load_square(_banner(30, 90), 30)
        assert [square[row, 15].tolist() for row in (3, 15, 27)] == [[*RED], [*GREEN], [*BLUE]]
        assert np.ptp(square, axis=1).max() == 0

    @pytest.mark.parametrize("tall", [True, False])
    def test_crop_shows_the_middle(self, tall):
        square = load_square(_banner(30, 90) if tall else _banner(90, 30), 30, "crop")
        assert np.abs(square.astype(int) - GREEN).max() == 0

    @pytest.mark.parametrize("tall", [True, False])
    def test_pad_keeps_the_shape(self, tall):
        image = Image.new("RGB", (30, 90) if tall else (90, 30), GREY)
        image.paste(RED, (10, 40, 20, 50) if tall else (40, 10, 50, 20))
        square = load_square(_png(image), 90, "pad")
        assert square.shape == (90, 90, 3)
        assert square[45, 45].tolist() == [*RED]
        assert (square != GREY).any(axis=2).sum() < 150, "the mark is 10 x 10 and a little blurred"
        assert square[0, 0].tolist() == square[-1, -1].tolist() == [*GREY]

    def test_bars_have_the_mean_colour_of_the_edges_they_touch(self):
        image = Image.new("RGB", (30, 90), RED)
        image.paste(BLUE, (29, 0, 30, 90))
        image.paste(GREEN, (10, 0, 20, 1))  # touches no bar
        square = load_square(_png(image), 90, "pad")
        assert square[:, :30].reshape(-1, 3).min(axis=0).tolist() == [100, 0, 100]
        assert square[:, :30].reshape(-1, 3).max(axis=0).tolist() == [100, 0, 100]
        assert square[45, 70].tolist() == [100, 0, 100]

    @pytest.mark.parametrize("fit", FITS)
    @pytest.mark.parametrize("size", [(8, 2000), (2000, 8), (9, 10), (33, 65)])
    def test_any_shape(self, make_cover, fit, size):
        assert load_square(make_cover(1, size, "PNG"), 31, fit).shape == (31, 31, 3)

    def test_several_at_once_are_each_of_them(self, make_cover):
        data = make_cover(1, (40, 61))
        for fit, square in zip(FITS, load_squares(data, 20, FITS), strict=True):
            assert np.array_equal(square, load_square(data, 20, fit))


@pytest.fixture(scope="module")
def tall(store):
    return store  # its covers are 48 x 64


@pytest.mark.usefixtures("local_ray")
class TestDecoded:
    def test_arrays_are_what_load_squares_gives(self, tall):
        calls = []
        fitted = decode_fits(
            tall, 24, FITS, splits=("val", "test"), progress=lambda *done: calls.append(done)
        )
        assert list(fitted) == list(FITS)
        total = tall.count("val") + tall.count("test")
        assert calls[-1] == (total, total), "each cover is decoded once, whatever the fits"
        for fit, splits in fitted.items():
            assert list(splits) == ["val", "test"]
            for split, refs in splits.items():
                images, labels_N = tall.read_images(split)
                decoded = refs.get()
                assert (refs.fit, refs.image_px, refs.split) == (fit, 24, split)
                assert np.array_equal(decoded.labels_N, labels_N)
                for image_HWC, data in zip(np.concatenate(decoded.images), images, strict=True):
                    (expected,) = load_squares(data, 24, (fit,), fast=split != "test")
                    assert np.array_equal(image_HWC, expected)

    def test_keys_tell_fits_apart(self, tall):
        fitted = decode_fits(tall, 8, FITS, splits=("val",))
        assert len({splits["val"].get().key for splits in fitted.values()}) == len(FITS)
        squashed = decode_store(tall, 8, splits=("val",))["val"].get()
        assert squashed.key == fitted["squash"]["val"].get().key

    def test_each_fit_takes_room(self, tall):
        one = decoded_nbytes(tall, 24, ("val",))
        fitted = decode_fits(tall, 24, ("pad", "crop"), splits=("val",))
        blocks = {block for splits in fitted.values() for block in splits["val"].blocks}
        taken = sum(table.nbytes for table in ray.get(list(blocks)))
        assert taken == pytest.approx(2 * one, rel=0.02), "labels are there once"
        with pytest.raises(CapacityError, match=r"at 30000 px in 2 fits need \d+"):
            decode_fits(tall, 30_000, ("pad", "crop"))

    @pytest.mark.parametrize("fit", FITS)
    def test_streamed_covers_are_the_same(self, tall, fit):
        cpu = torch.device("cpu")
        streamed = stream_part(Part(tall, "val"), 16, fit).batches(99, cpu, shuffle=False).epoch(0)
        decoded = decode_store(tall, 16, fit=fit)["val"].batches(99, cpu, shuffle=False).epoch(0)
        for one, other in zip(streamed, decoded, strict=True):
            assert torch.equal(one.images_BHWC, other.images_BHWC)

    def test_a_store_of_squares_knows_it(self, tall, tmp_path, make_cover):
        assert not tall.has_squares_alone
        for number in range(6):
            folder = tmp_path / "source" / ("Art" if number % 2 else "Poetry")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.jpg").write_bytes(make_cover(number, (64, 64)))
        prepare_store(tmp_path / "source", tmp_path / "store", settings=PrepareSettings(max_px=32))
        assert CoverStore.open(tmp_path / "store").has_squares_alone
