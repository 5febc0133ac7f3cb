"""Motifs of legend and of the past: dragons, castles, swords, ships, temples."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen, arc_points, star_points


def dragon(pen: Pen, rng: random.Random) -> None:
    """A dragon in flight, seen from the side."""
    ink = pen.inks.main
    pen.curve(
        [
            (-0.95, 0.65),
            (-0.6, 0.8),
            (-0.35, 0.45),
            (0, 0.3),
            (0.35, 0.1),
            (0.5, -0.3),
            (0.72, -0.42),
        ],
        0.17,
        ink,
    )
    pen.polygon([(-1, 0.5), (-0.82, 0.62), (-0.98, 0.82)], ink)
    pen.blob([(-0.3, 0.48), (0.05, 0.12), (0.35, 0.05), (0.3, 0.35), (-0.05, 0.6)], ink)
    pen.polygon([(0.6, -0.56), (0.72, -0.55), (0.98, -0.38), (0.96, -0.28), (0.68, -0.28)], ink)
    pen.line([(0.64, -0.5), (0.48, -0.68)], 0.05, ink)
    wing = pen.inks.second
    pen.polygon(
        [
            (0.2, 0.1),
            (0.1, -0.55),
            (-0.15, -0.98),
            (-0.32, -0.5),
            (-0.62, -0.62),
            (-0.58, -0.2),
            (-0.9, -0.12),
            (-0.2, 0.3),
        ],
        wing,
    )
    pen.line([(0.1, 0.15), (-0.15, -0.98)], 0.05, ink)
    pen.line([(0.05, 0.18), (-0.62, -0.62)], 0.035, ink)
    pen.line([(0.0, 0.22), (-0.9, -0.12)], 0.035, ink)
    pen.circle(0.74, -0.42, 0.04, pen.inks.accent)


def castle(pen: Pen, rng: random.Random) -> None:
    """A castle with three towers."""
    ink = pen.inks.main
    pen.box(-0.8, 0.1, 0.8, 1, ink)
    for x in (-0.8, -0.48, -0.16, 0.16, 0.48):
        pen.box(x, -0.02, x + 0.16, 0.12, ink)
    for x, top, half in ((-0.72, -0.3, 0.2), (0.72, -0.3, 0.2), (0.08, -0.55, 0.22)):
        pen.box(x - half, top, x + half, 0.9, ink)
        pen.polygon(
            [(x - half - 0.08, top), (x + half + 0.08, top), (x, top - 0.45)], pen.inks.second
        )
        pen.box(x - 0.05, top + 0.15, x + 0.05, top + 0.35, pen.inks.accent)
    pen.blob([(-0.2, 1), (-0.2, 0.65), (0.04, 0.48), (0.28, 0.65), (0.28, 1)], pen.inks.ground)


def sword(pen: Pen, rng: random.Random) -> None:
    """A sword, point down."""
    pen.polygon([(-0.11, -0.4), (0.11, -0.4), (0.09, 0.78), (0, 1), (-0.09, 0.78)], pen.inks.main)
    pen.line([(0, -0.35), (0, 0.75)], 0.03, pen.inks.ground)
    pen.line([(-0.42, -0.4), (0.42, -0.4)], 0.13, pen.inks.second)
    pen.line([(0, -0.45), (0, -0.82)], 0.12, pen.inks.second)
    pen.circle(0, -0.9, 0.11, pen.inks.accent)


def crown(pen: Pen, rng: random.Random) -> None:
    """A crown."""
    pen.polygon(
        [
            (-0.8, 0.55),
            (-0.95, -0.4),
            (-0.45, 0.05),
            (0, -0.65),
            (0.45, 0.05),
            (0.95, -0.4),
            (0.8, 0.55),
        ],
        pen.inks.main,
    )
    pen.box(-0.8, 0.6, 0.8, 0.8, pen.inks.second)
    for x, y in ((-0.95, -0.45), (0, -0.72), (0.95, -0.45)):
        pen.circle(x, y, 0.1, pen.inks.accent)
    for x in (-0.45, 0, 0.45):
        pen.circle(x, 0.34, 0.08, pen.inks.ground)


def wand(pen: Pen, rng: random.Random) -> None:
    """A wand that throws sparks."""
    pen.line([(-0.75, 0.85), (0.35, -0.35)], 0.1, pen.inks.second)
    pen.polygon(star_points(0.45, -0.48, 0.42, 0.15, 4), pen.inks.main)
    for _ in range(6):
        x, y = rng.uniform(-0.5, 0.95), rng.uniform(-0.95, 0.3)
        pen.polygon(star_points(x, y, 0.12, 0.04, 4), pen.inks.accent)


def potion(pen: Pen, rng: random.Random) -> None:
    """A round flask."""
    pen.circle(0, 0.3, 0.66, pen.inks.main)
    pen.box(-0.18, -0.75, 0.18, -0.1, pen.inks.main)
    pen.box(-0.28, -0.82, 0.28, -0.68, pen.inks.second)
    pen.polygon(
        [
            (0.52 * math.cos(math.pi * i / 14), 0.32 + 0.52 * math.sin(math.pi * i / 14))
            for i in range(15)
        ],
        pen.inks.accent,
    )
    for x, y, r in ((-0.12, 0.15, 0.08), (0.15, 0.05, 0.06), (0.05, -0.45, 0.05)):
        pen.circle(x, y, r, pen.inks.accent)


def great_tree(pen: Pen, rng: random.Random) -> None:
    """An old tree with roots and a round crown."""
    pen.polygon(
        [
            (-0.14, 0.2),
            (0.14, 0.2),
            (0.16, 0.7),
            (0.5, 0.98),
            (0.05, 0.85),
            (-0.45, 0.98),
            (-0.16, 0.7),
        ],
        pen.inks.second,
    )
    for x, y, r in (
        (-0.48, -0.1, 0.38),
        (0.48, -0.1, 0.38),
        (-0.22, -0.5, 0.42),
        (0.25, -0.5, 0.42),
        (0, -0.1, 0.45),
    ):
        pen.circle(x, y, r, pen.inks.main)
    for _ in range(7):
        pen.circle(rng.uniform(-0.6, 0.6), rng.uniform(-0.7, 0.1), 0.055, pen.inks.accent)


def peaks(pen: Pen, rng: random.Random) -> None:
    """Two mountains with snow."""
    for x, top, half, ink in (
        (0.38, -0.35, 0.7, pen.inks.second),
        (-0.25, -0.8, 0.85, pen.inks.main),
    ):
        pen.polygon([(x - half, 0.8), (x, top), (x + half, 0.8)], ink)
        snow = top + 0.38
        w = half * 0.38 / (0.8 - top)
        pen.polygon(
            [
                (x, top),
                (x + w, snow),
                (x + w * 0.3, snow - 0.1),
                (x, snow + 0.05),
                (x - w * 0.4, snow - 0.1),
                (x - w, snow),
            ],
            pen.inks.accent,
        )


def gate(pen: Pen, rng: random.Random) -> None:
    """A lit archway with a path."""
    pen.polygon([(-0.75, 1), *arc_points(0, -0.2, 0.75, 180, 360), (0.75, 1)], pen.inks.main)
    pen.polygon([(-0.48, 1), *arc_points(0, -0.2, 0.48, 180, 360), (0.48, 1)], pen.inks.accent)
    pen.polygon([(-0.34, 1), (0.34, 1), (0.06, 0.3), (-0.06, 0.3)], pen.inks.second)
    pen.circle(0, -0.1, 0.14, pen.inks.main)


def temple(pen: Pen, rng: random.Random) -> None:
    """A front with columns."""
    pen.polygon([(-0.98, -0.4), (0, -0.92), (0.98, -0.4)], pen.inks.main)
    pen.box(-0.9, -0.36, 0.9, -0.22, pen.inks.second)
    for x in (-0.75, -0.37, 0.01, 0.39):
        pen.box(x, -0.2, x + 0.34 / 1.4, 0.7, pen.inks.main)
    pen.box(-0.95, 0.72, 0.95, 0.92, pen.inks.second)


def shield(pen: Pen, rng: random.Random) -> None:
    """A quartered shield."""
    pen.polygon(
        [
            (-0.75, -0.85),
            (0.75, -0.85),
            (0.72, 0.15),
            (0.4, 0.65),
            (0, 0.98),
            (-0.4, 0.65),
            (-0.72, 0.15),
        ],
        pen.inks.main,
    )
    pen.box(-0.6, -0.72, 0, 0, pen.inks.second)
    pen.polygon([(0, 0), (0.6, 0), (0.55, 0.22), (0.3, 0.55), (0, 0.82)], pen.inks.second)
    pen.polygon(star_points(0.3, -0.36, 0.2, 0.08), pen.inks.accent)


def ship(pen: Pen, rng: random.Random) -> None:
    """A sailing ship."""
    pen.blob(
        [
            (-0.9, 0.4),
            (-0.3, 0.48),
            (0.4, 0.46),
            (0.98, 0.3),
            (0.72, 0.82),
            (0, 0.9),
            (-0.65, 0.82),
        ],
        pen.inks.second,
    )
    for x, top in ((-0.35, -0.7), (0.3, -0.95)):
        pen.line([(x, 0.45), (x, top)], 0.05, pen.inks.second)
        pen.blob(
            [
                (x - 0.28, 0.3),
                (x - 0.26, top + 0.14),
                (x + 0.2, top + 0.14),
                (x + 0.34, -0.1),
                (x + 0.24, 0.3),
            ],
            pen.inks.main,
        )
    pen.polygon([(0.3, -0.95), (0.62, -0.86), (0.3, -0.76)], pen.inks.accent)


def pyramid(pen: Pen, rng: random.Random) -> None:
    """Pyramids and a sun."""
    pen.circle(0.45, -0.5, 0.27, pen.inks.accent)
    pen.polygon([(0.1, 0.6), (0.55, -0.05), (1, 0.6)], pen.inks.second)
    pen.polygon([(-1, 0.6), (-0.3, -0.6), (0.4, 0.6)], pen.inks.main)
    pen.polygon([(-0.3, -0.6), (0.4, 0.6), (-0.1, 0.6)], pen.inks.second)


def helmet(pen: Pen, rng: random.Random) -> None:
    """An antique helmet with its crest."""
    pen.blob(
        [
            (-0.85, 0.1),
            (-0.7, -0.7),
            (0, -1),
            (0.65, -0.72),
            (0.5, -0.55),
            (0, -0.75),
            (-0.45, -0.5),
            (-0.55, 0.1),
        ],
        pen.inks.accent,
    )
    pen.blob(
        [
            (-0.5, 0.2),
            (-0.4, -0.45),
            (0.1, -0.68),
            (0.5, -0.4),
            (0.58, 0.1),
            (0.55, 0.85),
            (0.25, 0.9),
            (0.2, 0.45),
            (-0.1, 0.5),
            (-0.3, 0.95),
            (-0.55, 0.8),
        ],
        pen.inks.main,
    )
    pen.line([(0.12, 0.02), (0.5, 0.0)], 0.13, pen.inks.ground)
