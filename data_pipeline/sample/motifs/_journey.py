"""Motifs of travel: planes, palms, compasses, globes."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen, star_points


def plane(pen: Pen, rng: random.Random) -> None:
    """An airliner from above."""
    pen.polygon([(-0.1, -0.2), (-0.98, 0.3), (-0.98, 0.45), (-0.1, 0.2)], pen.inks.second)
    pen.polygon([(0.1, -0.2), (0.98, 0.3), (0.98, 0.45), (0.1, 0.2)], pen.inks.second)
    pen.polygon([(0, 0.6), (-0.38, 0.9), (0.38, 0.9)], pen.inks.second)
    pen.blob(
        [(0, -1), (0.13, -0.7), (0.12, 0.4), (0, 0.95), (-0.12, 0.4), (-0.13, -0.7)], pen.inks.main
    )


def suitcase(pen: Pen, rng: random.Random) -> None:
    """A suitcase with stickers."""
    pen.line([(-0.25, -0.5), (-0.25, -0.85), (0.25, -0.85), (0.25, -0.5)], 0.08, pen.inks.second)
    pen.box(-0.75, -0.55, 0.75, 0.85, pen.inks.main)
    for x in (-0.5, 0.5):
        pen.line([(x, -0.55), (x, 0.85)], 0.09, pen.inks.second)
    pen.circle(0.1, 0.1, 0.2, pen.inks.accent)
    pen.polygon(star_points(-0.18, 0.5, 0.18, 0.08), pen.inks.accent)


def compass(pen: Pen, rng: random.Random) -> None:
    """A compass rose."""
    pen.ring(0, 0, 0.88, 0.07, pen.inks.main)
    pen.polygon(star_points(0, 0, 0.55, 0.2, 8), pen.inks.second)
    pen.polygon(star_points(0, 0, 0.82, 0.14, 4), pen.inks.main)
    pen.polygon([(0, -0.82), (0.12, 0), (-0.12, 0)], pen.inks.accent)


def palm(pen: Pen, rng: random.Random) -> None:
    """A palm on an island."""
    pen.ellipse(0, 0.88, 0.85, 0.14, pen.inks.accent)
    pen.curve([(-0.1, 0.88), (-0.05, 0.3), (0.15, -0.35)], 0.11, pen.inks.second)
    for dx, dy in (
        (-0.8, -0.15),
        (-0.6, -0.5),
        (0.0, -0.65),
        (0.55, -0.5),
        (0.75, -0.1),
        (-0.35, 0.15),
        (0.4, 0.2),
    ):
        tip = (0.15 + dx, -0.35 + dy)
        mid = (0.15 + dx * 0.5 - dy * 0.12, -0.35 + dy * 0.5 - 0.2)
        low = (0.15 + dx * 0.5, -0.35 + dy * 0.5 - 0.03)
        pen.blob([(0.15, -0.35), mid, tip, low], pen.inks.main)


def pin(pen: Pen, rng: random.Random) -> None:
    """A map pin over its spot."""
    pen.ellipse(0, 0.86, 0.45, 0.12, pen.inks.second)
    pen.circle(0, -0.38, 0.55, pen.inks.main)
    pen.polygon([(-0.5, -0.15), (0.5, -0.15), (0, 0.85)], pen.inks.main)
    pen.circle(0, -0.38, 0.24, pen.inks.accent)


def lighthouse(pen: Pen, rng: random.Random) -> None:
    """A lighthouse with its beam."""
    pen.polygon([(0, -0.62), (0.98, -0.98), (0.98, -0.35)], pen.inks.accent)
    pen.polygon([(-0.2, -0.45), (0.2, -0.45), (0.34, 0.9), (-0.34, 0.9)], pen.inks.main)
    for y in (-0.2, 0.25, 0.68):
        half = 0.2 + (y + 0.45) * 0.104
        pen.box(-half, y, half, y + 0.17, pen.inks.second)
    pen.box(-0.17, -0.75, 0.17, -0.45, pen.inks.accent)
    pen.polygon([(-0.24, -0.75), (0.24, -0.75), (0, -0.98)], pen.inks.second)


def globe(pen: Pen, rng: random.Random) -> None:
    """A globe with its grid."""
    pen.circle(0, 0, 0.85, pen.inks.main)
    for rx in (0.3, 0.62):
        points = [(rx * math.cos(t / 10), 0.83 * math.sin(t / 10)) for t in range(64)]
        pen.line(points, 0.035, pen.inks.second)
    for y in (-0.45, 0, 0.45):
        half = math.sqrt(0.72 - y * y)
        pen.line([(-half, y), (half, y)], 0.035, pen.inks.second)
    pen.line([(0, -0.85), (0, 0.85)], 0.035, pen.inks.second)


def road(pen: Pen, rng: random.Random) -> None:
    """A road to the horizon."""
    pen.polygon([(-0.9, 1), (0.9, 1), (0.08, -0.5), (-0.08, -0.5)], pen.inks.second)
    for near, far in ((0.95, 0.6), (0.4, 0.1), (-0.05, -0.25)):
        a, b = 0.03 + (near + 0.5) * 0.03, 0.03 + (far + 0.5) * 0.03
        pen.polygon([(-a, near), (a, near), (b, far), (-b, far)], pen.inks.accent)
    pen.circle(0, -0.6, 0.3, pen.inks.main)


def tent(pen: Pen, rng: random.Random) -> None:
    """A tent under a star."""
    pen.polygon([(-0.95, 0.8), (0, -0.55), (0.95, 0.8)], pen.inks.main)
    pen.polygon([(-0.3, 0.8), (0, -0.2), (0.3, 0.8)], pen.inks.ground)
    pen.line([(-0.12, -0.75), (0, -0.55), (0.12, -0.75)], 0.05, pen.inks.second)
    pen.polygon(star_points(0.6, -0.7, 0.2, 0.08), pen.inks.accent)


def camera(pen: Pen, rng: random.Random) -> None:
    """A camera."""
    pen.box(-0.35, -0.68, 0.35, -0.4, pen.inks.second)
    pen.box(-0.92, -0.48, 0.92, 0.65, pen.inks.main)
    pen.circle(0, 0.1, 0.45, pen.inks.second)
    pen.circle(0, 0.1, 0.33, pen.inks.ground)
    pen.circle(0, 0.1, 0.16, pen.inks.accent)
    pen.circle(0.68, -0.25, 0.09, pen.inks.accent)


def hot_air(pen: Pen, rng: random.Random) -> None:
    """A hot-air balloon."""
    pen.ellipse(0, -0.3, 0.68, 0.68, pen.inks.main)
    pen.ellipse(0, -0.3, 0.36, 0.68, pen.inks.accent)
    pen.ellipse(0, -0.3, 0.13, 0.68, pen.inks.main)
    for x in (-0.4, 0.4):
        pen.line([(x, 0.22), (x * 0.4, 0.68)], 0.03, pen.inks.second)
    pen.box(-0.18, 0.66, 0.18, 0.92, pen.inks.second)
