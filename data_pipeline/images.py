"""One cover: decoding, bringing into the store's form, squashing to a model's square.

`load_square` is the only way from an encoded cover to a model's pixels: decoding a store,
predicting and evaluating all use it, so that every model is asked about pixels made as those it was
trained on.
Decoding is Pillow's and always complete: a file that breaks off is refused, never half shown.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from data_pipeline.copies.signature import sign
from data_pipeline.errors import ImageRejected

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_SIDE_PX",
    "MIN_SIDE_PX",
    "NormalisedImage",
    "has_image_signature",
    "load_square",
    "normalise",
    "read_file",
]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
)
"""File name endings, in lower case, under which covers are looked for."""

MIN_SIDE_PX = 8
"""Shorter pictures are placeholders: some shops answer 1 x 1 where they have no cover."""

MAX_SIDE_PX = 65_500
"""The longest side a JPEG can have with libjpeg, which a cover must become."""

_JPEG_QUALITY = 95
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
_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"RIFF",  # WebP
    b"BM",
    b"II*\x00",  # TIFF
    b"MM\x00*",
)


@dataclass(frozen=True)
class NormalisedImage:
    """A cover in the store's form.

    Attributes:
        data: Encoded, RGB, upright, at most as large as asked.
        width: Of `data`, in pixels.
        height: Of `data`, in pixels.
        cover_id: Hex digest of the original's upright RGB pixels; equal for copies that differ only
            in encoding details that leave the pixels alone.
        signature: See `copies.signature`; nearly equal for copies that were scaled, compressed,
            cropped a little or robbed of their colours.
    """

    data: bytes
    width: int
    height: int
    cover_id: str
    signature: bytes


def load_square(data: bytes | Path, image_px: int) -> np.ndarray:
    """Decode a cover and squash it to a square.

    Args:
        data: The encoded picture, or the file that holds it.
        image_px: Side of the square, H = W.

    Returns:
        (H, W, 3) uint8: upright, RGB, transparent parts on white.

    Raises:
        ImageRejected: The file is missing or no complete picture.
    """
    if isinstance(data, Path):
        data = read_file(data)
    image, _ = _decode(data)
    if image.size != (image_px, image_px):
        image = image.resize((image_px, image_px), Image.Resampling.BICUBIC)
    return np.array(image)


def normalise(data: bytes, max_px: int) -> NormalisedImage:
    """Bring a cover into the store's form.

    A JPEG that is RGB, upright and small enough keeps its bytes; anything else is encoded anew as a
    JPEG of quality 95 without colour subsampling.

    Args:
        data: The encoded picture.
        max_px: The shorter side of the result is at most this long; never enlarged.

    Raises:
        ImageRejected: `data` is no complete picture, or cannot become a JPEG.
    """
    image, as_stored = _decode(data)
    cover_id = _pixel_digest(image)
    shorter = min(image.size)
    try:
        if shorter > max_px:
            width, height = (max(1, round(side * max_px / shorter)) for side in image.size)
            image = image.resize((width, height), Image.Resampling.LANCZOS)
            as_stored = False
        if not as_stored:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True)
            data = buffer.getvalue()
    except (OSError, ValueError, MemoryError) as err:
        raise ImageRejected("cannot be encoded", _one_line(err)) from err
    return NormalisedImage(data, image.width, image.height, cover_id, sign(image))


def read_file(path: Path) -> bytes:
    """Read an image file whole.

    Raises:
        ImageRejected: There is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageRejected("file not found", str(path)) from None
    except (OSError, ValueError) as err:  # ValueError: a NUL byte in the name
        raise ImageRejected("unreadable file", str(err)) from err


def has_image_signature(data: bytes) -> bool:
    """Whether it begins as encoded pictures do; it may be damaged further on."""
    return data.startswith(_SIGNATURES) or data[4:8] == b"ftyp"  # ftyp: AVIF


def _decode(data: bytes) -> tuple[Image.Image, bool]:
    """Decode completely.

    Returns:
        The upright RGB picture, and whether `data` already is just that as a JPEG.
    """
    if not data:
        raise ImageRejected("empty file")
    try:
        with warnings.catch_warnings():
            # Pillow warns about broken metadata, which is nothing to us, and about pictures
            # so large that decoding them may be an attack, which is.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                if min(image.size) < MIN_SIDE_PX:
                    raise ImageRejected(
                        f"smaller than {MIN_SIDE_PX} px", f"{image.width} x {image.height}"
                    )
                if max(image.size) > MAX_SIDE_PX:
                    raise ImageRejected(
                        f"longer than {MAX_SIDE_PX} px", f"{image.width} x {image.height}"
                    )
                image.load()
                is_jpeg = image.format == "JPEG"
                if is_jpeg and not _jpeg_is_whole(data):
                    raise ImageRejected("truncated image", "the JPEG has no end marker")
                orientation = _orientation(image)
                rgb = _to_rgb(image)
                as_stored = is_jpeg and image.mode == "RGB" and orientation == 1
    except ImageRejected:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as err:
        raise ImageRejected("too many pixels", _one_line(err)) from err
    except Exception as err:  # Pillow's plugins raise nearly anything over broken files
        raise ImageRejected(_why_undecodable(data, err), _one_line(err)) from err
    if orientation != 1:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return rgb, as_stored


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow clips 16-bit grey instead of scaling it
        grey = np.asarray(image).astype(np.uint16) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1
    return value if value in _UPRIGHT else 1


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the last scan is followed by an end marker.

    Pillow takes a JPEG whose missing rest was filled with zeros for whole. The last start of scan
    is the picture's own, behind that of any embedded thumbnail.
    """
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _why_undecodable(data: bytes, err: Exception) -> str:
    if not has_image_signature(data):
        return "not an image" if isinstance(err, UnidentifiedImageError) else "damaged image"
    cut_jpeg = data.startswith(b"\xff\xd8\xff") and not _jpeg_is_whole(data)
    return "truncated image" if cut_jpeg or "truncated" in str(err).lower() else "damaged image"


def _pixel_digest(image: Image.Image) -> str:
    digest = hashlib.blake2b(f"{image.width}x{image.height}:".encode(), digest_size=8)
    digest.update(image.tobytes())
    return digest.hexdigest()


def _one_line(err: BaseException) -> str:
    # Pillow puts the address of the buffer into its text, different on each run.
    return " ".join(str(err).split()).split(" <_io.BytesIO")[0]
