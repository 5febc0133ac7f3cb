"""Motifs of children's books: animals, balloons, rainbows."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen, arc_points


def balloons(pen: Pen, rng: random.Random) -> None:
    """Three balloons on strings."""
    for x, y, ink in (
        (-0.48, -0.3, pen.inks.second),
        (0.48, -0.25, pen.inks.accent),
        (0, -0.55, pen.inks.main),
    ):
        pen.curve([(x, y + 0.4), (x * 0.4, 0.5), (0.05, 1)], 0.03, pen.inks.second)
        pen.ellipse(x, y, 0.34, 0.42, ink)
        pen.polygon([(x - 0.06, y + 0.48), (x + 0.06, y + 0.48), (x, y + 0.38)], ink)


def bear(pen: Pen, rng: random.Random) -> None:
    """The face of a bear."""
    for x in (-0.58, 0.58):
        pen.circle(x, -0.55, 0.3, pen.inks.main)
        pen.circle(x, -0.55, 0.16, pen.inks.second)
    pen.ellipse(0, 0.05, 0.85, 0.78, pen.inks.main)
    pen.ellipse(0, 0.34, 0.4, 0.32, pen.inks.second)
    _eyes(pen, 0.3, -0.08, 0.09)
    pen.ellipse(0, 0.2, 0.13, 0.09, pen.inks.ground)
    pen.arc(0, 0.34, 0.16, 20, 160, 0.05, pen.inks.ground)


def cat(pen: Pen, rng: random.Random) -> None:
    """The face of a cat."""
    for side in (-1, 1):
        pen.polygon(
            [(side * 0.72, -0.92), (side * 0.18, -0.5), (side * 0.75, -0.05)], pen.inks.main
        )
    pen.ellipse(0, 0.1, 0.78, 0.7, pen.inks.main)
    _eyes(pen, 0.32, -0.02, 0.12)
    pen.polygon([(-0.1, 0.2), (0.1, 0.2), (0, 0.32)], pen.inks.accent)
    for side in (-1, 1):
        for y in (0.26, 0.4):
            pen.line([(side * 0.3, y), (side * 0.95, y + (y - 0.33) * 1.2)], 0.03, pen.inks.second)
    pen.arc(-0.1, 0.34, 0.1, 10, 170, 0.04, pen.inks.ground)
    pen.arc(0.1, 0.34, 0.1, 10, 170, 0.04, pen.inks.ground)


def owl(pen: Pen, rng: random.Random) -> None:
    """An owl."""
    pen.blob(
        [
            (-0.62, -0.9),
            (0, -0.72),
            (0.62, -0.9),
            (0.72, 0.2),
            (0.4, 0.95),
            (-0.4, 0.95),
            (-0.72, 0.2),
        ],
        pen.inks.main,
    )
    pen.ellipse(0, 0.45, 0.4, 0.42, pen.inks.second)
    for x in (-0.28, 0.28):
        pen.circle(x, -0.32, 0.28, pen.inks.second)
        pen.circle(x, -0.32, 0.14, pen.inks.ground)
    pen.polygon([(-0.1, -0.15), (0.1, -0.15), (0, 0.08)], pen.inks.accent)


def elephant(pen: Pen, rng: random.Random) -> None:
    """An elephant from the side."""
    ink = pen.inks.main
    pen.ellipse(-0.2, 0.05, 0.62, 0.46, ink)
    for x in (-0.62, -0.32, 0.0, 0.2):
        pen.box(x - 0.11, 0.2, x + 0.11, 0.88, ink)
    pen.circle(0.48, -0.2, 0.36, ink)
    pen.curve([(0.75, -0.1), (0.9, 0.3), (0.82, 0.65), (0.98, 0.72)], 0.16, ink)
    pen.ellipse(0.24, -0.18, 0.24, 0.34, pen.inks.second)
    pen.circle(0.6, -0.28, 0.05, pen.inks.ground)
    pen.curve([(-0.8, 0), (-0.92, 0.2), (-0.88, 0.4)], 0.05, ink)


def dino(pen: Pen, rng: random.Random) -> None:
    """A friendly dinosaur."""
    ink = pen.inks.main
    pen.blob(
        [
            (-0.98, 0.6),
            (-0.5, 0.2),
            (0, -0.02),
            (0.3, -0.35),
            (0.35, -0.75),
            (0.62, -0.92),
            (0.92, -0.72),
            (0.88, -0.5),
            (0.62, -0.45),
            (0.6, 0),
            (0.45, 0.45),
            (0, 0.62),
            (-0.5, 0.58),
        ],
        ink,
    )
    for x in (-0.18, 0.25):
        pen.box(x - 0.12, 0.4, x + 0.12, 0.95, ink)
    for x, y in ((-0.6, 0.18), (-0.3, 0.0), (0.0, -0.12), (0.2, -0.4)):
        pen.polygon([(x - 0.1, y + 0.1), (x + 0.12, y), (x - 0.05, y - 0.18)], pen.inks.accent)
    pen.circle(0.66, -0.72, 0.06, pen.inks.ground)


def rainbow(pen: Pen, rng: random.Random) -> None:
    """A rainbow between two clouds."""
    for i, ink in enumerate((pen.inks.main, pen.inks.second, pen.inks.accent)):
        pen.arc(0, 0.5, 0.82 - i * 0.18, 180, 360, 0.16, ink)
    for x in (-0.62, 0.62):
        for dx, dy, r in ((-0.2, 0.05, 0.2), (0.02, -0.06, 0.25), (0.22, 0.06, 0.18)):
            pen.circle(x + dx, 0.55 + dy, r, (255, 255, 255))


def train(pen: Pen, rng: random.Random) -> None:
    """A steam engine."""
    pen.box(-0.85, -0.6, -0.2, 0.4, pen.inks.main)
    pen.box(-0.7, -0.42, -0.36, -0.08, pen.inks.ground)
    pen.box(-0.95, -0.72, -0.1, -0.58, pen.inks.accent)
    pen.box(-0.2, -0.12, 0.72, 0.4, pen.inks.second)
    pen.polygon([(0.38, -0.12), (0.3, -0.52), (0.66, -0.52), (0.58, -0.12)], pen.inks.main)
    for x in (-0.6, -0.1, 0.42):
        pen.circle(x, 0.52, 0.24, pen.inks.accent)
        pen.circle(x, 0.52, 0.1, pen.inks.ground)
    for x, y, r in ((0.5, -0.68, 0.1), (0.66, -0.84, 0.14)):
        pen.circle(x, y, r, pen.inks.second)


def house(pen: Pen, rng: random.Random) -> None:
    """A small house."""
    pen.box(-0.62, -0.15, 0.62, 0.85, pen.inks.main)
    pen.box(0.3, -0.8, 0.5, -0.3, pen.inks.second)
    pen.polygon([(-0.85, -0.12), (0, -0.9), (0.85, -0.12)], pen.inks.accent)
    pen.box(-0.15, 0.3, 0.15, 0.85, pen.inks.second)
    for x in (-0.42, 0.42):
        pen.box(x - 0.13, 0.05, x + 0.13, 0.3, pen.inks.ground)


def kite(pen: Pen, rng: random.Random) -> None:
    """A kite with its tail."""
    pen.polygon([(0.1, -0.95), (0.6, -0.35), (0.1, 0.35), (-0.4, -0.35)], pen.inks.main)
    pen.polygon([(0.1, -0.95), (0.6, -0.35), (0.1, -0.35)], pen.inks.accent)
    pen.polygon([(0.1, 0.35), (-0.4, -0.35), (0.1, -0.35)], pen.inks.accent)
    tail = [(0.1, 0.35), (-0.1, 0.55), (0.05, 0.75), (-0.3, 0.95)]
    pen.curve(tail, 0.035, pen.inks.second)
    for x, y in tail[1:]:
        pen.polygon(
            [
                (x - 0.12, y - 0.07),
                (x + 0.12, y + 0.07),
                (x + 0.12, y - 0.07),
                (x - 0.12, y + 0.07),
            ],
            pen.inks.second,
        )


def boat(pen: Pen, rng: random.Random) -> None:
    """A toy boat on waves."""
    pen.line([(0, 0.3), (0, -0.95)], 0.06, pen.inks.second)
    pen.polygon([(0.06, -0.9), (0.7, 0.15), (0.06, 0.15)], pen.inks.main)
    pen.polygon([(-0.06, -0.65), (-0.55, 0.15), (-0.06, 0.15)], pen.inks.accent)
    pen.polygon([(-0.85, 0.3), (0.85, 0.3), (0.55, 0.75), (-0.55, 0.75)], pen.inks.second)
    for x in (-0.7, -0.23, 0.23, 0.7):
        pen.arc(x, 0.72, 0.23, 10, 170, 0.06, pen.inks.main)


def snail(pen: Pen, rng: random.Random) -> None:
    """A snail."""
    pen.blob(
        [(-0.95, 0.8), (-0.4, 0.6), (0.4, 0.62), (0.6, 0.1), (0.85, 0.1), (0.9, 0.5), (0.7, 0.85)],
        pen.inks.second,
    )
    pen.circle(-0.1, 0.1, 0.58, pen.inks.main)
    spiral = [
        (-0.1 + 0.045 * i * math.cos(i * 0.62), 0.1 + 0.045 * i * math.sin(i * 0.62))
        for i in range(11)
    ]
    pen.curve(spiral, 0.07, pen.inks.accent)
    for x in (0.66, 0.84):
        pen.line([(x, 0.15), (x + 0.06, -0.25)], 0.04, pen.inks.second)
        pen.circle(x + 0.06, -0.28, 0.06, pen.inks.accent)


def umbrella(pen: Pen, rng: random.Random) -> None:
    """An open umbrella."""
    pen.line([(0, -0.9), (0, 0.7)], 0.06, pen.inks.second)
    pen.arc(-0.15, 0.7, 0.15, 0, 180, 0.06, pen.inks.second)
    pen.polygon(arc_points(0, 0, 0.9, 180, 360, flat=0.85), pen.inks.main)
    pen.polygon(arc_points(0, 0, 0.32, 180, 360, flat=2.35), pen.inks.accent)


def _eyes(pen: Pen, x: float, y: float, r: float) -> None:
    for side in (-1, 1):
        pen.circle(side * x, y, r, pen.inks.ground)
        pen.circle(side * x + r * 0.3, y - r * 0.3, r * 0.35, (255, 255, 255))
