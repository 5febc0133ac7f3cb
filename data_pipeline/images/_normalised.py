"""The form in which a store keeps a cover."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image
from xxhash import xxh3_128

from covertune.data_pipeline.dedup.signature import compute_signature
from covertune.data_pipeline.errors import ImageRejected
from covertune.data_pipeline.images._decoding import decode, pillow_says
from covertune.data_pipeline.images._resizing import resize_image

__all__ = ["NormalisedImage", "normalise"]

_JPEG_QUALITY = 95
_DIGESTED_BYTES = 16 * 2**20
_ID_LETTERS = 16


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


def normalise(data: bytes, max_px: int) -> NormalisedImage:
    """Bring a cover into the store's form.

    A JPEG that is RGB, upright and small enough keeps its coded pixels, and loses metadata and what
    follows its end; anything else is encoded anew as a JPEG of quality 95 without colour
    subsampling.

    Args:
        data: The encoded picture.
        max_px: The shorter side of the result is at most this long; never enlarged.

    Raises:
        ImageRejected: `data` is no complete picture, or cannot become a JPEG.
    """
    image, as_jpeg = decode(data)
    cover_id = _pixel_digest(image)
    shorter = min(image.size)
    try:
        if shorter > max_px:
            width, height = (max(1, round(side * max_px / shorter)) for side in image.size)
            image = resize_image(image, (width, height), Image.Resampling.LANCZOS)
            as_jpeg = None
        if as_jpeg is None:
            buffer = io.BytesIO()
            # Not `optimize`: it doubles the time, for bytes, and Pillow cannot do it to noise.
            image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
            as_jpeg = buffer.getvalue()
    except (OSError, ValueError, MemoryError) as err:
        raise ImageRejected("cannot be encoded", pillow_says(err)) from err
    return NormalisedImage(as_jpeg, image.width, image.height, cover_id, compute_signature(image))


def _pixel_digest(image: Image.Image) -> str:
    # Nobody gains by forging a cover's digest, and SHA-256 takes half as long as the decoding.
    digest = xxh3_128(f"{image.width}x{image.height}:".encode())
    rows = max(1, _DIGESTED_BYTES // (3 * image.width))  # all at once would be one more copy
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        digest.update(strip.tobytes())
    return digest.hexdigest()[:_ID_LETTERS]
