"""How a cover meets the square that a model takes.

    squash    the whole cover, its sides scaled each by itself; what is tall becomes broad
    pad       the whole cover in its own shape, between two bars
    crop      the middle of the cover in its own shape; top and bottom of a tall one are lost

The bars of `pad` have the mean colour of the two edges they touch. A fixed colour would draw two
lines down nearly every cover, the same for all genres, stronger than anything the cover shows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from covertune.data_pipeline.images._resizing import Box, resize
from covertune.vocabulary import Fit

__all__ = ["to_square"]


Resize = Callable[..., np.ndarray]


def to_square(image: Image.Image, image_px: int, fit: Fit, resize: Resize = resize) -> np.ndarray:
    """Fit a decoded cover into a square, with Pillow's bicubic filter.

    Args:
        image: RGB.
        image_px: Side of the square, H = W.
        fit: How.
        resize: What resizes it: `resize`, or `resize_fast`.

    Returns:
        (H, W, 3) uint8, the caller's own.
    """
    if fit == "pad":
        return _padded(image, image_px, resize)
    box = _middle(image) if fit == "crop" else None
    return resize(image, (image_px, image_px), Image.Resampling.BICUBIC, box)


def _middle(image: Image.Image) -> Box:
    """Return the largest square in the middle; its edges may lie between pixels."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return left, top, left + side, top + side


def _padded(image: Image.Image, image_px: int, resize: Resize) -> np.ndarray:
    longer = max(image.size)
    width, height = (max(1, round(side * image_px / longer)) for side in image.size)
    cover = resize(image, (width, height), Image.Resampling.BICUBIC)
    if cover.shape == (image_px, image_px, 3):
        return cover
    edges = cover[:, [0, -1]] if width < height else cover[[0, -1]]
    colour = np.rint(edges.mean(axis=(0, 1))).astype(np.uint8)
    square = np.empty((image_px, image_px, 3), dtype=np.uint8)
    square[:] = colour
    top, left = (image_px - height) // 2, (image_px - width) // 2
    square[top : top + height, left : left + width] = cover
    return square
