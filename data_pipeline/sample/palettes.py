"""Palettes: the colour schemes covers are drawn in. Genres share them, with different weights."""

import random
from dataclasses import dataclass

from covertune.data_pipeline.sample._colour import Colour, parse, shift

__all__ = ["PALETTES", "Palette", "vary"]


@dataclass(frozen=True)
class Palette:
    """One colour scheme.

    Attributes:
        top: Upper end of the background.
        bottom: Lower end of the background.
        main: The motif, mostly.
        second: Its second colour.
        accent: Small things, at times the title.
    """

    top: Colour
    bottom: Colour
    main: Colour
    second: Colour
    accent: Colour


def _palette(codes: str) -> Palette:
    return Palette(*(parse(code) for code in codes.split()))


PALETTES: dict[str, Palette] = {
    "midnight": _palette("0b1a3a 27406f f2d16b 8fb3d9 ffffff"),
    "noir": _palette("111216 35373f d8d8d8 9aa0a8 e01b24"),
    "ember": _palette("2a0d0d 7a1c16 f6b04a f0e0c8 ffd98a"),
    "rose": _palette("f9d5d8 f3a6b4 b5173f ffffff 7c1034"),
    "blush": _palette("fff1ea f8cdbf d9576a 8bb39a 33415c"),
    "plum": _palette("2e1240 7a3b85 f4c3d9 e78ab0 ffe6a7"),
    "teal": _palette("06373d 1b7f83 f4efe0 f2b33d ff7f51"),
    "neon": _palette("0a0420 3a0b5e 22e4e8 ff3ea5 f9f871"),
    "cosmos": _palette("05060f 1d2b53 e6ecf5 6f7fb8 ff9d3b"),
    "rust": _palette("3a1d12 b3541e ffdca8 26130d fff3df"),
    "cream": _palette("fbf5e6 f1e3c2 c8442c 3e6b4f 2a2a2a"),
    "lemon": _palette("fff3b0 ffd54a 2b6c4a e4572e 1d3557"),
    "mint": _palette("e3f6ec a9dcc3 1f6f5c f0735a 223843"),
    "sky": _palette("bfe6ff 6cb9ef ff6b4a ffffff 173f6d"),
    "candy": _palette("ffe08a ff9ebb 6a4cdb 2bb6a8 ff4d6d"),
    "forest": _palette("0e2318 3c6a48 ead9a8 a8c686 f3f0d7"),
    "mist": _palette("d9dee2 8f9ca6 2a3138 566370 a5252c"),
    "sepia": _palette("eadbc0 b99a6b 3b2a1c 7a5636 8c1c13"),
    "slate": _palette("22303c 4f6577 f4f6f8 f0a830 7ec8e3"),
    "linen": _palette("ffffff e6ebf0 0f4c81 e4572e 111111"),
    "scarlet": _palette("d7263d a3122a fff6e9 1b1b1e ffd23f"),
    "ocean": _palette("08415c 3fa7d6 fdfdfd ffcf56 ff6b6b"),
    "parchment": _palette("f3e4c0 d9b97c 5b3a1e 9a2b20 1f3044"),
    "amethyst": _palette("22123f 4b2d84 e9c46a b892ff ffffff"),
}


def vary(palette: Palette, rng: random.Random) -> Palette:
    """Shift every colour a little, and at times turn the background upside down."""
    top, bottom = palette.top, palette.bottom
    if rng.random() < 0.35:
        top, bottom = bottom, top
    colours = (top, bottom, palette.main, palette.second, palette.accent)
    return Palette(*(shift(colour, rng, hue=0.025, light=0.05) for colour in colours))
