"""Motifs of the sky and of machines: rockets, planets, robots, moons."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen, star_points


def rocket(pen: Pen, rng: random.Random) -> None:
    """A rocket with its flame."""
    pen.blob([(-0.16, 0.6), (0, 1.0), (0.16, 0.6), (0, 0.52)], pen.inks.accent)
    pen.polygon([(-0.3, 0.1), (-0.62, 0.55), (-0.55, 0.75), (-0.2, 0.5)], pen.inks.second)
    pen.polygon([(0.3, 0.1), (0.62, 0.55), (0.55, 0.75), (0.2, 0.5)], pen.inks.second)
    pen.blob(
        [(0, -1), (0.3, -0.5), (0.34, 0.1), (0.22, 0.6), (-0.22, 0.6), (-0.34, 0.1), (-0.3, -0.5)],
        pen.inks.main,
    )
    pen.circle(0, -0.28, 0.17, pen.inks.second)
    pen.circle(0, -0.28, 0.1, pen.inks.ground)


def planet(pen: Pen, rng: random.Random) -> None:
    """A planet with rings."""
    tilt = rng.uniform(-0.35, -0.1)
    back = [(0.98 * math.cos(t), 0.25 * math.sin(t) + tilt * math.cos(t)) for t in _half(0)]
    front = [(0.98 * math.cos(t), 0.25 * math.sin(t) + tilt * math.cos(t)) for t in _half(1)]
    pen.line(front, 0.07, pen.inks.accent)
    pen.circle(0, 0, 0.6, pen.inks.main)
    for y in (-0.3, 0.02, 0.3):
        half = math.sqrt(0.34 - y * y) * 0.92
        pen.line([(-half, y), (half * 0.5, y)], 0.06, pen.inks.second)
    pen.line(back, 0.07, pen.inks.accent)


def astronaut(pen: Pen, rng: random.Random) -> None:
    """A helmet and shoulders."""
    pen.blob(
        [(-0.9, 1), (-0.7, 0.45), (-0.2, 0.3), (0.2, 0.3), (0.7, 0.45), (0.9, 1)], pen.inks.main
    )
    pen.circle(0, -0.22, 0.68, pen.inks.main)
    pen.ellipse(0, -0.2, 0.5, 0.42, pen.inks.ground)
    pen.arc(0.02, -0.2, 0.36, 195, 265, 0.07, pen.inks.accent)
    pen.box(-0.3, 0.6, 0.3, 0.85, pen.inks.second)


def ufo(pen: Pen, rng: random.Random) -> None:
    """A flying saucer with its beam."""
    pen.polygon([(-0.25, 0), (0.25, 0), (0.7, 1), (-0.7, 1)], pen.inks.accent)
    pen.circle(0, -0.28, 0.36, pen.inks.second)
    pen.ellipse(0, -0.1, 0.95, 0.24, pen.inks.main)
    for x in (-0.6, -0.2, 0.2, 0.6):
        pen.circle(x, -0.08, 0.07, pen.inks.ground)


def robot(pen: Pen, rng: random.Random) -> None:
    """A robot's head."""
    pen.line([(0, -0.55), (0, -0.85)], 0.07, pen.inks.main)
    pen.circle(0, -0.88, 0.11, pen.inks.accent)
    pen.box(-0.65, -0.55, 0.65, 0.5, pen.inks.main)
    pen.box(-0.85, -0.25, -0.65, 0.2, pen.inks.second)
    pen.box(0.65, -0.25, 0.85, 0.2, pen.inks.second)
    for x in (-0.28, 0.28):
        pen.circle(x, -0.18, 0.18, pen.inks.ground)
        pen.circle(x, -0.18, 0.09, pen.inks.accent)
    pen.box(-0.35, 0.17, 0.35, 0.32, pen.inks.ground)
    pen.box(-0.3, 0.5, 0.3, 0.7, pen.inks.second)
    pen.blob([(-0.8, 1), (-0.6, 0.7), (0.6, 0.7), (0.8, 1)], pen.inks.main)


