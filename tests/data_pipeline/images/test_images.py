import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from covertune.data_pipeline.errors import ImageRejected
from covertune.data_pipeline.images import load_square, normalise


def _encode(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _pixels(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def _rejection(data: bytes) -> ImageRejected:
    with pytest.raises(ImageRejected) as caught:
        normalise(data, 256)
    assert "\n" not in str(caught.value)
    return caught.value


class TestNormalise:
    def test_a_fine_jpeg_keeps_its_bytes(self, make_cover):
        data = make_cover(1)
        image = normalise(data, 256)
        assert image.data is data
        assert (image.width, image.height) == (48, 64)

    def test_a_jpeg_loses_what_is_no_pixels(self, make_cover):
        image = Image.open(io.BytesIO(make_cover(1)))
        exif = Image.Exif()
        exif[0x010F] = "a camera"
        data = _encode(image, "JPEG", exif=exif, comment=b"a comment", icc_profile=b"a profile")
        normalised = normalise(data + b"what follows", 256)
        assert normalised.data == _encode(image, "JPEG")
        assert normalised.cover_id == normalise(normalised.data, 256).cover_id

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
    def test_other_formats_become_jpeg(self, make_cover, file_format):
        data = make_cover(1, file_format=file_format)
        image = normalise(data, 256)
        again = Image.open(io.BytesIO(image.data))
        assert (again.format, again.mode, again.size) == ("JPEG", "RGB", (48, 64))
        difference = _pixels(image.data).astype(int) - _pixels(data)
        assert np.abs(difference).mean() < 3

    @pytest.mark.parametrize(
        ("size", "reduced"),
        [((600, 900), (100, 150)), ((900, 600), (150, 100)), ((100, 900), (100, 900))],
    )
    def test_shorter_side_is_reduced(self, make_cover, size, reduced):
        image = normalise(make_cover(1, size), 100)
        assert (image.width, image.height) == reduced
        assert Image.open(io.BytesIO(image.data)).size == reduced

    def test_never_enlarged(self, make_cover):
        assert normalise(make_cover(1, (30, 40)), 256).width == 30

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_turned_upright(self, make_cover, orientation):
        image = Image.open(io.BytesIO(make_cover(1)))
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = _encode(image, "PNG", exif=exif)  # without loss, so that pixels can be compared
        with Image.open(io.BytesIO(data)) as stored:
            upright = ImageOps.exif_transpose(stored)
        normalised = normalise(data, 256)
        assert (normalised.width, normalised.height) == upright.size
        assert normalised.cover_id == normalise(_encode(upright, "PNG"), 256).cover_id
        square = np.array(upright.resize((20, 20), Image.Resampling.BICUBIC))
        assert np.array_equal(load_square(data, 20), square)

    def test_turned_jpeg_is_stored_upright(self, make_cover):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = _encode(Image.open(io.BytesIO(make_cover(1))), "JPEG", exif=exif)
        again = Image.open(io.BytesIO(normalise(data, 256).data))
        assert again.size == (64, 48)
        assert again.getexif().get(0x0112) is None

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
    def test_transparent_parts_become_white(self, file_format):
        image = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
        image.paste((0, 0, 255, 255), (0, 0, 16, 32))
        square = load_square(_encode(image, file_format, lossless=True), 32)
        assert square[5, 5].tolist() == [0, 0, 255]
        assert square[5, 30].tolist() == [255, 255, 255]

    def test_transparent_palette_becomes_white(self):
        image = Image.new("P", (32, 32), 0)
        image.putpalette([255, 0, 0, 0, 255, 0])
        image.paste(1, (0, 0, 16, 32))
        square = load_square(_encode(image, "PNG", transparency=0), 32)
        assert square[5, 5].tolist() == [0, 255, 0]
        assert square[5, 30].tolist() == [255, 255, 255]

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK"])
    def test_other_colour_modes_become_rgb(self, mode):
        image = Image.new("RGB", (32, 32), "white").convert(mode)
        data = _encode(image, "JPEG" if mode == "CMYK" else "PNG")
        assert np.abs(load_square(data, 32).astype(int) - 255).max() <= 2

    def test_grey_of_16_bits_is_scaled(self):
        image = Image.fromarray(np.full((32, 32), 0x8000, dtype=np.uint16))
        assert load_square(_encode(image, "PNG"), 32)[3, 3].tolist() == [128, 128, 128]

    def test_first_picture_of_an_animation(self):
        frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
        data = _encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert load_square(data, 32)[3, 3].tolist() == [255, 0, 0]

    def test_broken_exif_does_not_matter(self, make_cover):
        image = Image.open(io.BytesIO(make_cover(1)))
        data = _encode(image, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
        assert normalise(data, 256).width == 48


class TestCoverId:
    def test_same_pixels_in_another_file(self, make_cover):
        data = make_cover(1)
        as_png = _encode(Image.open(io.BytesIO(data)), "PNG")
        assert normalise(as_png, 256).cover_id == normalise(data, 256).cover_id

    def test_is_that_of_the_original_size(self, make_cover):
        data = make_cover(1, (300, 400))
        assert normalise(data, 100).cover_id == normalise(data, 256).cover_id

    def test_other_pixels(self, make_cover):
        assert normalise(make_cover(1), 256).cover_id != normalise(make_cover(2), 256).cover_id

    def test_same_bytes_in_another_shape(self):
        wide, tall = (_encode(Image.new("RGB", size), "PNG") for size in ((16, 32), (32, 16)))
        assert normalise(wide, 256).cover_id != normalise(tall, 256).cover_id


class TestRejected:
    def test_empty_file(self):
        assert _rejection(b"").reason == "empty file"

    def test_text_file(self):
        rejected = _rejection(b"this is no picture at all\n" * 20)
        assert rejected.reason == "not an image"
        assert "0x" not in rejected.detail  # no address, which would differ on each run

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_jpeg_cut_anywhere(self, make_cover, progressive):
        image = Image.open(io.BytesIO(make_cover(1, (96, 128))))
        data = _encode(image, "JPEG", progressive=progressive)
        for length in range(3, len(data) - 2, 7):
            assert _rejection(data[:length]).reason == "truncated image"

    def test_a_jpeg_whose_rest_is_zeros(self, make_cover):
        data = make_cover(1, (96, 128))
        half = len(data) // 2
        padded = data[:half] + bytes(len(data) - half)
        assert _rejection(padded).reason == "truncated image"

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
    def test_half_a_file_of_another_format(self, make_cover, file_format):
        data = make_cover(1, (96, 128), file_format)
        assert _rejection(data[: len(data) // 2]).reason in ("truncated image", "damaged image")

    def test_placeholder_of_one_pixel(self):
        rejected = _rejection(_encode(Image.new("RGB", (1, 1)), "GIF"))
        assert str(rejected) == "smaller than 8 px: 1 x 1"

    def test_longer_than_a_jpeg_can_be(self):
        rejected = _rejection(_encode(Image.new("1", (8, 65_501)), "PNG"))
        assert str(rejected) == "longer than 65500 px: 8 x 65501"
        assert normalise(_encode(Image.new("1", (8, 65_500)), "PNG"), 256).height == 65_500

    def test_noise_can_be_encoded(self):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        assert normalise(_encode(Image.fromarray(noise), "PNG"), 256).width == 64

    @pytest.mark.parametrize("error", [OSError("encoder error -2"), MemoryError("no room")])
    def test_what_cannot_be_encoded(self, make_cover, monkeypatch, error):
        def fail(*args, **options):
            raise error

        data = make_cover(1, file_format="PNG")
        monkeypatch.setattr(Image.Image, "save", fail)
        assert str(_rejection(data)) == f"cannot be encoded: {error}"

    def test_too_many_pixels(self):
        data = _encode(Image.new("1", (5_000, 10_001)), "PNG")
        assert str(_rejection(data)) == "too many pixels: 5000 x 10001, at most 50,000,000"

    @given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
    def test_no_rubbish_gets_through(self, rubbish, signature):
        with pytest.raises(ImageRejected):
            normalise(signature + rubbish, 256)


class TestLoadSquare:
    def test_squashes(self, make_cover):
        data = make_cover(1, (100, 160))
        square = load_square(data, 40)
        expected = Image.open(io.BytesIO(data)).resize((40, 40), Image.Resampling.BICUBIC)
        assert square.dtype == np.uint8
        assert np.array_equal(square, np.array(expected))

    def test_of_a_file(self, make_cover, tmp_path):
        (tmp_path / "a.jpg").write_bytes(make_cover(1))
        assert np.array_equal(load_square(tmp_path / "a.jpg", 20), load_square(make_cover(1), 20))

    def test_right_size_stays_as_it_is(self, make_cover):
        data = make_cover(1, (64, 64))
        assert np.array_equal(load_square(data, 64), _pixels(data))

    def test_the_result_can_be_changed(self, make_cover):
        assert load_square(make_cover(1, (64, 64)), 64).flags.writeable

    def test_missing_file(self, tmp_path):
        with pytest.raises(ImageRejected, match=r"file not found: .*nowhere\.jpg"):
            load_square(tmp_path / "nowhere.jpg", 20)
