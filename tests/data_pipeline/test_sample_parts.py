"""The parts covers are made of: tables that agree, type that fits, colours that can be read."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from covertune.data_pipeline.sample import words
from covertune.data_pipeline.sample._colour import PAPER, SOOT, contrast, readable_on
from covertune.data_pipeline.sample._pen import Inks, Pen
from covertune.data_pipeline.sample.backgrounds import SCENERY, gradient, grain
from covertune.data_pipeline.sample.genres import GENRES
from covertune.data_pipeline.sample.layouts import LAYOUTS
from covertune.data_pipeline.sample.motifs import MOTIFS
from covertune.data_pipeline.sample.palettes import PALETTES, vary
from covertune.data_pipeline.sample.typography import FACES, Box, set_text

colours = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


@pytest.mark.parametrize("genre", GENRES, ids=lambda genre: genre.name)
def test_a_genre_names_only_what_there_is(genre):
    assert set(genre.motifs) <= set(MOTIFS)
    assert set(genre.palettes) <= set(PALETTES)
    assert set(genre.faces) <= set(FACES)
    assert set(genre.layouts) <= set(LAYOUTS)
    assert set(genre.scenery) <= set(SCENERY)


def test_every_motif_is_at_home_in_some_genre():
    assert {motif for genre in GENRES for motif in genre.motifs} == set(MOTIFS)


@pytest.mark.parametrize("genre", GENRES, ids=lambda genre: genre.name)
def test_titles_and_authors_are_filled_and_in_ascii(genre):
    rng = random.Random(0)
    for _ in range(200):
        text = words.title(genre.words, rng) + words.author(genre.words, rng)
        assert text.isascii()
        assert not set(text) & set("{}")
    assert "".join(genre.words.taglines).isascii()


@pytest.mark.parametrize("name", MOTIFS)
def test_a_motif_shows_and_stays_near_its_circle(name):
    image = Image.new("RGB", (300, 300))
    inks = Inks((255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9))
    MOTIFS[name](Pen(image, (150, 150), 100, inks, turn_deg=10), random.Random(3))

    box = ImageChops.difference(image, Image.new("RGB", image.size)).getbbox()
    assert box is not None
    assert box[0] >= 10 and box[1] >= 10 and box[2] <= 290 and box[3] <= 290
    assert (box[2] - box[0]) * (box[3] - box[1]) > 3000


@given(
    text=st.text("ABCdefgh ", min_size=1, max_size=40).filter(str.strip),
    face=st.sampled_from(list(FACES.values())),
    width=st.integers(60, 300),
    height=st.integers(20, 200),
)
@settings(max_examples=80, deadline=None)
def test_type_stays_in_its_box(text, face, width, height):
    image = Image.new("RGB", (400, 320))
    box = Box(50, 50, 50 + width, 50 + height)
    set_text(image, text, box, face, (255, 255, 255))

    drawn = image.getbbox()
    assert drawn is not None
    assert drawn[0] >= box.left and drawn[2] <= box.right
    assert drawn[1] >= box.top - 2
    assert drawn[3] <= box.bottom + 8, "only the smallest size may hang out"


@given(ground=colours, candidates=st.lists(colours, max_size=4))
def test_what_is_chosen_can_be_read(ground, candidates):
    ink = readable_on(ground, candidates, least=3.0)
    assert ink in [*candidates, PAPER, SOOT]
    assert contrast(ink, ground) >= 3.0


@given(name=st.sampled_from(list(PALETTES)), seed=st.integers(0, 999))
def test_a_varied_palette_stays_in_range(name, seed):
    palette = vary(PALETTES[name], random.Random(seed))
    for colour in (palette.top, palette.bottom, palette.main, palette.second, palette.accent):
        assert all(0 <= part <= 255 for part in colour)


def test_a_gradient_runs_from_end_to_end():
    image = gradient((4, 100), (0, 0, 0), (200, 100, 50))
    greens = [image.getpixel((1, y))[1] for y in range(100)]
    assert greens[0] <= 1 and greens[-1] >= 99
    assert greens == sorted(greens)


def test_grain_stays_within_its_strength():
    plain = Image.new("RGB", (64, 64), (100, 120, 140))
    low, high = ImageChops.difference(plain, grain(plain, 5, seed=1)).getextrema()[0]
    assert (low, high) == (0, 5)
    assert grain(plain, 5, seed=1).tobytes() != grain(plain, 5, seed=2).tobytes()
