"""Motifs of crime: blades, prints, keys, shadows."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen, arc_points


def knife(pen: Pen, rng: random.Random) -> None:
    """A knife, point up, at times with a drop."""
    pen.polygon(
        [(-0.14, 0.25), (-0.14, -0.6), (0.02, -1), (0.14, -0.5), (0.14, 0.25)], pen.inks.main
    )
    pen.line([(0.02, 0.2), (0.02, -0.7)], 0.02, pen.inks.ground)
    pen.box(-0.24, 0.22, 0.24, 0.32, pen.inks.second)
    pen.blob(
        [(-0.12, 0.32), (0.12, 0.32), (0.16, 0.7), (0.1, 0.98), (-0.1, 0.98), (-0.14, 0.7)],
        pen.inks.second,
    )
    if rng.random() < 0.6:
        pen.blob([(0.45, -0.35), (0.56, -0.05), (0.45, 0.08), (0.34, -0.05)], pen.inks.accent)


def fingerprint(pen: Pen, rng: random.Random) -> None:
    """The ridges of a finger."""
    for i in range(7):
        r = 0.12 + 0.115 * i
        gap = rng.uniform(0, 50)
        ink = pen.inks.accent if rng.random() < 0.2 else pen.inks.main
        pen.arc(0, 0, r, 150 + gap * 0.4, 395 - gap * 0.3, 0.05, ink, flat=1.22)
        pen.arc(0, 0.02, r, 40 + gap, 132 - gap * 0.2, 0.05, ink, flat=1.15)


def magnifier(pen: Pen, rng: random.Random) -> None:
    """A magnifying glass."""
    pen.line([(0.25, 0.25), (0.85, 0.85)], 0.2, pen.inks.second)
    pen.circle(-0.2, -0.2, 0.66, pen.inks.main)
    pen.circle(-0.2, -0.2, 0.53, pen.inks.ground)
    pen.arc(-0.2, -0.2, 0.38, 190, 260, 0.06, pen.inks.accent)


def keyhole(pen: Pen, rng: random.Random) -> None:
    """A lit keyhole in its plate."""
    pen.blob(
        [(-0.5, -0.7), (0, -0.98), (0.5, -0.7), (0.52, 0.7), (0, 0.98), (-0.52, 0.7)], pen.inks.main
    )
    pen.circle(0, -0.25, 0.25, pen.inks.ground)
    pen.polygon([(-0.12, -0.15), (0.12, -0.15), (0.26, 0.55), (-0.26, 0.55)], pen.inks.ground)


def key(pen: Pen, rng: random.Random) -> None:
    """An old key."""
    pen.ring(0, -0.62, 0.28, 0.13, pen.inks.main)
    pen.line([(0, -0.32), (0, 0.9)], 0.13, pen.inks.main)
    pen.box(0, 0.5, 0.32, 0.62, pen.inks.main)
    pen.box(0, 0.74, 0.4, 0.88, pen.inks.main)
    pen.circle(0, -0.62, 0.1, pen.inks.accent)


def stranger(pen: Pen, rng: random.Random) -> None:
    """A figure in hat and coat, seen whole."""
    ink = pen.inks.main
    pen.ellipse(0, -0.74, 0.32, 0.07, ink)
    pen.blob([(-0.17, -0.76), (-0.13, -0.97), (0.13, -0.97), (0.17, -0.76)], ink)
    pen.circle(0, -0.63, 0.13, ink)
    pen.blob(
        [
            (-0.1, -0.5),
            (-0.34, -0.4),
            (-0.4, 0.1),
            (-0.38, 0.55),
            (0.38, 0.55),
            (0.4, 0.1),
            (0.34, -0.4),
            (0.1, -0.5),
        ],
        ink,
    )
    pen.polygon([(-0.24, 0.5), (-0.04, 0.5), (-0.1, 1), (-0.28, 1)], ink)
    pen.polygon([(0.24, 0.5), (0.04, 0.5), (0.12, 1), (0.3, 1)], ink)
    pen.polygon([(-0.05, -0.46), (0.05, -0.46), (0, -0.1)], pen.inks.accent)


def runner(pen: Pen, rng: random.Random) -> None:
    """Somebody running away."""
    ink = pen.inks.main
    pen.circle(0.18, -0.72, 0.17, ink)
    pen.blob(
        [(0.0, -0.55), (0.22, -0.5), (0.2, -0.1), (0.05, 0.2), (-0.2, 0.15), (-0.12, -0.25)], ink
    )
    pen.line([(0.05, -0.42), (0.42, -0.15), (0.66, -0.35)], 0.12, ink)
    pen.line([(0.02, -0.4), (-0.35, -0.3), (-0.48, 0.02)], 0.12, ink)
    pen.line([(0, 0.12), (0.4, 0.4), (0.3, 0.92)], 0.16, ink)
    pen.line([(-0.1, 0.12), (-0.32, 0.55), (-0.82, 0.6)], 0.16, ink)


def footprints(pen: Pen, rng: random.Random) -> None:
    """Soles that lead away."""
    for i, (x, y) in enumerate(((-0.25, 0.75), (0.25, 0.3), (-0.2, -0.2), (0.22, -0.65))):
        size = 1 - i * 0.14
        ink = pen.inks.main if i != 3 else pen.inks.accent
        pen.ellipse(x, y - 0.12 * size, 0.13 * size, 0.2 * size, ink)
        pen.ellipse(x, y + 0.2 * size, 0.09 * size, 0.1 * size, ink)


def shot(pen: Pen, rng: random.Random) -> None:
    """A hole in glass with cracks."""
    for i in range(11):
        t = 2 * math.pi * (i + rng.uniform(-0.3, 0.3)) / 11
        far, bend = rng.uniform(0.6, 1.0), rng.uniform(-0.25, 0.25)
        mid = (0.5 * far * math.cos(t + bend), 0.5 * far * math.sin(t + bend))
        pen.line([(0, 0), mid, (far * math.cos(t), far * math.sin(t))], 0.03, pen.inks.main)
    for r in (0.3, 0.5):
        start = rng.uniform(0, 360)
        pen.arc(0, 0, r, start, start + 210, 0.025, pen.inks.main)
    pen.circle(0, 0, 0.17, pen.inks.main)
    pen.circle(0, 0, 0.12, pen.inks.accent)


def handcuffs(pen: Pen, rng: random.Random) -> None:
    """Handcuffs."""
    for x, y in ((-0.5, 0.25), (0.5, -0.15)):
        pen.ring(x, y, 0.4, 0.12, pen.inks.main)
        pen.circle(x * 0.45, y - 0.02, 0.14, pen.inks.second)
    pen.line([(-0.2, 0.2), (0.2, -0.1)], 0.07, pen.inks.accent)


def bare_tree(pen: Pen, rng: random.Random) -> None:
    """A tree without leaves."""

    def branch(x: float, y: float, angle: float, length: float, depth: int) -> None:
        x2, y2 = x + length * math.sin(angle), y - length * math.cos(angle)
        pen.line([(x, y), (x2, y2)], 0.035 * depth, pen.inks.main)
        if depth > 1:
            for side in (-1, 1):
                turn = angle + side * rng.uniform(0.3, 0.65)
                branch(x2, y2, turn, length * rng.uniform(0.66, 0.8), depth - 1)

    branch(0, 1, rng.uniform(-0.1, 0.1), 0.62, 5)


def eye(pen: Pen, rng: random.Random) -> None:
    """An eye that watches."""
    lid = arc_points(0, 0.62, 1.14, 215, 325) + arc_points(0, -0.62, 1.14, 35, 145)
    pen.polygon(lid, pen.inks.main)
    pen.circle(0, 0, 0.42, pen.inks.accent)
    pen.circle(0, 0, 0.2, pen.inks.ground)
    pen.circle(0.12, -0.14, 0.07, pen.inks.main)


def hourglass(pen: Pen, rng: random.Random) -> None:
    """Sand that runs out."""
    pen.polygon(
        [(-0.5, -0.75), (0.5, -0.75), (0.06, 0), (0.5, 0.75), (-0.5, 0.75), (-0.06, 0)],
        pen.inks.main,
    )
    pen.polygon([(-0.3, -0.45), (0.3, -0.45), (0, 0)], pen.inks.accent)
    pen.polygon([(-0.42, 0.7), (0.42, 0.7), (0, 0.3)], pen.inks.accent)
    for y in (-0.85, 0.85):
        pen.box(-0.62, y - 0.1, 0.62, y + 0.1, pen.inks.second)
