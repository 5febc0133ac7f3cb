"""Colours of a drawn cover: mixing, small shifts, and what can be read on what."""

import colorsys
import random

Colour = tuple[int, int, int]

PAPER: Colour = (250, 246, 236)
SOOT: Colour = (22, 22, 26)


def parse(code: str) -> Colour:
    """Read `rrggbb`."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend `share` (0 to 1) of `second` into `first`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shift(colour: Colour, rng: random.Random, *, hue: float, light: float) -> Colour:
    """Move hue (turns) and value at random by at most what is given."""
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    h = (h + rng.uniform(-hue, hue)) % 1.0
    v = min(1.0, max(0.0, v + rng.uniform(-light, light)))
    red, green, blue = (round(c * 255) for c in colorsys.hsv_to_rgb(h, s, v))
    return red, green, blue


def luminance(colour: Colour) -> float:
    """Return the relative luminance, 0 to 1, with a plain square for the gamma of WCAG 2."""
    red, green, blue = ((c / 255) ** 2 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: Colour, second: Colour) -> float:
    """Return the contrast ratio, 1 to 21 (WCAG 2)."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def readable_on(ground: Colour, candidates: list[Colour], *, least: float) -> Colour:
    """Take the first candidate with enough contrast, else paper or soot."""
    for colour in candidates:
        if contrast(colour, ground) >= least:
            return colour
    return max((PAPER, SOOT), key=lambda colour: contrast(colour, ground))