def satellite(pen: Pen, rng: random.Random) -> None:
    """A satellite with two panels."""
    pen.line([(-0.9, 0), (0.9, 0)], 0.06, pen.inks.second)
    for left in (-0.95, 0.35):
        pen.box(left, -0.28, left + 0.6, 0.28, pen.inks.main)
        for k in (0.2, 0.4):
            pen.line([(left + k, -0.28), (left + k, 0.28)], 0.025, pen.inks.ground)
        pen.line([(left, 0), (left + 0.6, 0)], 0.025, pen.inks.ground)
    pen.box(-0.22, -0.36, 0.22, 0.36, pen.inks.second)
    pen.arc(0, 0.75, 0.4, 200, 340, 0.08, pen.inks.accent)
    pen.line([(0, 0.36), (0, 0.8)], 0.05, pen.inks.accent)


def galaxy(pen: Pen, rng: random.Random) -> None:
    """A spiral of stars."""
    for arm in range(2):
        for i in range(34):
            t, r = i / 5.2 + arm * math.pi, 0.08 + i * 0.027
            spot = rng.uniform(-0.05, 0.05)
            ink = pen.inks.main if i % 3 else pen.inks.accent
            size = 0.1 - i * 0.0022
            pen.circle(r * math.cos(t) + spot, 0.62 * r * math.sin(t) + spot, size, ink)
    pen.ellipse(0, 0, 0.24, 0.16, pen.inks.second)


def atom(pen: Pen, rng: random.Random) -> None:
    """A nucleus and three orbits."""
    for turn in (0.0, math.pi / 3, -math.pi / 3):
        c, s = math.cos(turn), math.sin(turn)
        orbit = [(0.95 * math.cos(t), 0.32 * math.sin(t)) for t in _half(0) + _half(1)]
        pen.line([(a * c - b * s, a * s + b * c) for a, b in orbit], 0.05, pen.inks.main)
        pen.circle(0.95 * c, 0.95 * s, 0.09, pen.inks.accent)
    pen.circle(0, 0, 0.16, pen.inks.second)


def moon(pen: Pen, rng: random.Random) -> None:
    """A crescent, at times with stars."""
    pen.circle(0, 0, 0.85, pen.inks.main)
    pen.circle(0.36, -0.12, 0.72, pen.inks.ground)
    for x, y, r in ((0.35, -0.1, 0.2), (0.68, 0.32, 0.12))[: rng.randint(0, 2)]:
        pen.polygon(star_points(x, y, r, r * 0.4), pen.inks.accent)


def star(pen: Pen, rng: random.Random) -> None:
    """A five-pointed star with two small ones."""
    pen.polygon(star_points(0, 0.05, 0.9, 0.38), pen.inks.main)
    for x, y in ((0.75, -0.7), (-0.8, 0.72))[: rng.randint(0, 2)]:
        pen.polygon(star_points(x, y, 0.22, 0.09), pen.inks.accent)


def sun(pen: Pen, rng: random.Random) -> None:
    """A sun with rays."""
    rays = rng.choice((8, 12))
    for i in range(rays):
        t = 2 * math.pi * i / rays
        reach = 0.97 if i % 2 else 0.85
        tip = (reach * math.cos(t), reach * math.sin(t))
        sides = [(0.55 * math.cos(t + d), 0.55 * math.sin(t + d)) for d in (-0.16, 0.16)]
        pen.polygon([tip, *sides], pen.inks.accent)
    pen.circle(0, 0, 0.52, pen.inks.main)


def telescope(pen: Pen, rng: random.Random) -> None:
    """A telescope on three legs."""
    for x in (-0.45, 0.05, 0.5):
        pen.line([(0, 0.1), (x, 0.95)], 0.07, pen.inks.second)
    pen.polygon([(-0.62, 0.4), (-0.72, 0.2), (0.35, -0.38), (0.5, -0.12)], pen.inks.main)
    pen.polygon([(0.3, -0.45), (0.8, -0.72), (1, -0.36), (0.52, -0.06)], pen.inks.accent)


def _half(which: int) -> list[float]:
    start = math.pi * which
    return [start + math.pi * i / 16 for i in range(17)]
