"""Files that try a decoder, each with the fate it should meet.

Every builder gets a picture of its own (RGB, 48 x 64), so that no two are copies of each other.
"""

import base64
import csv
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import pyarrow.parquet as pq
import pytest
from PIL import Image

from covertune.data_pipeline import CoverStore, ImageRejected, load_square, prepare_store
from covertune.data_pipeline.images import MAX_FILE_BYTES, normalise, read_file

FUZZ = Path(__file__).parents[3] / "benchmarks" / "fuzz_images.py"

KEPT = ""
PILLOW = tuple(map(int, PIL.__version__.split(".")[:2]))
Builder = Callable[[Image.Image], bytes]
CASES: dict[str, tuple[Builder, str]] = {}
"""By file name: how to make it, and the reason why it is refused or `KEPT`."""

ORIENTATION = 0x0112


def encode(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, packed: bytes, bits: int = 8, colours: int = 2) -> bytes:
    """A PNG of given pixels, compressed already."""
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_of_16_bits(image: Image.Image) -> bytes:
    pixels = np.asarray(image).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return png(*image.size, zlib.compress(rows), bits=16)


def arithmetic_jpeg() -> bytes:
    """A grey ramp of 16 x 16 by `cjpeg -arithmetic -quality 50`; Pillow cannot write such."""
    return base64.b85decode(
        b"|JeWF01!$>Nk#wx0RR9200961|JwjV01yid4h#wq4h;?x5fBp?C>j_R78o%jB^@X_Gd(;xGdMRuNL)@pL{~*OI8bd-"
        b"S6^ahXlFi6ad~iLcwA*?WB<tj3kU!Z01yEI5di<p00saM5C#9*00;pA002J#{{U^Dws=WauZ%v#%j<yu*#"
    )


def lossless_jpeg(image: Image.Image) -> bytes:
    """ITU-T T.81, annex H: predictor 1, grey, one Huffman code of 4 bits for each category."""
    pixels = np.asarray(image.convert("L")).astype(int)
    height, width = pixels.shape
    bits = ""
    for y in range(height):
        for x in range(width):
            left = pixels[y, x - 1] if x else (pixels[y - 1, 0] if y else 128)
            difference = int(pixels[y, x] - left)
            size = abs(difference).bit_length()
            bits += f"{size:04b}"
            if size:
                bits += f"{difference + (difference < 0) * (2**size - 1):0{size}b}"
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    table = bytes([0, *(0, 0, 0, 9), *[0] * 12, *range(9)])
    parts = [
        (0xC3, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)),
        (0xC4, table),
        (0xDA, bytes([1, 1, 0, 1, 0, 0])),
    ]
    segments = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in parts
    )
    return b"\xff\xd8" + segments + coded + b"\xff\xd9"


