"""Motifs of love and of stage lives: hearts, flowers, rings, letters."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen, Point


def heart(pen: Pen, rng: random.Random) -> None:
    """A heart, at times with a smaller one in it."""
    pen.polygon(_heart_points(0, 0, 0.95), pen.inks.main)
    if rng.random() < 0.5:
        pen.polygon(_heart_points(0, -0.02, 0.55), pen.inks.second)


def hearts(pen: Pen, rng: random.Random) -> None:
    """Two hearts that overlap."""
    pen.polygon(_heart_points(-0.32, -0.1, 0.62), pen.inks.main)
    pen.polygon(_heart_points(0.38, 0.22, 0.5), pen.inks.accent)


def rose(pen: Pen, rng: random.Random) -> None:
    """A rose on its stem."""
    stem = pen.inks.second
    pen.curve([(0, 0), (0.06, 0.5), (-0.05, 1)], 0.07, stem)
    pen.blob([(0.03, 0.6), (0.3, 0.4), (0.5, 0.42), (0.3, 0.62)], stem)
    pen.blob([(0.0, 0.75), (-0.25, 0.55), (-0.45, 0.55), (-0.3, 0.78)], stem)
    for ring, (r, petals) in enumerate(((0.36, 6), (0.22, 5), (0.08, 3))):
        ink = (pen.inks.main, pen.inks.accent, pen.inks.main)[ring]
        for i in range(petals):
            t = 2 * math.pi * (i + ring / 2) / petals
            pen.circle(r * math.cos(t), -0.35 + r * math.sin(t), 0.3 - ring * 0.07, ink)
    pen.arc(0, -0.35, 0.1, 0, 260, 0.04, pen.inks.accent)


def flower(pen: Pen, rng: random.Random) -> None:
    """An open blossom with five to eight petals."""
    petals = rng.randint(5, 8)
    for i in range(petals):
        t = 360 * i / petals
        x, y = math.cos(math.radians(t)), math.sin(math.radians(t))
        pen.ellipse(0.55 * x, 0.55 * y, 0.42, 0.26, pen.inks.main, turn_deg=t)
    pen.circle(0, 0, 0.27, pen.inks.accent)


def bouquet(pen: Pen, rng: random.Random) -> None:
    """A loose bunch of flowers."""
    heads = [(-0.45, -0.35), (0.02, -0.62), (0.48, -0.3), (-0.12, -0.12), (0.25, 0.08)]
    for x, y in heads:
        pen.curve([(x, y), (x * 0.3, 0.4), (x * -0.25, 1)], 0.05, pen.inks.second)
    for i, (x, y) in enumerate(heads):
        ink = pen.inks.main if i % 2 == 0 else pen.inks.accent
        for k in range(6):
            t = math.pi * k / 3
            pen.circle(x + 0.16 * math.cos(t), y + 0.16 * math.sin(t), 0.13, ink)
        pen.circle(x, y, 0.09, pen.inks.second)


def rings(pen: Pen, rng: random.Random) -> None:
    """Two wedding rings, one with a stone."""
    pen.ring(-0.32, 0.25, 0.52, 0.1, pen.inks.main)
    pen.ring(0.34, 0.25, 0.52, 0.1, pen.inks.accent)
    pen.polygon(
        [(0.34, -0.3), (0.1, -0.58), (0.22, -0.75), (0.46, -0.75), (0.58, -0.58)], pen.inks.second
    )
    pen.line([(0.1, -0.58), (0.58, -0.58)], 0.03, pen.inks.main)


def couple(pen: Pen, rng: random.Random) -> None:
    """Two people close to each other, from head to hip."""
    dark = pen.inks.main
    pen.circle(-0.2, -0.55, 0.2, dark)
    pen.blob(
        [
            (-0.2, -0.4),
            (0.02, -0.2),
            (0.05, 0.3),
            (0.05, 1),
            (-0.62, 1),
            (-0.56, 0.1),
            (-0.45, -0.28),
        ],
        dark,
    )
    other = pen.inks.second
    pen.circle(0.2, -0.42, 0.18, other)
    pen.blob([(0.12, -0.56), (0.34, -0.6), (0.48, -0.3), (0.42, 0.1), (0.3, 0)], other)
    pen.blob(
        [(0.2, -0.26), (0.42, -0.1), (0.4, 0.3), (0.62, 1), (0, 1), (0.04, 0.2), (0.05, -0.1)],
        other,
    )
    pen.curve([(-0.4, -0.1), (-0.05, 0.16), (0.3, 0.12)], 0.13, dark)


def letter(pen: Pen, rng: random.Random) -> None:
    """A sealed letter."""
    pen.box(-0.9, -0.55, 0.9, 0.6, pen.inks.main)
    pen.line([(-0.9, -0.55), (0, 0.12), (0.9, -0.55)], 0.05, pen.inks.ground)
    pen.polygon(_heart_points(0, 0.12, 0.22), pen.inks.accent)


def lips(pen: Pen, rng: random.Random) -> None:
    """A mouth."""
    pen.blob(
        [
            (-0.95, 0),
            (-0.5, -0.3),
            (-0.2, -0.42),
            (0, -0.32),
            (0.2, -0.42),
            (0.5, -0.3),
            (0.95, 0),
            (0.45, 0.42),
            (0, 0.52),
            (-0.45, 0.42),
        ],
        pen.inks.main,
    )
    pen.curve([(-0.8, 0), (-0.3, -0.05), (0, 0.03), (0.3, -0.05), (0.8, 0)], 0.06, pen.inks.ground)


def dove(pen: Pen, rng: random.Random) -> None:
    """A bird in flight."""
    pen.blob(
        [
            (-0.95, 0.2),
            (-0.4, 0.05),
            (0.2, -0.05),
            (0.6, -0.22),
            (0.78, -0.1),
            (0.6, 0.12),
            (0.2, 0.38),
            (-0.3, 0.35),
        ],
        pen.inks.main,
    )
    pen.blob(
        [(-0.25, 0.08), (-0.55, -0.5), (-0.4, -0.9), (-0.1, -0.6), (0.25, -0.02)], pen.inks.second
    )
    pen.polygon([(0.74, -0.18), (0.95, -0.08), (0.72, -0.04)], pen.inks.accent)


def candle(pen: Pen, rng: random.Random) -> None:
    """A burning candle."""
    pen.box(-0.22, -0.2, 0.22, 0.85, pen.inks.main)
    pen.ellipse(0, 0.88, 0.6, 0.14, pen.inks.second)
    pen.line([(0, -0.2), (0, -0.36)], 0.04, pen.inks.second)
    pen.blob(
        [(0, -0.95), (0.16, -0.55), (0.1, -0.36), (-0.1, -0.36), (-0.16, -0.55)], pen.inks.accent
    )


def music(pen: Pen, rng: random.Random) -> None:
    """Two joined notes."""
    pen.ellipse(-0.5, 0.6, 0.3, 0.22, pen.inks.main, turn_deg=-20)
    pen.ellipse(0.45, 0.42, 0.3, 0.22, pen.inks.main, turn_deg=-20)
    pen.polygon(
        [
            (-0.32, 0.6),
            (-0.22, 0.6),
            (-0.22, -0.4),
            (0.63, -0.6),
            (0.63, 0.42),
            (0.73, 0.42),
            (0.73, -0.9),
            (-0.32, -0.66),
        ],
        pen.inks.main,
    )


def _heart_points(x: float, y: float, size: float) -> list[Point]:
    """Return the well-known curve with sin^3 across and four cosines down."""
    points = []
    for i in range(36):
        t = 2 * math.pi * i / 36
        down = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x + size * math.sin(t) ** 3, y - size * down / 16))
    return points
