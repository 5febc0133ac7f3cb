"""Decoding: from bytes to an upright RGB picture, or a reason why not."""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

# Image.open knows only those of its decoders that were imported.
from PIL import AvifImagePlugin as _AvifImagePlugin  # noqa: F401
from PIL import Image, ImageChops
from PIL import TiffImagePlugin as _TiffImagePlugin  # noqa: F401
from PIL import WebPImagePlugin as _WebPImagePlugin  # noqa: F401

from covertune.data_pipeline.errors import ImageRejected
from covertune.data_pipeline.images._fitting import to_square
from covertune.data_pipeline.images._jpeg import (
    JpegLayout,
    read_layout,
    with_more_data,
    without_metadata,
)
from covertune.data_pipeline.images._kinds import require_decodable
from covertune.data_pipeline.images._resizing import resize, resize_fast
from covertune.vocabulary import Fit
from covertune.wording import one_line, reason_of

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE_PX",
    "MIN_SIDE_PX",
    "decode",
    "load_square",
    "load_squares",
    "pillow_says",
    "read_file",
    "reuse_memory",
]

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif"),
        *(".tif", ".tiff", ".avif"),
        *(".heic", ".heif"),  # cannot be decoded; to be refused rather than passed over
    }
)
"""File name endings, in lower case, under which covers are looked for."""

MAX_FILE_BYTES = 128 * 2**20
"""Larger files are not read: a scanned page as an uncompressed TIFF has 100 MB at 600 dpi."""

MAX_PIXELS = 50_000_000
"""Larger pictures are not decoded; one of these takes about a gigabyte for a moment."""

MIN_SIDE_PX = 8
"""Shorter pictures are placeholders: some shops answer 1 x 1 where they have no cover."""

MAX_SIDE_PX = 65_500
"""The longest side a JPEG can have with libjpeg, which a cover must become."""

_MAX_SCANNED_PIXELS = 16 * MAX_PIXELS  # by all scans of a JPEG together: some ten seconds
_KEPT_BLOCKS = 8  # of 16 MB; as many as a cover, its smaller self and its thumbnail take
_ORIENTATION_TAG = 0x0112
# EXIF 2.32, tag 0x0112: how to turn what is stored into what was seen.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What the numbers of a picture are out of, smallest that holds them: 0 to 1 in floats, 8, 16 bits.
_WHITES = {"F": (1.0, 255.0, 65_535.0), "I": (255.0, 65_535.0)}
_NO_BLOCK = {"L": 128, "RGB": (128, 128, 128)}  # what libjpeg shows where it has no data


def reuse_memory() -> None:
    """Let Pillow keep the memory of pictures for the next ones, in a process that does many.

    Otherwise the system hands out and clears new pages for each picture, a twentieth of the work.
    https://pillow.readthedocs.io/en/stable/reference/block_allocator.html
    """
    Image.core.set_blocks_max(_KEPT_BLOCKS)  # type: ignore[attr-defined]  # Pillow documents it


def load_square(data: bytes | Path, image_px: int, fit: Fit = "squash") -> np.ndarray:
    """Decode a cover and fit it into a square.

    Args:
        data: The encoded picture, or the file that holds it.
        image_px: Side of the square, H = W.
        fit: What becomes of a cover that is no square, see `FITS`.

    Returns:
        (H, W, 3) uint8: upright, RGB, transparent parts on white.

    Raises:
        ImageRejected: The file is missing or no complete picture.
    """
    square: np.ndarray = load_squares(data, image_px, (fit,))[0]
    return square


def load_squares(
    data: bytes | Path, image_px: int, fits: Sequence[Fit], *, fast: bool = False
) -> np.ndarray:
    """Decode a cover once and fit it into a square in several ways.

    Args:
        data: The encoded picture, or the file that holds it.
        image_px: Side of the square, H = W.
        fits: The ways.
        fast: For covers that `normalise` gave, on which a model is trained: whether their last
            blocks are there is not looked at again, and roundings in resizing are others.

    Returns:
        (F, H, W, 3) uint8, in the order of `fits`, each as `load_square` gives it; see `fast`.

    Raises:
        ImageRejected: The file is missing or no complete picture.
    """
    if isinstance(data, Path):
        data = read_file(data)
    image, _ = decode(data, whole=fast)
    resizes = resize_fast if fast else resize
    return np.stack([to_square(image, image_px, fit, resizes) for fit in fits])