def jpeg_of_many_scans(image: Image.Image) -> bytes:
    """A progressive JPEG that repeats its last scan; decoding takes time for each."""
    data = encode(image, "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + 300 * scan + b"\xff\xd9"


def case(name: str, fate: str = KEPT) -> Callable[[Builder], Builder]:
    def note(build: Builder) -> Builder:
        assert name not in CASES
        CASES[name] = (build, fate)
        return build

    return note


def simple(name: str, file_format: str, mode: str = "RGB", fate: str = KEPT, **options) -> None:
    CASES[name] = (lambda image: encode(image.convert(mode), file_format, **options), fate)


def alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(image.convert("L").point(lambda grey: 255 if grey > 99 else 0))
    return image


# Colours
simple("cmyk.jpg", "JPEG", "CMYK")
simple("grey.jpg", "JPEG", "L")
simple("grey.png", "PNG", "L")
simple("grey-alpha.png", "PNG", "LA")
simple("one-bit.png", "PNG", "1")
simple("palette.png", "PNG", "P")
simple("palette-transparent.png", "PNG", "P", transparency=5)
simple("rgb-transparent.png", "PNG", transparency=(0, 0, 0))
simple("cmyk.tif", "TIFF", "CMYK")
# Pillow reads it from 13.0 on.
simple("ycbcr.tif", "TIFF", "YCbCr", KEPT if PILLOW >= (13,) else "truncated image")
simple("lab.tif", "TIFF", "LAB")
CASES["alpha.png"] = (lambda image: encode(alpha(image), "PNG"), KEPT)
CASES["alpha.webp"] = (lambda image: encode(alpha(image), "WEBP"), KEPT)
CASES["alpha.avif"] = (lambda image: encode(alpha(image), "AVIF"), KEPT)
CASES["rgb-16-bits.png"] = (png_of_16_bits, KEPT)


@case("grey-16-bits.png")
def _(image):
    return encode(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG")


@case("floats-to-1.tif")
def _(image):
    return encode(Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255), "TIFF")


@case("floats-to-255.tif")
def _(image):
    return encode(Image.fromarray(np.asarray(image.convert("L")).astype(np.float32)), "TIFF")


@case("floats-of-nothing.tif", "unknown grey scale")
def _(image):
    return encode(Image.fromarray(np.full((64, 48), np.nan, np.float32)), "TIFF")


@case("grey-32-bits.tif")
def _(image):
    return encode(Image.fromarray(np.asarray(image.convert("L")).astype(np.int32) * 257), "TIFF")


@case("ycck.jpg")
def _(image):
    """Adobe's transform 2 in a CMYK file: the decoder takes its first three for YCC."""
    data = encode(image.convert("CMYK"), "JPEG")
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


# Ways of encoding
simple("progressive.jpg", "JPEG", progressive=True)
simple("restarts.jpg", "JPEG", restart_marker_blocks=3)
simple("lossy.webp", "WEBP")
simple("lossless.webp", "WEBP", lossless=True)
simple("lossy.avif", "AVIF")
simple("lzw.tif", "TIFF", compression="tiff_lzw")
simple("fax.tif", "TIFF", "1", compression="group4")
simple("jpeg-inside.tif", "TIFF", compression="jpeg")
simple("windows.bmp", "BMP")
simple("jpeg-2000.jpg", "JPEG2000", fate="unsupported format")
simple("icon.jpg", "ICO", fate="unsupported format")
CASES["lossless.jpg"] = (lossless_jpeg, KEPT)
CASES["arithmetic.jpg"] = (lambda image: arithmetic_jpeg(), KEPT)

# Several pictures: the first counts
for _name, _format in [
    ("a.gif", "GIF"),
    ("a.png", "PNG"),
    ("a.webp", "WEBP"),
    ("pages.tif", "TIFF"),
]:
    CASES[f"animated-{_name}"] = (
        lambda image, file_format=_format: encode(
            image, file_format, save_all=True, append_images=[image.rotate(180)] * 3
        ),
        KEPT,
    )
CASES["two-views.jpg"] = (
    lambda image: encode(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
    KEPT,
)

# Turned
for _orientation in range(1, 9):
    for _format in ("JPEG", "PNG", "WEBP"):
        CASES[f"turned-{_orientation}.{_format.lower()}"] = (
            lambda image, turn=_orientation, file_format=_format: encode(
                image, file_format, exif=turned(turn)
            ),
            KEPT,
        )

# More or less than a picture
CASES["empty.jpg"] = (lambda image: b"", "empty file")
CASES["zeros.jpg"] = (lambda image: bytes(5000), "not an image")
simple("whole.png", "PNG")
for _format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP"):
    for _share in (0.3, 0.6, 0.9):
        CASES[f"{_share:.0%}.{_format.lower()}"] = (
            lambda image, file_format=_format, share=_share: (
                lambda data: data[: int(share * len(data))]
            )(encode(image, file_format)),
            "truncated image" if _format == "JPEG" else "truncated or damaged",
        )
for _options in ({}, {"progressive": True}, {"restart_marker_blocks": 2}):
    CASES["-".join(["ended-early", *_options]) + ".jpg"] = (
        lambda image, options=_options: (lambda data: data[: len(data) * 2 // 3] + b"\xff\xd9")(
            encode(image, "JPEG", **options)
        ),
        "truncated image",
    )
CASES["garbage-behind.jpg"] = (
    lambda image: encode(image, "JPEG") + b"\xff\xda\0\x08rubbish" * 999,
    KEPT,
)
CASES["garbage-behind.png"] = (lambda image: encode(image, "PNG") + b"rubbish" * 999, KEPT)
CASES["garbage-behind.gif"] = (lambda image: encode(image, "GIF") + b"rubbish" * 999, KEPT)


@case("much-metadata.jpg")
def _(image):
    data = encode(image, "JPEG", comment=b"c" * 60_000)
    application = b"\xff\xe1\xff\xffhttp://ns.adobe.com/xap/1.0/\0".ljust(65_537, b"x")
    return data[:2] + application * 40 + data[2:]


@case("endless-parts.jpg", "too much metadata")
def _(image):
    data = encode(image, "JPEG")
    return data[:2] + b"\xff\xfe\0\x02" * 200_000 + data[2:]


@case("exploding-text.png", "too much metadata")
def _(image):
    data = encode(image, "PNG")
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 * 2**20), 9))
    return data[:33] + text + data[33:]


