"""Tells whether two pictures are the same: lays one over the other and looks for what differs.

`candidates` finds pictures that look alike from afar, as the volumes of a series do. Here the two
are read again, brought to cover each other to a fraction of a pixel (Gauss-Newton steps on scale
and shift of each axis, Lucas and Kanade 1981, with brightness and contrast free), and resampled
straight from the files. What then is left of a copy is what scaling and compression did, spread
thinly; what is left of another volume is its title, in one place. So the strongest difference in
any one place decides, not the sum.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from covertune.data_pipeline.dedup.signature import Cut

__all__ = ["open_for_comparison", "same_picture"]

_MAX_LEFT = 12.0  # levels of 255 by which a copy may differ anywhere
_MAX_LEFT_OF_CONTRAST = 0.5  # the same as a share of the picture's contrast, for faint ones
_NOISE = 6.0  # levels that compression alone may leave
_MAX_COLOUR_LEFT = 24.0
_COLOURFUL = 6.0  # levels; pictures below, root mean square, are grey
_LEAST_OVERLAP = 0.86  # of each side of both pictures
_FEWEST_PX, _MOST_PX = 24, 64  # sides of the square on which pictures are compared
_DETAIL = 0.75  # of a picture's pixels that survive its compression
_SHARPEST_READ_PX = 128
_STEPS_PX = (16, 16, 24, 32, 32)  # from afar to close
_CONTRAST = (0.8, 1.25)  # change of contrast that a copy may have


@dataclass(frozen=True)
class _Axis:
    """How one axis of two pictures is laid over each other: a = scale * b + shift, both in [0, 1].

    Attributes:
        scale: Length of b in units of a.
        shift: Where b begins in a.
    """

    scale: float
    shift: float

    @property
    def span_b(self) -> tuple[float, float]:
        """What both have of the axis, in b."""
        begin, end = -self.shift / self.scale, (1 - self.shift) / self.scale
        return max(0.0, begin), min(1.0, end)

    @property
    def span_a(self) -> tuple[float, float]:
        """What both have of the axis, in a."""
        begin, end = self.span_b
        return (
            max(0.0, self.scale * begin + self.shift),
            min(1.0, self.scale * end + self.shift),
        )

    @property
    def overlap(self) -> float:
        """Share of the axis that both have, in the picture that has more beside it."""
        return min(end - begin for begin, end in (self.span_a, self.span_b))

    def moved(self, scale: float, shift: float) -> _Axis:
        """Correct by a scale and a shift found on the overlap, which is [-1, 1] there."""
        begin, end = self.span_b
        half, middle = (end - begin) / 2, (end + begin) / 2
        new_scale = self.scale * (1 + scale)
        return replace(
            self,
            scale=new_scale,
            shift=self.scale * (middle + half * shift) + self.shift - new_scale * middle,
        )


def open_for_comparison(data: bytes) -> Image.Image:
    """Decode a cover of the store's form, no sharper than needed.

    Returns:
        Luminance and colour differences (YCbCr), both sides at least 128 px if the cover has them.
    """
    image = Image.open(io.BytesIO(data))
    image.draft("YCbCr", (_SHARPEST_READ_PX, _SHARPEST_READ_PX))
    return image.convert("YCbCr")


def same_picture(inner: Image.Image, outer: Image.Image, cut: Cut) -> bool:
    """Tell whether two pictures are copies of each other.

    Args:
        inner: From `open_for_comparison`.
        outer: From `open_for_comparison`; is thought to show more than `inner`.
        cut: What of `outer` is thought to be `inner`; the search begins there.
    """
    across, down = (_Axis(end - begin, begin) for begin, end in cut)
    a, b = outer.getchannel(0), inner.getchannel(0)
    px = _side_px(outer, inner)
    for step_px in (*(min(px, step) for step in _STEPS_PX), px, px):
        move = _best_move(_cover(a, b, across, down, step_px))
        across, down = across.moved(move[0], move[1]), down.moved(move[2], move[3])
        if min(across.overlap, down.overlap) < _LEAST_OVERLAP:
            return False
    left, contrast = _strongest_difference(_cover(a, b, across, down, px))
    if left > min(_MAX_LEFT, max(_NOISE, _MAX_LEFT_OF_CONTRAST * contrast)):
        return False
    return _same_colours(outer, inner, across, down)


def _side_px(*images: Image.Image) -> int:
    detail_px = _DETAIL * min(side for image in images for side in image.size)
    return max(_FEWEST_PX, min(_MOST_PX, round(detail_px)))


def _cover(
    a: Image.Image, b: Image.Image, across: _Axis, down: _Axis, px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what both pictures show, as two (px, px) float32 squares."""
    return (
        _resample(a, across.span_a, down.span_a, px),
        _resample(b, across.span_b, down.span_b, px),
    )


