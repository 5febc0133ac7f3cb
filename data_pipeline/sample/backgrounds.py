"""Backgrounds: gradients, soft light, scenery, grain.

Only additions and multiplications on whole arrays and integer noise: the bytes must not depend on
the machine, and sines of arrays may.
"""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from covertune.data_pipeline.sample._colour import Colour, mix
from covertune.data_pipeline.sample._pen import Inks, Pen
from covertune.data_pipeline.sample.motifs import MOTIFS
from covertune.data_pipeline.sample.palettes import Palette

__all__ = ["SCENERY", "gradient", "grain", "soft_light", "stripes"]

Scenery = Callable[[Image.Image, Palette, random.Random], None]


def gradient(size_px: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    """Blend from top to bottom."""
    width_px, height_px = size_px
    ends = Image.new("RGB", (1, 2), top)
    ends.putpixel((0, 1), bottom)
    # Sampling between the two pixel centres gives the straight blend.
    column = ends.resize((1, height_px), Image.Resampling.BILINEAR, box=(0, 0.5, 1, 1.5))
    return column.resize((width_px, height_px), Image.Resampling.NEAREST)


def soft_light(size_px: tuple[int, int], colours: list[Colour], rng: random.Random) -> Image.Image:
    """Draw blurred patches of colour, as in a photograph out of focus."""
    coarse = Image.new("RGB", (4, 6))
    for y in range(6):
        for x in range(4):
            share = min(1.0, max(0.0, y / 5 + rng.uniform(-0.35, 0.35)))
            colour = mix(colours[0], colours[1], share)
            if rng.random() < 0.18:
                colour = mix(colour, rng.choice(colours), rng.uniform(0.3, 0.7))
            coarse.putpixel((x, y), colour)
    return coarse.resize(size_px, Image.Resampling.BICUBIC)


def stripes(image: Image.Image, ink: Colour, rng: random.Random) -> None:
    """Cover the image with stripes, dots or a grid in one faint ink."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    step = rng.randint(width // 16, width // 7)
    kind = rng.choice(("slanted", "level", "dots", "grid"))
    if kind == "slanted":
        for x in range(-height, width, step):
            draw.line((x, height, x + height, 0), fill=ink, width=step // 3)
    elif kind == "level":
        for y in range(0, height, step):
            draw.rectangle((0, y, width, y + step // 3), fill=ink)
    elif kind == "dots":
        r = step // 5
        for row, y in enumerate(range(step // 2, height, step)):
            for x in range(step // 2 + (row % 2) * step // 2, width, step):
                draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    else:
        thin = max(1, step // 14)
        for x in range(0, width, step):
            draw.line((x, 0, x, height), fill=ink, width=thin)
        for y in range(0, height, step):
            draw.line((0, y, width, y), fill=ink, width=thin)


def grain(image: Image.Image, strength: int, seed: int) -> Image.Image:
    """Add the same noise to all three channels, at most `strength` either way."""
    noise = np.random.default_rng(seed).integers(
        -strength, strength + 1, (image.height, image.width, 1), dtype=np.int16
    )
    pixels = np.asarray(image, dtype=np.int16) + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _hills(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(3):
        ink = mix(palette.bottom, _shade(palette), 0.3 + 0.3 * layer)
        base = height * (0.68 + 0.1 * layer)
        x = -width * 0.3
        while x < width:
            half = width * rng.uniform(0.3, 0.6)
            lift = height * rng.uniform(0.04, 0.1)
            draw.ellipse((x, base - lift, x + 2 * half, base + 0.5 * height), fill=ink)
            x += half
        draw.rectangle((0, base + height * 0.08, width, height), fill=ink)


def _ranges(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(3):
        ink = mix(palette.bottom, _shade(palette), 0.25 + 0.3 * layer)
        points = [(0.0, float(height))]
        x = 0.0
        while x < width * 1.15:
            points.append((x, height * (0.62 + 0.12 * layer - rng.uniform(0, 0.14))))
            x += width * rng.uniform(0.08, 0.2)
        draw.polygon([*points, (x, float(height))], fill=ink)


def _skyline(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(2):
        ink = mix(palette.bottom, _shade(palette), 0.4 + 0.4 * layer)
        x = -rng.uniform(0, 0.1) * width
        while x < width:
            wide = width * rng.uniform(0.07, 0.17)
            top = height * (0.62 + 0.12 * layer - rng.uniform(0, 0.14))
            draw.rectangle((x, top, x + wide, height), fill=ink)
            if layer and wide > width * 0.09:
                lit = mix(ink, palette.accent, 0.6)
                unit = width / 60
                for i in range(3):
                    for k in range(8):
                        if rng.random() < 0.4:
                            left, up = x + unit * (1 + 2.4 * i), top + unit * (2 + 3 * k)
                            draw.rectangle((left, up, left + unit, up + unit), fill=lit)
            x += wide


def _sea(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    horizon = height * rng.uniform(0.66, 0.76)
    water = mix(palette.bottom, _shade(palette), 0.55)
    draw.rectangle((0, horizon, width, height), fill=water)
    glint = mix(water, palette.accent, 0.35)
    for _ in range(26):
        y = rng.uniform(horizon, height)
        depth = (y - horizon) / (height - horizon)
        x, half = rng.uniform(0, width), width * (0.02 + 0.08 * depth)
        draw.rectangle((x - half, y, x + half, y + height * 0.004), fill=glint)


def _floor(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    top = height * rng.uniform(0.7, 0.8)
    ink = mix(palette.bottom, palette.second, 0.45)
    ImageDraw.Draw(image).rectangle((0, top, width, height), fill=ink)


def _stars(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    ink = mix(palette.top, palette.accent, 0.75)
    for _ in range(70):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        r = width * rng.choice((0.002, 0.003, 0.005))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def _trees(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for layer in range(2):
        ink = mix(palette.bottom, _shade(palette), 0.4 + 0.4 * layer)
        base = height * (0.8 + 0.12 * layer)
        draw.rectangle((0, base, width, height), fill=ink)
        x = 0.0
        while x < width:
            tall, half = height * rng.uniform(0.1, 0.2), width * rng.uniform(0.04, 0.07)
            for k in range(3):
                low = base - tall * k * 0.28 + 2
                draw.polygon(
                    [(x - half * (1 - 0.2 * k), low), (x, low - tall * 0.5), (x + half, low)],
                    fill=ink,
                )
            x += half * rng.uniform(1.0, 2.0)


def _sun(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    x, y = width * rng.uniform(0.25, 0.75), height * rng.uniform(0.3, 0.6)
    draw = ImageDraw.Draw(image)
    for r, share in ((0.42, 0.15), (0.34, 0.3), (0.27, 0.75)):
        box = (x - r * width, y - r * width, x + r * width, y + r * width)
        draw.ellipse(box, fill=mix(palette.top, palette.accent, share))


def _clouds(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    ink = mix(palette.top, (255, 255, 255), 0.45)
    for _ in range(4):
        x, y = rng.uniform(0, width), height * rng.uniform(0.08, 0.6)
        for _ in range(5):
            r = width * rng.uniform(0.04, 0.08)
            cx, cy = x + width * rng.uniform(-0.14, 0.14), y + height * rng.uniform(-0.012, 0.012)
            draw.ellipse((cx - 1.4 * r, cy - 0.7 * r, cx + 1.4 * r, cy + 0.7 * r), fill=ink)


def _confetti(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    width, height = image.size
    inks = Inks(palette.second, palette.accent, palette.main, palette.top)
    name = rng.choice(("heart", "star", "flower", "dots"))
    for _ in range(22):
        at, r = (rng.uniform(0, width), rng.uniform(0, height)), width * rng.uniform(0.012, 0.035)
        pen = Pen(image, at, r, inks, turn_deg=rng.uniform(-40, 40))
        if name == "dots":
            pen.circle(0, 0, 0.7, rng.choice((palette.second, palette.accent)))
        else:
            MOTIFS[name](pen, rng)


def _empty(image: Image.Image, palette: Palette, rng: random.Random) -> None:
    """Leave the background alone."""


def _shade(palette: Palette) -> Colour:
    return mix(min(palette.top, palette.bottom, palette.main, key=sum), (10, 10, 20), 0.35)


SCENERY: dict[str, Scenery] = {
    "hills": _hills,
    "ranges": _ranges,
    "skyline": _skyline,
    "sea": _sea,
    "floor": _floor,
    "stars": _stars,
    "trees": _trees,
    "sun": _sun,
    "clouds": _clouds,
    "confetti": _confetti,
    "empty": _empty,
}
