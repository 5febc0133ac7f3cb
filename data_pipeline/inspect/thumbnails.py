"""Small pictures of stored covers, for a page that must carry them inside itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from covertune.data_pipeline.store.cover_store import CoverStore

__all__ = ["data_uri", "decode_small", "images_at", "montage"]

_QUALITY = 80
_GAP_PX = 6


def images_at(store: CoverStore, places: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Yield encoded covers by their place in the whole store, in its order.

    Only the row groups that hold them are read, one at a time.

    Args:
        store: Where they lie.
        places: In [0, covers); any order.

    Yields:
        (place, encoded image), by place.
    """
    wanted = np.unique(np.fromiter(places, dtype=np.int64))
    for start, images in store.iter_images():
        here = wanted[(wanted >= start) & (wanted < start + len(images))]
        for place in here.tolist():
            yield place, images[place - start].as_py()


def decode_small(data: bytes, height_px: int) -> Image.Image:
    """Decode a stored cover at about a height, its proportions kept.

    The JPEG's own halvings do most of the work: no full picture is ever decoded.
    """
    with Image.open(io.BytesIO(data)) as image:
        width_px = max(1, round(image.width * height_px / image.height))
        image.draft("RGB", (width_px, height_px))
        return image.convert("RGB").resize((width_px, height_px), Image.Resampling.BILINEAR)


def montage(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Set pictures of equal height side by side in rows, on white."""
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    widths = [sum(image.width + _GAP_PX for image in row) for row in rows]
    height = images[0].height + _GAP_PX
    sheet = Image.new("RGB", (max(widths), height * len(rows)), "white")
    for number, row in enumerate(rows):
        x = 0
        for image in row:
            sheet.paste(image, (x, number * height))
            x += image.width + _GAP_PX
    return sheet


def data_uri(image: Image.Image) -> str:
    """Return a picture as text that a page can hold."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
