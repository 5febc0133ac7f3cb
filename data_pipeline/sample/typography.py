"""Type on covers: faces, line breaks and fitting a text into a box.

The faces are those that come with Pillow and with matplotlib, so that a cover looks the same on
every machine; Pillow's basic layout is used for the same reason (Raqm is not everywhere).
"""

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from covertune.data_pipeline.sample._colour import Colour

__all__ = ["FACES", "Box", "Face", "set_text"]


_LAST_LEADING = 1.16


@dataclass(frozen=True)
class Face:
    """A way to set text.

    Attributes:
        file: Font file among matplotlib's; empty for the font inside Pillow.
        upper: Set in capitals.
        tracking: Space between letters, in em.
        width: Horizontal stretch; below 1 is condensed.
        leading: Distance of lines, in em.
        justified: Every line is set as wide as the box.
    """

    file: str
    upper: bool = False
    tracking: float = 0.0
    width: float = 1.0
    leading: float = 1.12
    justified: bool = False


@dataclass(frozen=True)
class Box:
    """A part of the cover, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top


FACES: dict[str, Face] = {
    "clean": Face(""),
    "clean_caps": Face("", upper=True, tracking=0.14),
    "grotesque": Face("DejaVuSans-Bold.ttf", width=0.86),
    "block": Face("DejaVuSans-Bold.ttf", upper=True, width=0.7, leading=0.98, justified=True),
    "poster": Face("DejaVuSans-Bold.ttf", upper=True, width=0.58, leading=0.98),
    "wide": Face("DejaVuSans.ttf", upper=True, tracking=0.22, width=0.95, leading=1.25),
    "slab": Face("DejaVuSerif-Bold.ttf", width=0.8),
    "slab_caps": Face("DejaVuSerif-Bold.ttf", upper=True, width=0.68, leading=1.0, justified=True),
    "serif": Face("STIXGeneral.ttf"),
    "serif_bold": Face("STIXGeneralBol.ttf"),
    "serif_caps": Face("STIXGeneral.ttf", upper=True, tracking=0.1, leading=1.15),
    "italic": Face("STIXGeneralItalic.ttf", leading=1.0),
    "italic_bold": Face("STIXGeneralBolIta.ttf", leading=1.0),
    "roman": Face("cmr10.ttf", leading=1.2),
    "roman_caps": Face("cmb10.ttf", upper=True, tracking=0.05, leading=1.1),
    "typewriter": Face("DejaVuSansMono-Bold.ttf", width=0.84, leading=1.15),
    "round": Face("DejaVuSans-BoldOblique.ttf", width=0.9, leading=1.0),
}


def set_text(
    image: Image.Image,
    text: str,
    box: Box,
    face: Face,
    ink: Colour,
    *,
    align: str = "center",
    valign: str = "middle",
    max_lines: int = 4,
    max_size_px: float = 1000.0,
    shadow: Colour | None = None,
) -> Box:
    """Set `text` as large as the box lets it, on as many lines as suits it best.

    Args:
        image: Drawn on in place.
        text: ASCII.
        box: Where; the text never leaves it.
        face: How.
        ink: Colour of the letters.
        align: "left", "center" or "right".
        valign: "top", "middle" or "bottom".
        max_lines: Lines at most.
        max_size_px: Font size at most.
        shadow: Colour of a hard shadow below and to the right.

    Returns:
        The part of the box the lines take up.
    """
    if face.upper:
        text = text.upper()
    lines, sizes = _best_lines(text, box, face, max_lines, max_size_px)
    heights = _heights(sizes, face)
    slack = max(0.0, box.height - sum(heights))
    y = box.top + slack * {"top": 0.0, "middle": 0.5, "bottom": 1.0}[valign]
    used_top = round(y)
    for line, size, height in zip(lines, sizes, heights, strict=True):
        mask = _line_mask(line, max(6, round(size)), face)
        if mask.width > box.width:
            mask = mask.resize((box.width, mask.height), Image.Resampling.BILINEAR)
        room = box.width - mask.width
        x = box.left + round(room * {"left": 0.0, "center": 0.5, "right": 1.0}[align])
        if shadow is not None:
            step = max(2, round(size * 0.05))
            image.paste(shadow, (x + step, round(y) + step), mask)
        image.paste(ink, (x, round(y)), mask)
        y += height
    return Box(box.left, used_top, box.right, round(y))


def _best_lines(
    text: str, box: Box, face: Face, max_lines: int, max_size_px: float
) -> tuple[list[str], list[float]]:
    """Try all line breaks and keep the one that sets largest."""
    words = text.split()
    best: tuple[float, list[str], list[float]] | None = None
    for count in range(1, min(max_lines, len(words)) + 1):
        for cuts in itertools.combinations(range(1, len(words)), count - 1):
            edges = (0, *cuts, len(words))
            lines = [" ".join(words[a:b]) for a, b in itertools.pairwise(edges)]
            widest = [box.width / _em_width(line, face) for line in lines]
            if face.justified:
                mean = sum(widest) / count
                sizes = [min(size, 1.7 * mean, max_size_px) for size in widest]
            else:
                sizes = [min(*widest, max_size_px)] * count if count > 1 else [widest[0]]
                sizes = [min(size, max_size_px) for size in sizes]
            shrink = min(1.0, box.height / sum(_heights(sizes, face)))
            sizes = [size * shrink for size in sizes]
            # The smallest line counts most: no line may drown between two large ones.
            merit = min(sizes) + 0.25 * sum(sizes) / count
            if best is None or merit > best[0]:
                best = (merit, lines, sizes)
    assert best is not None, "a text has at least one word"
    return best[1], best[2]


def _heights(sizes: list[float], face: Face) -> list[float]:
    """Return what each line takes up; the last one needs room for its descenders."""
    last = max(face.leading, _LAST_LEADING)
    return [size * face.leading for size in sizes[:-1]] + [sizes[-1] * last]


@functools.lru_cache(maxsize=4096)
def _em_width(line: str, face: Face) -> float:
    """Return the width of a line set at size 1."""
    plain = _font(face.file, 40).getlength(line) / 40
    return max(0.1, (plain + face.tracking * (len(line) - 1)) * face.width)


def _line_mask(line: str, size_px: int, face: Face) -> Image.Image:
    """Return the coverage of one line, as high as one and a half em."""
    font = _font(face.file, size_px)
    gap = face.tracking * size_px
    plain_width = font.getlength(line) + gap * (len(line) - 1)
    mask = Image.new("L", (max(1, round(plain_width) + 4), round(size_px * 1.4)), 0)
    draw = ImageDraw.Draw(mask)
    baseline = round(size_px * 0.92)
    if gap:
        x = 1.0
        for letter in line:
            draw.text((round(x), baseline), letter, fill=255, font=font, anchor="ls")
            x += font.getlength(letter) + gap
    else:
        draw.text((1, baseline), line, fill=255, font=font, anchor="ls")
    if face.width != 1.0:
        narrow = max(1, round(mask.width * face.width))
        mask = mask.resize((narrow, mask.height), Image.Resampling.BILINEAR)
    return mask


@functools.lru_cache(maxsize=512)
def _font(file: str, size_px: int) -> ImageFont.FreeTypeFont:
    if not file:
        font = ImageFont.load_default(size=size_px)
        assert isinstance(font, ImageFont.FreeTypeFont), "Pillow without FreeType"
        return font
    return ImageFont.truetype(_font_folder() / file, size_px, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def _font_folder() -> Path:
    import matplotlib as mpl  # takes a while to import; only drawing needs it

    return Path(mpl.get_data_path()) / "fonts" / "ttf"