def _resample(
    image: Image.Image, across: tuple[float, float], down: tuple[float, float], px: int
) -> np.ndarray:
    (left, right), (top, bottom) = across, down
    box = (left * image.width, top * image.height, right * image.width, bottom * image.height)
    square = image.resize((px, px), Image.Resampling.BICUBIC, box=box)
    return np.asarray(square, dtype=np.float32)


def _best_move(squares: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return scale and shift across, then down, that bring `a` nearer to `b`; linearised."""
    a, b = squares
    px = len(a)
    down, across = np.gradient(a, 2.0 / px)
    at = (np.arange(px, dtype=np.float32) + 0.5) * 2.0 / px - 1.0
    columns = (across * at, across, down * at[:, None], down, np.ones_like(a), a - a.mean())
    inside = slice(1, -1)  # resampling is one-sided at the margin
    by = np.stack([column[inside, inside].ravel() for column in columns], axis=1)
    squared = by.T @ by
    squared[np.diag_indices(len(columns))] += 1e-3 + 1e-4 * np.diag(squared)
    return np.linalg.solve(squared, by.T @ (b - a)[inside, inside].ravel())[:4].clip(-0.06, 0.06)


def _strongest_difference(squares: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Return levels by which the squares differ most in any place, and their contrast in levels."""
    a, b = (_soften(square)[1:-1, 1:-1] for square in squares)
    a, b = a - a.mean(), b - b.mean()
    contrast = float(min(a.std(), b.std()))
    gain = float((a * b).mean()) / max(1.0, float((a * a).mean()))
    left = b - min(max(gain, _CONTRAST[0]), _CONTRAST[1]) * a
    around = _average(left * left, max(3, len(left) // 16))
    return float(np.sqrt(around.max())), contrast


def _soften(square: np.ndarray) -> np.ndarray:
    """Blur by a third of a pixel or so, which evens out how sharply the two were resampled."""
    padded = np.pad(square, 1, mode="edge")
    rows = 0.2 * padded[:-2] + 0.6 * padded[1:-1] + 0.2 * padded[2:]
    softened: np.ndarray = 0.2 * rows[:, :-2] + 0.6 * rows[:, 1:-1] + 0.2 * rows[:, 2:]
    return softened


def _average(square: np.ndarray, side: int) -> np.ndarray:
    """Take the mean over each window of `side` by `side`."""
    sums = np.pad(square, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    over: np.ndarray = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side]
    return np.asarray((over + sums[:-side, :-side]) / side**2)


def _same_colours(a: Image.Image, b: Image.Image, across: _Axis, down: _Axis) -> bool:
    """Tell whether both pictures have the same colours, or one of them has none at all."""
    squares = [
        _cover(a.getchannel(channel), b.getchannel(channel), across, down, _STEPS_PX[0])
        for channel in (1, 2)
    ]
    for side in (0, 1):
        colour = np.stack([square[side] for square in squares]) - 128.0
        if np.sqrt((colour**2).sum(axis=0).mean()) < _COLOURFUL:
            return True
    return all(_average(np.abs(a - b), 2).max() <= _MAX_COLOUR_LEFT for a, b in squares)