def read_file(path: Path) -> bytes:
    """Read an image file whole.

    Raises:
        ImageRejected: There is no such file, it cannot be read, it is none (a pipe or a device
            would be waited for), or it is too large.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
            raise ImageRejected("not a file", f"{path} is {what}")
        _require_readable_size(found.st_size)
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)  # one that grows meanwhile is refused later
    except FileNotFoundError:
        nowhere = " links to nothing" if path.is_symlink() else ""
        raise ImageRejected("file not found", f"{path}{nowhere}") from None
    except OSError as err:
        raise ImageRejected("unreadable file", f"{path}: {reason_of(err)}") from err
    except ValueError as err:  # a NUL byte in the name
        raise ImageRejected("unreadable file", str(err)) from err


def _require_readable_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ImageRejected(
            "file too large", f"{size / 2**20:,.0f} MB, at most {MAX_FILE_BYTES // 2**20}"
        )


def decode(data: bytes, *, whole: bool = False) -> tuple[Image.Image, bytes | None]:
    """Decode completely.

    Args:
        data: The encoded picture.
        whole: Whether it is known that no block of it is missing.

    Returns:
        The upright RGB picture; and a JPEG of just these pixels if `data` has one in it.

    Raises:
        ImageRejected: `data` is no complete picture, or costs too much to decode.
    """
    _require_readable_size(len(data))
    decoder = require_decodable(data)
    layout = read_layout(data) if decoder == "JPEG" else None
    try:
        with _quiet_pillow(), Image.open(io.BytesIO(data), formats=[decoder]) as image:
            _require_size(image, layout)
            image.load()
            if layout and not whole:
                _require_all_blocks(image, data, layout)
            orientation = _orientation(image)
            as_stored = layout is not None and layout.any_decoder_reads_it
            as_stored = as_stored and image.mode == "RGB" and orientation == 1
            rgb = _to_rgb(image)
    except ImageRejected:
        raise
    except Image.DecompressionBombError as err:
        raise ImageRejected("too many pixels", pillow_says(err)) from err
    except Exception as err:  # Pillow's plugins raise nearly anything over broken files
        raise ImageRejected(_why_undecodable(err), pillow_says(err)) from err
    if orientation != 1:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return rgb, without_metadata(data, layout) if layout and as_stored else None


def _require_size(image: Image.Image, layout: JpegLayout | None) -> None:
    size, pixels = f"{image.width} x {image.height}", image.width * image.height
    if min(image.size) < MIN_SIDE_PX:
        raise ImageRejected(f"smaller than {MIN_SIDE_PX} px", size)
    if max(image.size) > MAX_SIDE_PX:
        raise ImageRejected(f"longer than {MAX_SIDE_PX} px", size)
    if pixels > MAX_PIXELS:
        raise ImageRejected("too many pixels", f"{size}, at most {MAX_PIXELS:,}")
    if layout and layout.scans * pixels > _MAX_SCANNED_PIXELS:
        raise ImageRejected("too many scans", f"{layout.scans} over {size}")


def _require_all_blocks(image: Image.Image, data: bytes, layout: JpegLayout) -> None:
    """Refuse a JPEG that breaks off and was given an end marker nevertheless.

    libjpeg warns of it, which Pillow does not hear, and shows grey. Where blocks are coded one
    after the other it is told by the last one, else by decoding a second time.
    """
    if not layout.says_where_it_stops:
        return
    if layout.one_scan and image.mode in _NO_BLOCK:
        last = image.getpixel((image.width - 1, image.height - 1))
        if last != _NO_BLOCK[image.mode]:
            return
    with Image.open(io.BytesIO(with_more_data(data, layout)), formats=["JPEG"]) as again:
        again.load()
        if ImageChops.difference(image, again).getbbox(alpha_only=False):
            raise ImageRejected("truncated image", "the JPEG ends before its last pixel")


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about broken metadata, which is nothing to us.

    Filters of warnings belong to the whole process: threads that each set and restored them would
    leave them behind. So only the main thread does; what a batch's decoding threads are warned of
    reaches the log.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow clips 16-bit grey instead of scaling it
        grey = np.asarray(image).astype(np.uint16) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in _WHITES:
        return _wide_grey_to_rgb(image)
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _wide_grey_to_rgb(image: Image.Image) -> Image.Image:
    """Turn grey of floats or of 32 bits, whose white nobody has written down, into RGB."""
    values = np.asarray(image)
    least, most = float(values.min()), float(values.max())
    white = next((white for white in _WHITES[image.mode] if most <= white), None)
    if white is None or not least >= 0:  # also if they are no numbers
        raise ImageRejected("unknown grey scale", f"from {least:g} to {most:g}")
    grey = (values * (255.0 / white)).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
        return value if value in _UPRIGHT else 1
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1


def _why_undecodable(err: Exception) -> str:
    text = str(err).lower()
    if "pngimageplugin.max_text" in text or "max_text_memory" in text:
        return "too much metadata"
    return "truncated image" if "truncated" in text else "damaged image"


def pillow_says(err: BaseException) -> str:
    """Return what an error of Pillow says, without the buffer's address, which differs each run."""
    return one_line(err).split(" <_io.BytesIO")[0]