@case("broken-exif.jpg")
def _(image):
    return encode(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")


@case("broken-profile.jpg")
def _(image):
    return encode(image, "JPEG", icc_profile=b"no profile" * 99)


# Too large, too small
CASES["1-pixel.gif"] = (lambda image: encode(Image.new("RGB", (1, 1)), "GIF"), "smaller than 8 px")
CASES["1-x-10000.png"] = (
    lambda image: encode(Image.new("RGB", (1, 10_000)), "PNG"),
    "smaller than 8 px",
)
CASES["10000-x-12.png"] = (lambda image: encode(image.resize((10_000, 12)), "PNG"), KEPT)
CASES["12-x-66000.png"] = (
    lambda image: encode(Image.new("1", (12, 66_000)), "PNG"),
    "longer than 65500 px",
)
CASES["bomb-in-words.png"] = (
    lambda image: png(2**31 - 1, 2**31 - 1, b""),
    "too many pixels",
)
CASES["bomb-of-gigabytes.png"] = (
    lambda image: png(30_000, 30_000, zlib.compress(bytes(10**6), 9)),
    "too many pixels",
)
CASES["bomb.png"] = (
    lambda image: encode(Image.new("1", (8_000, 8_000)), "PNG", optimize=True),
    "too many pixels",
)
CASES["bomb.gif"] = (
    lambda image: (lambda data: data[:6] + b"\xff\xff\xff\xff" + data[10:])(encode(image, "GIF")),
    "too many pixels",
)
CASES["bomb.webp"] = (
    lambda image: encode(Image.new("RGB", (7_500, 7_500)), "WEBP", lossless=True, method=0),
    "too many pixels",
)
CASES["many-scans.jpg"] = (jpeg_of_many_scans, "too many scans")

# What they are called does not matter, what they are does
CASES["a-png.jpg"] = (lambda image: encode(image, "PNG"), KEPT)
CASES["a-jpeg.png"] = (lambda image: encode(image, "JPEG"), KEPT)
CASES["no-suffix"] = (lambda image: encode(image, "WEBP"), KEPT)
CASES["shouting.JPG"] = (lambda image: encode(image, "JPEG"), KEPT)
CASES["page.jpg"] = (lambda image: b"<!DOCTYPE html>\n<html>not found</html>", "not an image")
CASES["document.jpg"] = (lambda image: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" * 20, "not an image")
CASES["archive.jpg"] = (lambda image: b"PK\x03\x04" + bytes(99), "not an image")
CASES["words.jpg"] = (lambda image: b"this is no picture at all\n" * 20, "not an image")
CASES["svg.jpg"] = (
    lambda image: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "unsupported format",
)
CASES["phone.heic"] = (
    lambda image: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
    "unsupported format",
)
CASES["postscript.jpg"] = (
    lambda image: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
    "unsupported format",
)
CASES["film.jpg"] = (
    lambda image: b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(99),
    "not an image",
)


def picture(number: int) -> Image.Image:
    """Another number, another picture."""
    coarse = np.random.default_rng([99, number]).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 64), Image.Resampling.BILINEAR)


def build(name: str) -> bytes:
    builder, _ = CASES[name]
    return builder(picture(list(CASES).index(name)))


def is_fate(reason: str, fate: str) -> bool:
    """Whether a reason is the one foreseen; of a file cut short, decoders know only so much."""
    if fate == "truncated or damaged":
        return reason in ("truncated image", "damaged image")
    return reason == fate


