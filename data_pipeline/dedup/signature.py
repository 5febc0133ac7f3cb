"""What a picture is recognised by: the signs and sizes of its slow DCT coefficients.

The signature is made where a cover is normalised, so that no picture has to be decoded for it
again. A picture is reduced to a small square of luminance, and of that the slow coefficients of a
discrete cosine transform are kept, as in pHash (Zauner 2010, "Implementation and benchmarking of
perceptual image hash functions"). Scaling, compression and a loss of colour hardly move them.

A crop does move them. So each signature holds the coefficients of several cuts: the whole picture
first, then what would be left of it if its margins were cut off in the usual ways. Where one
picture is a crop of another, its whole looks like one of the other's cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image

__all__ = [
    "COEFFICIENTS",
    "CUTS",
    "SIGNATURE_BYTES",
    "Cut",
    "Pictures",
    "colours",
    "compute_signature",
    "dct_coefficients",
    "spreads",
]

Span = tuple[float, float]
Cut = tuple[Span, Span]
"""What is left of a picture: from and to, across and down, each as a share of its side."""

_THUMB_PX = 64
_SLOWEST = 8  # coefficients across and down, the constant one included
COEFFICIENTS = _SLOWEST * _SLOWEST - 1
"""Waves of a cut; the constant one, which is brightness, is left out."""

_WHOLE, _FIRST, _LAST = (0.0, 1.0), (0.05, 1.0), (0.0, 0.95)
_INNER, _LITTLE = (0.05, 0.95), (0.025, 0.975)
_SPANS: Sequence[Span] = (_WHOLE, _FIRST, _LAST, _INNER, _LITTLE)
CUTS: Sequence[Cut] = (
    (_WHOLE, _WHOLE),
    (_INNER, _INNER),
    (_LITTLE, _LITTLE),
    (_FIRST, _WHOLE),
    (_LAST, _WHOLE),
    (_WHOLE, _FIRST),
    (_WHOLE, _LAST),
    (_INNER, _WHOLE),
    (_WHOLE, _INNER),
)
"""The cuts of a signature, the whole picture first. Crops in between are close to one of them."""

SIGNATURE_BYTES = 2 + len(CUTS) * COEFFICIENTS
"""Bytes for spread and colour, then for each cut a signed byte a wave."""

_FAINT = 16
_COLOUR_PX = 16
_FULL_SCALE = 254.0  # a wave that holds half of a cut's strength fills its byte


@dataclass(frozen=True)
class Pictures:
    """The DCT coefficients of N pictures, which lie somewhere among those of all sources.

    Attributes:
        coefficients_SCW: int8, see `dct_coefficients`.
        rows_N: Which row each picture is; copying them would take more room than all else.
    """

    coefficients_SCW: np.ndarray
    rows_N: np.ndarray

    def __len__(self) -> int:
        return len(self.rows_N)

    def dct_coefficients(self, cut: int, pictures: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return (P, COEFFICIENTS) int8: one cut of some pictures."""
        return np.asarray(self.coefficients_SCW[self.rows_N[pictures], cut])

    def some(self, pictures: np.ndarray) -> Pictures:
        """Return some of the pictures, numbered anew."""
        return Pictures(self.coefficients_SCW, self.rows_N[pictures])


def compute_signature(image: Image.Image) -> bytes:
    """Return the signature of a picture.

    Args:
        image: RGB, upright, of any size; small ones are signed faster.

    Returns:
        SIGNATURE_BYTES bytes, for `spreads`, `colours` and `dct_coefficients`.
    """
    thumb = _reduce(image.convert("L"))
    grey = np.asarray(thumb, dtype=np.float32)
    by_spans = (_BASIS @ grey @ _BASIS.T).reshape(len(_SPANS), _SLOWEST, len(_SPANS), _SLOWEST)
    squares = by_spans[_DOWN, :, _ACROSS, :].reshape(len(CUTS), -1)
    strengths = squares[:, 1:] * _WEIGHT
    strengths /= np.maximum(1e-6, np.linalg.norm(strengths, axis=1, keepdims=True))
    levels: bytes = np.rint(strengths * _FULL_SCALE).clip(-127, 127).astype(np.int8).tobytes()
    spread = _spread(thumb)
    if spread <= _FAINT:  # in colour there may be more to see
        spread = max(map(_spread, _reduce(image).split()))
    return bytes([spread, _colour(image)]) + levels


def spreads(signatures_ND: np.ndarray) -> np.ndarray:
    """Return how far any spot of each picture is from the picture's commonest colour.

    Args:
        signatures_ND: uint8, D = SIGNATURE_BYTES.

    Returns:
        (N,) uint8 levels of luminance, or where those are few, of the colour that differs most; a
        spot is 1/64 of each side.
    """
    return signatures_ND[:, 0]


def colours(signatures_ND: np.ndarray) -> np.ndarray:
    """Return how colourful each picture is.

    Args:
        signatures_ND: uint8, D = SIGNATURE_BYTES.

    Returns:
        (N,) uint8 levels, root mean square of the colour differences; about 0 for grey pictures.
    """
    return signatures_ND[:, 1]


def dct_coefficients(signatures_ND: np.ndarray) -> np.ndarray:
    """Return the DCT coefficients of each picture's cuts.

    Args:
        signatures_ND: uint8, D = SIGNATURE_BYTES.

    Returns:
        (N, cuts, COEFFICIENTS) int8, a view.
    """
    return signatures_ND[:, 2:].view(np.int8).reshape(-1, len(CUTS), COEFFICIENTS)


def _reduce(image: Image.Image) -> Image.Image:
    return image.resize((_THUMB_PX, _THUMB_PX), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _spread(channel: Image.Image) -> int:
    """Return the largest distance of any pixel from the median."""
    counts = np.cumsum(channel.histogram())
    lowest, median, highest = np.searchsorted(counts, (0.5, counts[-1] / 2, counts[-1]))
    return int(max(highest - median, median - lowest))


def _colour(image: Image.Image) -> int:
    small = image.reduce(max(1, min(image.size) // _COLOUR_PX)).convert("YCbCr")
    differences = np.asarray(small, dtype=np.float32)[..., 1:] - 128.0
    return min(255, round(float(np.sqrt((differences**2).sum(axis=2).mean()))))


def _basis() -> np.ndarray:
    """Return (spans * _SLOWEST, _THUMB_PX): cosines over each span, integrated over each pixel."""
    edges = np.arange(_THUMB_PX + 1) / _THUMB_PX
    rows = []
    for (begin, end), wave in product(_SPANS, range(_SLOWEST)):
        along = ((edges - begin) / (end - begin)).clip(0.0, 1.0)
        integral = along if wave == 0 else np.sin(np.pi * wave * along) / (np.pi * wave)
        rows.append(np.diff(integral))
    return np.array(rows, dtype=np.float32)


_BASIS = _basis()
# Pictures are stronger in slower waves, about as one over the frequency; this evens it out.
_WEIGHT = np.hypot(*np.indices((_SLOWEST, _SLOWEST))).ravel()[1:].astype(np.float32)
_ACROSS = [_SPANS.index(across) for across, _ in CUTS]
_DOWN = [_SPANS.index(down) for _, down in CUTS]
