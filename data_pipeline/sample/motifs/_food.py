"""Motifs of the kitchen: plates, pots, fruit, herbs."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen, arc_points


def plate(pen: Pen, rng: random.Random) -> None:
    """A plate between fork and knife."""
    pen.circle(0, 0, 0.62, pen.inks.main)
    pen.circle(0, 0, 0.46, pen.inks.ground)
    pen.circle(0, 0, 0.4, pen.inks.main)
    for _ in range(rng.randint(3, 5)):
        ink = rng.choice((pen.inks.second, pen.inks.accent))
        pen.circle(rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), 0.12, ink)
    pen.line([(-0.85, -0.2), (-0.85, 0.8)], 0.07, pen.inks.second)
    for x in (-0.97, -0.85, -0.73):
        pen.line([(x, -0.75), (x, -0.3), (-0.85, -0.15)], 0.04, pen.inks.second)
    pen.polygon([(0.8, -0.78), (0.97, -0.5), (0.95, 0.15), (0.8, 0.15)], pen.inks.second)
    pen.line([(0.84, 0.1), (0.84, 0.8)], 0.07, pen.inks.second)


def pot(pen: Pen, rng: random.Random) -> None:
    """A steaming pot."""
    pen.blob(
        [(-0.65, -0.1), (0.65, -0.1), (0.68, 0.4), (0.5, 0.8), (-0.5, 0.8), (-0.68, 0.4)],
        pen.inks.main,
    )
    for side in (-1, 1):
        pen.line([(side * 0.66, 0.1), (side * 0.95, 0.1)], 0.13, pen.inks.second)
    pen.blob([(-0.72, -0.1), (-0.3, -0.32), (0.3, -0.32), (0.72, -0.1)], pen.inks.second)
    pen.circle(0, -0.36, 0.09, pen.inks.accent)
    for x in (-0.35, 0, 0.35):
        pen.curve(
            [(x, -0.5), (x + 0.08, -0.64), (x - 0.08, -0.8), (x, -0.95)], 0.045, pen.inks.accent
        )


def bowl(pen: Pen, rng: random.Random) -> None:
    """A filled bowl with chopsticks or a spoon."""
    pen.line([(0.1, 0), (0.75, -0.9)], 0.06, pen.inks.second)
    pen.line([(0.25, 0), (0.92, -0.78)], 0.06, pen.inks.second)
    for x, y, r in ((-0.5, -0.05, 0.22), (-0.12, -0.14, 0.28), (0.3, -0.08, 0.25)):
        pen.circle(x, y, r, rng.choice((pen.inks.accent, pen.inks.second)))
    pen.polygon(arc_points(0, 0, 0.88, 0, 180, flat=0.92), pen.inks.main)
    pen.box(-0.32, 0.76, 0.32, 0.9, pen.inks.main)
    pen.arc(0, 0, 0.66, 20, 160, 0.06, pen.inks.ground, flat=0.9)


def tomato(pen: Pen, rng: random.Random) -> None:
    """A round fruit with its leaves."""
    pen.ellipse(0, 0.15, 0.82, 0.74, pen.inks.main)
    for i in range(5):
        t = math.radians(-90 + (i - 2) * 42)
        tip = (0.5 * math.cos(t), -0.45 + 0.4 * math.sin(t) + 0.22)
        pen.polygon([(-0.08, -0.5), (0.08, -0.4), tip], pen.inks.second)
    pen.line([(0, -0.5), (0.08, -0.9)], 0.08, pen.inks.second)
    pen.arc(0, 0.15, 0.58, 195, 250, 0.08, pen.inks.accent)


def lemon(pen: Pen, rng: random.Random) -> None:
    """A slice of citrus."""
    pen.circle(0, 0, 0.9, pen.inks.main)
    pen.circle(0, 0, 0.78, pen.inks.accent)
    for i in range(8):
        t = 360 * i / 8
        wedge = [(0.06 * _cos(t + 22), 0.06 * _sin(t + 22)), *arc_points(0, 0, 0.7, t + 4, t + 41)]
        pen.polygon(wedge, pen.inks.main)


def carrot(pen: Pen, rng: random.Random) -> None:
    """A carrot."""
    for x in (-0.35, 0, 0.35):
        pen.blob([(0, -0.4), (x - 0.1, -0.8), (x, -1), (x + 0.12, -0.78)], pen.inks.second)
    pen.blob(
        [(-0.34, -0.35), (0, -0.48), (0.34, -0.35), (0.2, 0.3), (0, 1), (-0.2, 0.3)], pen.inks.main
    )
    for x, y in ((-0.2, -0.1), (0.05, 0.15), (-0.1, 0.45)):
        pen.line([(x, y), (x + 0.16, y + 0.03)], 0.035, pen.inks.ground)


def cupcake(pen: Pen, rng: random.Random) -> None:
    """A cupcake with a cherry."""
    pen.polygon([(-0.6, 0.1), (0.6, 0.1), (0.42, 0.92), (-0.42, 0.92)], pen.inks.second)
    for x in (-0.25, 0, 0.25):
        pen.line([(x * 1.2, 0.15), (x, 0.88)], 0.035, pen.inks.ground)
    for y, half in ((0.05, 0.68), (-0.22, 0.52), (-0.46, 0.34)):
        pen.ellipse(0, y, half, 0.2, pen.inks.main)
    pen.circle(0, -0.72, 0.16, pen.inks.accent)


def whisk(pen: Pen, rng: random.Random) -> None:
    """A whisk crossed with a spoon."""
    pen.line([(-0.85, 0.9), (0.1, -0.1)], 0.11, pen.inks.second)
    for spread in (0.1, 0.26, 0.42):
        a, b = 0.12, -0.12
        pen.curve(
            [
                (a, b),
                (0.35 - spread, -0.55 - spread * 0.3),
                (0.78, -0.85),
                (0.55 + spread * 0.8, -0.35 + spread),
                (a, b),
            ],
            0.04,
            pen.inks.main,
        )
    pen.line([(0.85, 0.9), (-0.35, -0.35)], 0.1, pen.inks.accent)
    pen.ellipse(-0.55, -0.58, 0.34, 0.22, pen.inks.accent, turn_deg=48)


def herb(pen: Pen, rng: random.Random) -> None:
    """A sprig of leaves."""
    pen.curve([(0, 1), (0.05, 0.2), (0, -0.7)], 0.05, pen.inks.second)
    for i, y in enumerate((0.6, 0.3, 0, -0.3)):
        size = 0.48 - i * 0.06
        for side in (-1, 1):
            pen.blob(
                [
                    (0, y),
                    (side * size * 0.5, y - size * 0.6),
                    (side * size * 1.25, y - size * 0.55),
                    (side * size * 0.7, y - 0.02),
                ],
                pen.inks.main,
            )
    pen.blob([(0, -0.45), (0.16, -0.72), (0, -1), (-0.16, -0.72)], pen.inks.main)


def fish(pen: Pen, rng: random.Random) -> None:
    """A fish from the side."""
    pen.polygon([(-0.45, 0), (-0.98, -0.42), (-0.86, 0), (-0.98, 0.42)], pen.inks.second)
    pen.blob(
        [(-0.55, 0), (-0.1, -0.42), (0.5, -0.36), (0.95, 0), (0.5, 0.36), (-0.1, 0.42)],
        pen.inks.main,
    )
    for x in (-0.15, 0.12):
        pen.arc(x - 0.15, 0, 0.28, -50, 50, 0.045, pen.inks.second)
    pen.circle(0.62, -0.1, 0.075, pen.inks.ground)
    pen.arc(0.38, 0, 0.3, -62, 62, 0.05, pen.inks.accent)


def pizza(pen: Pen, rng: random.Random) -> None:
    """A slice of pizza."""
    pen.polygon([(-0.72, -0.55), (0.72, -0.55), (0, 1)], pen.inks.main)
    pen.line([(-0.74, -0.62), (0, -0.76), (0.74, -0.62)], 0.26, pen.inks.second)
    for x, y in ((-0.3, -0.3), (0.28, -0.22), (0, 0.12), (0.05, 0.52)):
        pen.circle(x, y, 0.13, pen.inks.accent)


def cup(pen: Pen, rng: random.Random) -> None:
    """A cup of coffee."""
    pen.ring(0.55, 0.2, 0.26, 0.11, pen.inks.main)
    pen.blob(
        [(-0.62, -0.22), (0.56, -0.22), (0.52, 0.45), (0.2, 0.72), (-0.26, 0.72), (-0.58, 0.45)],
        pen.inks.main,
    )
    pen.ellipse(-0.03, 0.84, 0.8, 0.1, pen.inks.second)
    for x in (-0.25, 0.12):
        pen.curve(
            [(x, -0.38), (x + 0.1, -0.55), (x - 0.06, -0.74), (x + 0.04, -0.95)],
            0.06,
            pen.inks.accent,
        )


def bottle(pen: Pen, rng: random.Random) -> None:
    """A bottle and a glass."""
    pen.blob(
        [
            (-0.55, -0.95),
            (-0.32, -0.95),
            (-0.3, -0.4),
            (-0.12, -0.1),
            (-0.1, 0.9),
            (-0.75, 0.9),
            (-0.73, -0.1),
            (-0.55, -0.4),
        ],
        pen.inks.main,
    )
    pen.box(-0.7, 0.15, -0.14, 0.55, pen.inks.accent)
    pen.blob([(0.15, -0.3), (0.8, -0.3), (0.78, 0.1), (0.48, 0.35), (0.18, 0.1)], pen.inks.second)
    pen.line([(0.48, 0.3), (0.48, 0.85)], 0.06, pen.inks.second)
    pen.line([(0.22, 0.88), (0.74, 0.88)], 0.07, pen.inks.second)


def _cos(turn_deg: float) -> float:
    return math.cos(math.radians(turn_deg))


def _sin(turn_deg: float) -> float:
    return math.sin(math.radians(turn_deg))