def fate_of(name: str) -> tuple[str, str]:
    try:
        image = normalise(build(name), 256)
    except ImageRejected as rejected:
        assert "\n" not in str(rejected)
        return rejected.reason, rejected.detail
    assert load_square(image.data, 32).shape == (32, 32, 3)
    return KEPT, ""


@pytest.mark.parametrize("name", CASES)
def test_each_meets_its_fate(name):
    reason, detail = fate_of(name)
    assert is_fate(reason, CASES[name][1]), f"{reason}: {detail}"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("page.jpg", "an HTML page"),
        ("document.jpg", "a PDF document"),
        ("archive.jpg", "a ZIP archive"),
        ("words.jpg", "text"),
        ("zeros.jpg", "zero bytes only"),
        ("film.jpg", "a video"),
        ("svg.jpg", "SVG; save it as JPEG or PNG"),
        ("phone.heic", "HEIC; save it as JPEG or PNG"),
        ("postscript.jpg", "PostScript; save it as JPEG or PNG"),
        ("jpeg-2000.jpg", "JPEG 2000; save it as JPEG or PNG"),
        ("bomb.png", "8000 x 8000, at most 50,000,000"),
        ("ended-early.jpg", "the JPEG ends before its last pixel"),
    ],
)
def test_what_a_refusal_tells(name, told):
    assert fate_of(name)[1] == told


