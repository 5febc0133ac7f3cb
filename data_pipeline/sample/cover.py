"""One cover: chooses what a genre would choose, draws it, encodes it."""

import io
import random

from PIL import Image, ImageDraw

from covertune.data_pipeline.sample._colour import PAPER, SOOT, mix
from covertune.data_pipeline.sample.backgrounds import grain
from covertune.data_pipeline.sample.genres import Genre
from covertune.data_pipeline.sample.layouts import LAYOUTS, Brief
from covertune.data_pipeline.sample.motifs import MOTIFS
from covertune.data_pipeline.sample.palettes import PALETTES, vary
from covertune.data_pipeline.sample.typography import FACES, Box, Face, set_text
from covertune.data_pipeline.sample.words import author, title

__all__ = ["HEIGHT_PX", "WIDTH_PX", "draw_cover"]

WIDTH_PX, HEIGHT_PX = 160, 240
_OVERSAMPLING = 3
# Shares of covers that leave their genre's habits: these make the task hard, not impossible.
_ANY_PALETTE = 0.12
_ANY_FACE = 0.12
_ANY_LAYOUT = 0.12
_FOREIGN_MOTIF = 0.02
_FOREIGN_EXTRA = 0.12


def draw_cover(genre: Genre, rng: random.Random) -> bytes:
    """Draw a cover as a book of `genre` might have it.

    Args:
        genre: Whose habits to follow, mostly.
        rng: All chance comes from here.

    Returns:
        A JPEG file, RGB, WIDTH_PX x HEIGHT_PX.
    """
    brief = _brief(genre, rng)
    layout = LAYOUTS[_choose(genre.layouts, list(LAYOUTS), _ANY_LAYOUT, rng)]
    image = layout((WIDTH_PX * _OVERSAMPLING, HEIGHT_PX * _OVERSAMPLING), brief, rng)
    if rng.random() < 0.1:
        _sticker(image, brief, rng)
    image = image.reduce(_OVERSAMPLING)
    if rng.random() < 0.5:
        _spine(image)
    image = grain(image, rng.randint(1, 6), rng.getrandbits(63))
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=rng.randint(84, 94))
    return jpeg.getvalue()


def _brief(genre: Genre, rng: random.Random) -> Brief:
    palette = PALETTES[_choose(genre.palettes, list(PALETTES), _ANY_PALETTE, rng)]
    face = FACES[_choose(genre.faces, list(FACES), _ANY_FACE, rng)]
    motif = rng.choice(genre.motifs)
    if rng.random() < _FOREIGN_MOTIF:
        motif = rng.choice(list(MOTIFS))
    extras = []
    for _ in range(rng.choice((0, 1, 1, 2, 2))):
        foreign = rng.random() < _FOREIGN_EXTRA
        extras.append(rng.choice(list(MOTIFS) if foreign else genre.motifs))
    scenery = rng.sample(genre.scenery, k=min(2, len(genre.scenery)))
    return Brief(
        title=title(genre.words, rng),
        tagline=rng.choice(genre.words.taglines) if rng.random() < 0.45 else "",
        author=author(genre.words, rng),
        palette=vary(palette, rng),
        title_face=face,
        author_face=_quiet_face(face, rng),
        motif=motif,
        extras=tuple(extras),
        scenery=tuple(sorted(scenery, key=_depth)),
    )


def _choose(weights: dict[str, float], known: list[str], stray: float, rng: random.Random) -> str:
    """Choose by weight, or with probability `stray` anything there is."""
    if rng.random() < stray:
        return rng.choice(known)
    return rng.choices(list(weights), list(weights.values()))[0]


def _quiet_face(title_face: Face, rng: random.Random) -> Face:
    if rng.random() < 0.4 and not title_face.justified:
        return title_face
    return FACES[rng.choice(("clean", "clean_caps", "serif", "serif_caps", "roman", "wide"))]


def _depth(scenery: str) -> int:
    """Rank the sky first, the ground last."""
    order = ("empty", "stars", "sun", "clouds", "confetti")
    return order.index(scenery) if scenery in order else len(order)


def _sticker(image: Image.Image, brief: Brief, rng: random.Random) -> None:
    """Draw a round sticker with a few loud words."""
    ink = rng.choice((brief.palette.accent, (212, 40, 40), (224, 178, 60)))
    r = round(image.width * 0.1)
    x = rng.choice((round(image.width * 0.15), round(image.width * 0.85)))
    y = round(image.height * rng.uniform(0.44, 0.84))
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=ink)
    text = rng.choice(("BEST SELLER", "NEW", "PRIZE WINNER", "1 MILLION SOLD", "NOW A FILM"))
    half = round(r * 0.72)
    letters = PAPER if sum(ink) < 420 else SOOT
    set_text(image, text, Box(x - half, y - half, x + half, y + half), FACES["poster"], letters)


def _spine(image: Image.Image) -> None:
    """Shade the fold beside the spine."""
    fold = image.crop((3, 0, 5, image.height))
    image.paste(Image.blend(fold, Image.new("RGB", fold.size, mix(SOOT, PAPER, 0.2)), 0.3), (3, 0))
