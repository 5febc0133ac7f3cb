"""Layouts: where background, motif, title and author go. Each returns a whole cover."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from covertune.data_pipeline.sample._colour import (
    PAPER,
    SOOT,
    Colour,
    contrast,
    luminance,
    mix,
    readable_on,
)
from covertune.data_pipeline.sample._pen import Inks, Pen
from covertune.data_pipeline.sample.backgrounds import SCENERY, gradient, soft_light, stripes
from covertune.data_pipeline.sample.motifs import MOTIFS
from covertune.data_pipeline.sample.palettes import Palette
from covertune.data_pipeline.sample.typography import Box, Face, set_text

__all__ = ["LAYOUTS", "Brief"]


@dataclass(frozen=True)
class Brief:
    """What goes on one cover.

    Attributes:
        title: Title.
        tagline: Small line; may be empty.
        author: Author.
        palette: Colours.
        title_face: Face of the title.
        author_face: Face of the author and the tagline.
        motif: Name of the main motif.
        extras: Names of further motifs, shown smaller where the layout has room.
        scenery: Names of what lies behind, back to front.
    """

    title: str
    tagline: str
    author: str
    palette: Palette
    title_face: Face
    author_face: Face
    motif: str
    extras: tuple[str, ...]
    scenery: tuple[str, ...]


Layout = Callable[[tuple[int, int], Brief, random.Random], Image.Image]


def _scene(size_px: tuple[int, int], brief: Brief, rng: random.Random) -> Image.Image:
    """Draw the motif in a landscape; title above or below."""
    image = gradient(size_px, brief.palette.top, brief.palette.bottom)
    for name in brief.scenery:
        SCENERY[name](image, brief.palette, rng)
    title_above = rng.random() < 0.7
    at = (
        rng.uniform(0.35, 0.65),
        rng.uniform(0.63, 0.7) if title_above else rng.uniform(0.32, 0.4),
    )
    _show(image, brief.motif, at, rng.uniform(0.3, 0.42), brief.palette, rng)
    for name in brief.extras:
        y = rng.uniform(0.45, 0.8) if title_above else rng.uniform(0.12, 0.5)
        spot = (rng.choice((rng.uniform(0.08, 0.25), rng.uniform(0.75, 0.92))), y)
        _show(image, name, spot, rng.uniform(0.1, 0.16), brief.palette, rng)
    if title_above:
        _title_block(image, brief, rng, 0.05, 0.36)
        _write(
            image, brief.author, (0.1, 0.91, 0.9, 0.965), brief.author_face, brief, max_size=0.08
        )
    else:
        _write(
            image, brief.author, (0.1, 0.035, 0.9, 0.09), brief.author_face, brief, max_size=0.08
        )
        _title_block(image, brief, rng, 0.64, 0.96)
    return image


def _photo(size_px: tuple[int, int], brief: Brief, rng: random.Random) -> Image.Image:
    """Draw a large silhouette in soft light, often running off the page."""
    palette = brief.palette
    lights = [palette.top, palette.bottom, palette.second, palette.accent]
    image = soft_light(size_px, lights, rng)
    if brief.scenery and rng.random() < 0.5:
        SCENERY[brief.scenery[-1]](image, palette, rng)
    dark = mix(min(palette.top, palette.main, key=luminance), (8, 8, 14), rng.uniform(0.3, 0.75))
    behind = _mean(image, Box(0, size_px[1] // 3, size_px[0], size_px[1]))
    tone = dark if contrast(dark, behind) > 2 else mix(behind, PAPER, 0.75)
    inks = Inks(tone, mix(tone, behind, 0.25), mix(tone, palette.accent, 0.45), behind)
    high = rng.random() < 0.6
    y = rng.uniform(0.6, 0.72) if high else rng.uniform(0.32, 0.44)
    at = (rng.uniform(0.25, 0.75), y)
    _show(image, brief.motif, at, rng.uniform(0.36, 0.52), palette, rng, inks=inks)
    _veil(image, behind, 0.86 if high else 0.52)
    if high:
        _title_block(image, brief, rng, 0.06, 0.34)
        _write(
            image, brief.author, (0.08, 0.9, 0.92, 0.965), brief.author_face, brief, max_size=0.1
        )
    else:
        _write(
            image, brief.author, (0.08, 0.04, 0.92, 0.11), brief.author_face, brief, max_size=0.1
        )
        _title_block(image, brief, rng, 0.58, 0.95)
    return image


def _band(size_px: tuple[int, int], brief: Brief, rng: random.Random) -> Image.Image:
    """Draw the title on an opaque band, the motif beside it."""
    palette = brief.palette
    image = gradient(size_px, palette.top, palette.bottom)
    if rng.random() < 0.4:
        stripes(image, mix(palette.top, palette.bottom, rng.uniform(0.6, 1.0)), rng)
    elif brief.scenery:
        SCENERY[brief.scenery[0]](image, palette, rng)
    at_top = rng.random() < 0.45
    low, high = (0.06, 0.38) if at_top else (0.6, 0.9)
    band = rng.choice((palette.second, palette.main, PAPER, palette.accent, palette.top))
    if contrast(band, _mean(image, _box(image, (0, low, 1, high)))) < 1.25:
        band = readable_on(palette.top, [palette.main], least=2.0)
    width, height = size_px
    inset = rng.choice((0.0, 0.0, 0.06))
    ImageDraw.Draw(image).rectangle(
        (inset * width, low * height, (1 - inset) * width, high * height), fill=band
    )
    y = 0.66 if at_top else 0.32
    _show(image, brief.motif, (rng.uniform(0.4, 0.6), y), rng.uniform(0.28, 0.4), palette, rng)
    for name in brief.extras:
        spot = (rng.choice((0.14, 0.86)), y + rng.uniform(-0.18, 0.18))
        _show(image, name, spot, rng.uniform(0.09, 0.13), palette, rng)
    _title_block(image, brief, rng, low + 0.015, high - 0.015)
    author = (0.08, 0.92, 0.92, 0.97) if at_top else (0.08, 0.03, 0.92, 0.08)
    _write(image, brief.author, author, brief.author_face, brief, max_size=0.08)
    return image


def _emblem(size_px: tuple[int, int], brief: Brief, rng: random.Random) -> Image.Image:
    """Draw a plain ground, a thin frame, and the motif in the middle."""
    palette = brief.palette
    width, height = size_px
    ground = rng.choice((palette.top, palette.bottom, mix(palette.top, palette.bottom, 0.5)))
    image = Image.new("RGB", size_px, ground)
    draw = ImageDraw.Draw(image)
    line = readable_on(ground, [palette.second, palette.accent, palette.main], least=1.8)
    if rng.random() < 0.65:
        for inset in rng.choice(((0.045,), (0.04, 0.06))):
            gap = inset * width
            draw.rectangle(
                (gap, gap, width - gap, height - gap), outline=line, width=max(2, width // 110)
            )
    y, r = rng.uniform(0.58, 0.63), rng.uniform(0.23, 0.29)
    if rng.random() < 0.5:
        disc = rng.choice((palette.second, palette.accent, mix(ground, palette.main, 0.25)))
        reach = r * 1.3 * width
        centre = (width / 2, y * height)
        box = (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
        draw.ellipse(box, fill=disc)
    _show(image, brief.motif, (0.5, y), r, palette, rng, turn=8)
    _title_block(image, brief, rng, 0.075, 0.34, side=0.11)
    _write(image, brief.author, (0.12, 0.87, 0.88, 0.925), brief.author_face, brief, max_size=0.075)
    return image


def _pattern(size_px: tuple[int, int], brief: Brief, rng: random.Random) -> Image.Image:
    """Draw the motif repeated over the page, the title on a label."""
    palette = brief.palette
    image = gradient(size_px, palette.top, palette.bottom)
    names = (brief.motif, *brief.extras)
    columns = rng.choice((3, 3, 4))
    rows = round(columns * 1.5)
    tilt = rng.choice((0, 0, 14))
    for row in range(rows):
        for column in range(columns + row % 2):
            at = ((column + 0.5 - 0.5 * (row % 2)) / columns, (row + 0.5) / rows)
            name = names[(row + column) % len(names)]
            _show(image, name, at, 0.36 / columns, palette, rng, turn=tilt)
    low = rng.choice((0.1, 0.3, 0.55))
    high = low + rng.uniform(0.3, 0.36)
    width, height = size_px
    label = rng.choice((PAPER, palette.top, palette.main))
    box = (0.1 * width, low * height, 0.9 * width, high * height)
    line = readable_on(label, [palette.accent, palette.second], least=1.6)
    ImageDraw.Draw(image).rectangle(box, fill=label, outline=line, width=max(2, width // 90))
    _title_block(image, brief, rng, low + 0.015, high - 0.075, side=0.14)
    author = (0.16, high - 0.07, 0.84, high - 0.02)
    _write(image, brief.author, author, brief.author_face, brief, max_size=0.065)
    return image


def _split(size_px: tuple[int, int], brief: Brief, rng: random.Random) -> Image.Image:
    """Draw two fields of colour, and the motif across their border."""
    palette = brief.palette
    width, height = size_px
    image = Image.new("RGB", size_px, palette.top)
    left, right = rng.uniform(0.4, 0.7), rng.uniform(0.4, 0.7)
    field = mix(palette.bottom, palette.second, rng.choice((0.0, 0.5, 0.9)))
    corners = [(0, left * height), (width, right * height), (width, height), (0, height)]
    ImageDraw.Draw(image).polygon(corners, fill=field)
    at = (rng.uniform(0.35, 0.65), (left + right) / 2 + 0.02)
    _show(image, brief.motif, at, rng.uniform(0.28, 0.38), palette, rng)
    for name in brief.extras[:1]:
        spot = (rng.choice((0.16, 0.84)), rng.uniform(0.78, 0.85))
        _show(image, name, spot, rng.uniform(0.09, 0.13), palette, rng)
    _title_block(image, brief, rng, 0.06, min(left, right) - 0.1)
    _write(image, brief.author, (0.08, 0.9, 0.92, 0.96), brief.author_face, brief, max_size=0.085)
    return image


def _lettered(size_px: tuple[int, int], brief: Brief, rng: random.Random) -> Image.Image:
    """Draw mostly letters, with a small motif."""
    palette = brief.palette
    image = gradient(size_px, palette.top, mix(palette.top, palette.bottom, rng.uniform(0, 1)))
    if rng.random() < 0.25:
        stripes(image, mix(palette.top, palette.bottom, 0.35), rng)
    if rng.random() < 0.5:
        _title_block(image, brief, rng, 0.07, 0.58)
        at, author = (rng.uniform(0.3, 0.7), 0.73), (0.08, 0.89, 0.92, 0.955)
    else:
        _title_block(image, brief, rng, 0.4, 0.88)
        at, author = (rng.uniform(0.3, 0.7), 0.24), (0.08, 0.91, 0.92, 0.965)
    _show(image, brief.motif, at, rng.uniform(0.17, 0.24), palette, rng)
    _write(image, brief.author, author, brief.author_face, brief, max_size=0.085)
    return image


LAYOUTS: dict[str, Layout] = {
    "scene": _scene,
    "photo": _photo,
    "band": _band,
    "emblem": _emblem,
    "pattern": _pattern,
    "split": _split,
    "lettered": _lettered,
}


def _show(
    image: Image.Image,
    name: str,
    at: tuple[float, float],
    radius: float,
    palette: Palette,
    rng: random.Random,
    *,
    inks: Inks | None = None,
    turn: float = 14.0,
) -> None:
    """Draw a motif at a place given in shares of the cover; radius in shares of its width."""
    width, height = image.size
    centre = (at[0] * width, at[1] * height)
    if inks is None:
        reach = radius * width * 0.8
        around = Box(
            *(round(v) for v in (centre[0] - reach, centre[1] - reach)),
            *(round(v) for v in (centre[0] + reach, centre[1] + reach)),
        )
        ground = _mean(image, around)
        colours = [palette.main, palette.second, palette.accent]
        if rng.random() < 0.3:
            rng.shuffle(colours)
        seen = [colour for colour in colours if contrast(colour, ground) > 1.8]
        main = seen[0] if seen else readable_on(ground, [], least=9)
        others = [colour for colour in [*seen[1:], PAPER, SOOT] if contrast(colour, main) > 1.2]
        second = others[0]
        accent = others[1] if len(others) > 1 else mix(main, ground, 0.5)
        inks = Inks(main, second, accent, ground)
    MOTIFS[name](
        Pen(
            image,
            centre,
            radius * width,
            inks,
            turn_deg=rng.uniform(-turn, turn),
            mirrored=rng.random() < 0.5,
        ),
        rng,
    )


def _title_block(
    image: Image.Image,
    brief: Brief,
    rng: random.Random,
    low: float,
    high: float,
    *,
    side: float = 0.07,
) -> None:
    """Write the title and, if there is one, the tagline under it."""
    if brief.tagline:
        line = min(0.05, (high - low) * 0.2)
        under = (side + 0.04, high - line, 0.96 - side, high)
        _write(image, brief.tagline, under, brief.author_face, brief, max_size=0.055, lines=1)
        high -= line + 0.012
    shares = (side, low, 1 - side, high)
    _write(image, brief.title, shares, brief.title_face, brief, max_size=0.26, lines=4, rng=rng)


def _write(
    image: Image.Image,
    text: str,
    shares: tuple[float, float, float, float],
    face: Face,
    brief: Brief,
    *,
    max_size: float,
    lines: int = 1,
    rng: random.Random | None = None,
) -> None:
    """Set text in a box given in shares of the cover, in a colour that can be read there.

    Args:
        image: Drawn on in place.
        text: What to set.
        shares: Left, top, right, bottom.
        face: Face.
        brief: Gives the colours.
        max_size: Font size at most, in shares of the width.
        lines: Lines at most.
        rng: Chooses colour, alignment and shadow; without it the text is plain and centred.
    """
    box = _box(image, shares)
    ground = _mean(image, box)
    palette = brief.palette
    candidates = [palette.accent, palette.main, palette.second]
    align = "center"
    uneven = _uneven(image, box)
    if rng is None:
        candidates = [PAPER, SOOT, *candidates]
    else:
        if rng.random() < 0.5:
            candidates = [PAPER, SOOT, *candidates]
        elif rng.random() < 0.5:
            candidates.reverse()
        align = rng.choice(("center", "center", "center", "left"))
    ink = readable_on(ground, candidates, least=3.0 if not uneven else 4.5)
    shadow = None
    if uneven or (rng is not None and rng.random() < 0.12):
        shadow = mix(ground, SOOT if luminance(ink) > 0.3 else PAPER, 0.7)
    set_text(
        image,
        text,
        box,
        face,
        ink,
        align=align,
        max_lines=lines,
        max_size_px=max_size * image.width,
        shadow=shadow,
    )


def _veil(image: Image.Image, tone: Colour, low: float) -> None:
    """Fade what lies below `low` (share of the height) into one tone, so that text can be read."""
    start = round(low * image.height)
    size_px = (image.width, image.height - start)
    fade = gradient(size_px, (40, 40, 40), (235, 235, 235)).getchannel(0)
    image.paste(mix(tone, SOOT if luminance(tone) < 0.25 else PAPER, 0.35), (0, start), fade)


def _box(image: Image.Image, shares: tuple[float, float, float, float]) -> Box:
    width, height = image.size
    left, top, right, bottom = shares
    return Box(
        round(left * width), round(top * height), round(right * width), round(bottom * height)
    )


def _mean(image: Image.Image, box: Box) -> Colour:
    """Return the mean colour of a part of the image."""
    pixel = _coarse(image, box, 1).getpixel((0, 0))
    assert isinstance(pixel, tuple), "covers are RGB"
    return pixel[0], pixel[1], pixel[2]


def _uneven(image: Image.Image, box: Box) -> bool:
    """Tell whether light and dark parts lie behind a text."""
    low, high = _coarse(image, box, 5).convert("L").getextrema()
    assert isinstance(low, int), "one band"
    assert isinstance(high, int), "one band"
    return high - low > 70


def _coarse(image: Image.Image, box: Box, cells: int) -> Image.Image:
    part = (
        max(0, box.left),
        max(0, box.top),
        min(image.width, box.right),
        min(image.height, box.bottom),
    )
    return image.resize((cells, cells), Image.Resampling.BOX, box=part)