class TestPixels:
    """That those which are kept are kept right."""

    @pytest.mark.parametrize("name", [f"turned-{n}.{f}" for n in range(1, 9) for f in ("png",)])
    def test_turned(self, name):
        number = list(CASES).index(name)
        expected = np.array(_turn(picture(number), int(name[7])).resize((20, 20), 3))
        assert np.array_equal(load_square(build(name), 20), expected)

    @pytest.mark.parametrize(
        ("name", "mode"),
        [
            ("cmyk.tif", "RGB"),
            ("cmyk.jpg", "RGB"),  # stored inverted, as Adobe's programs do
            ("floats-to-1.tif", "L"),
            ("floats-to-255.tif", "L"),
            ("grey-16-bits.png", "L"),
            ("grey-32-bits.tif", "L"),
            ("rgb-16-bits.png", "RGB"),
            ("lossless.jpg", "L"),
            ("two-views.jpg", "RGB"),
            ("animated-a.png", "RGB"),
            ("animated-a.webp", "RGB"),
            ("pages.tif", "RGB"),
            ("restarts.jpg", "RGB"),
        ],
    )
    def test_looks_like_what_was_encoded(self, name, mode):
        name = name if name in CASES else f"animated-{name}"
        expected = np.array(picture(list(CASES).index(name)).convert(mode).convert("RGB"))
        found = np.array(Image.open(io.BytesIO(normalise(build(name), 256).data)))
        assert np.abs(found.astype(int) - expected).mean() < 6

    def test_arithmetic_jpeg(self):
        ramp = np.broadcast_to(np.arange(16)[None, :, None] * 15, (16, 16, 3))
        assert np.abs(load_square(arithmetic_jpeg(), 16).astype(int) - ramp).max() <= 3

    def test_adobe_ycck_is_not_taken_for_cmyk(self):
        """The same numbers under both transforms; the other one is the wrong colours."""
        name = "ycck.jpg"
        image = picture(list(CASES).index(name))
        as_cmyk = load_square(encode(image.convert("CMYK"), "JPEG"), 32)
        assert np.abs(load_square(build(name), 32).astype(int) - as_cmyk).mean() > 20


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    """As EXIF has it: where the stored row 0 and column 0 belong."""
    pixels = np.array(image)
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return Image.fromarray(np.ascontiguousarray(pixels))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_cut_anywhere_it_is_refused_or_whole(file_format):
    """What is behind the last pixel may be missing, nothing else."""
    data = encode(picture(1), file_format)
    whole = normalise(data, 256).cover_id
    refused = 0
    for length in range(1, len(data), max(1, len(data) // 60)):
        try:
            assert normalise(data[:length], 256).cover_id == whole, length
        except ImageRejected:
            refused += 1
    assert refused > 50


class TestFiles:
    """What lies on a disk under the name of a picture."""

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(ImageRejected, match=r"not a file: .*pipe\.jpg is a pipe, socket or"):
            read_file(tmp_path / "pipe.jpg")

    def test_a_device_is_not_read(self):
        with pytest.raises(ImageRejected, match="not a file: /dev/zero is a pipe, socket"):
            read_file(Path("/dev/zero"))

    def test_a_folder(self, tmp_path):
        with pytest.raises(ImageRejected, match=r"not a file: .* is a folder"):
            read_file(tmp_path)

    def test_a_link_to_nothing(self, tmp_path):
        (tmp_path / "a.jpg").symlink_to("nowhere.jpg")
        with pytest.raises(ImageRejected, match=r"file not found: .*a\.jpg links to nothing"):
            read_file(tmp_path / "a.jpg")

    def test_a_link_to_itself(self, tmp_path):
        (tmp_path / "a.jpg").symlink_to("a.jpg")
        with pytest.raises(ImageRejected, match=r"unreadable file: .*a\.jpg: Too many levels"):
            read_file(tmp_path / "a.jpg")

    def test_one_that_may_not_be_read(self, tmp_path):
        file = tmp_path / "a.jpg"
        file.touch(mode=0o000)
        if os.access(file, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(ImageRejected, match=r"unreadable file: .*Permission denied"):
            read_file(file)

    def test_one_whose_reading_fails(self):
        if not Path("/proc/self/mem").exists():
            pytest.skip("needs Linux")
        with pytest.raises(ImageRejected, match="unreadable file: /proc/self/mem: "):
            read_file(Path("/proc/self/mem"))

    def test_a_file_of_gigabytes_is_not_read(self, tmp_path):
        with (tmp_path / "a.jpg").open("wb") as file:
            file.truncate(2**40)  # takes no room
        with pytest.raises(ImageRejected, match="file too large: 1,048,576 MB, at most 128"):
            read_file(tmp_path / "a.jpg")

    def test_bytes_from_elsewhere_are_limited_too(self):
        with pytest.raises(ImageRejected, match="file too large: 128 MB, at most 128"):
            normalise(b"\xff\xd8\xff" + bytes(MAX_FILE_BYTES), 256)

    def test_a_name_with_a_zero_byte(self):
        with pytest.raises(ImageRejected, match=r"unreadable file: .*null"):
            read_file(Path("a\0.jpg"))


@pytest.mark.usefixtures("local_ray")
def test_a_store_of_all_of_them_together(tmp_path):
    rows = [(f"files/{name}", f"Genre {place % 2}") for place, name in enumerate(CASES)]
    (tmp_path / "files").mkdir()
    for name in CASES:
        (tmp_path / "files" / name).write_bytes(build(name))
    expected = {f"files/{name}": fate for name, (_, fate) in CASES.items()}
    (tmp_path / "files" / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "files" / "pipe.jpg")
    (tmp_path / "files" / "link.jpg").symlink_to("nothing.jpg")
    special = {"folder.jpg": "not a file", "pipe.jpg": "not a file", "link.jpg": "file not found"}
    expected |= {f"files/{name}": reason for name, reason in special.items()}
    rows += [(f"files/{name}", "Genre 0") for name in special]
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "genre"), *rows])

    summary = prepare_store(tmp_path / "table.csv", tmp_path / "store")

    rejected = pq.read_table(tmp_path / "store" / "rejected.parquet").to_pylist()
    reasons = {row["source"]: row["reason"] for row in rejected}
    for source, fate in expected.items():
        assert is_fate(reasons.get(source, KEPT), fate), (source, reasons.get(source))
    assert summary.kept == list(expected.values()).count(KEPT)
    store = CoverStore.open(tmp_path / "store")
    for split in ("train", "val", "test"):
        for data in store.read_images(split)[0]:
            with Image.open(io.BytesIO(data)) as image:
                assert (image.format, image.mode) == ("JPEG", "RGB")
                image.load()


def test_fuzz():
    """The short form; `benchmarks/fuzz_images.py` says what it holds."""
    command = [sys.executable, str(FUZZ), "--cases", "600", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing but pictures and refusals" in done.stdout
    assert done.stdout.startswith("600 cases in ")
