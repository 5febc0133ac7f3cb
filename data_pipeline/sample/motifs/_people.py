"""Motifs of lives: portraits, and the things people are known by."""

import random

from covertune.data_pipeline.sample._pen import Pen, Point


def portrait(pen: Pen, rng: random.Random) -> None:
    """Head and shoulders from the front, with one of several hairs."""
    skin, coat = pen.inks.main, pen.inks.second
    hair = rng.choice(("short", "long", "bald", "bun", "hat"))
    if hair == "long":
        pen.blob(
            [(-0.42, -0.5), (0, -0.98), (0.42, -0.5), (0.5, 0.25), (-0.5, 0.25)], pen.inks.accent
        )
    pen.blob([(-0.98, 1), (-0.85, 0.55), (-0.3, 0.32), (0.3, 0.32), (0.85, 0.55), (0.98, 1)], coat)
    pen.polygon([(-0.15, 0.1), (0.15, 0.1), (0.24, 0.38), (0, 0.6), (-0.24, 0.38)], skin)
    pen.ellipse(0, -0.3, 0.34, 0.46, skin)
    if hair in ("short", "bun"):
        pen.blob(
            [
                (-0.37, -0.3),
                (-0.34, -0.7),
                (0, -0.88),
                (0.34, -0.7),
                (0.37, -0.3),
                (0.22, -0.55),
                (-0.2, -0.58),
            ],
            pen.inks.accent,
        )
    if hair == "bun":
        pen.circle(0, -0.9, 0.17, pen.inks.accent)
    if hair == "hat":
        pen.ellipse(0, -0.6, 0.58, 0.1, pen.inks.accent)
        pen.blob([(-0.34, -0.6), (-0.28, -0.95), (0.28, -0.95), (0.34, -0.6)], pen.inks.accent)
    if rng.random() < 0.4:
        for x in (-0.15, 0.15):
            pen.ring(x, -0.3, 0.11, 0.035, pen.inks.ground)
        pen.line([(-0.05, -0.3), (0.05, -0.3)], 0.03, pen.inks.ground)
    if rng.random() < 0.3:
        pen.blob(
            [
                (-0.3, -0.2),
                (-0.15, -0.02),
                (0.15, -0.02),
                (0.3, -0.2),
                (0.2, 0.18),
                (0, 0.26),
                (-0.2, 0.18),
            ],
            pen.inks.accent,
        )


def profile(pen: Pen, rng: random.Random) -> None:
    """A face from the side, cut out as from black paper."""
    pen.blob(
        [
            (-0.5, 0.98),
            (-0.42, 0.6),
            (-0.2, 0.35),
            (-0.42, 0.05),
            (-0.5, -0.4),
            (-0.2, -0.85),
            (0.2, -0.9),
            (0.45, -0.6),
            (0.46, -0.38),
            (0.62, -0.08),
            (0.47, 0.0),
            (0.5, 0.14),
            (0.42, 0.22),
            (0.42, 0.4),
            (0.15, 0.46),
            (0.16, 0.66),
            (0.5, 0.98),
        ],
        pen.inks.main,
    )
    if rng.random() < 0.5:
        pen.circle(-0.5, -0.45, 0.25, pen.inks.main)
        pen.line([(-0.36, -0.6), (-0.3, -0.2)], 0.05, pen.inks.accent)


def frame(pen: Pen, rng: random.Random) -> None:
    """A framed photograph of somebody."""
    pen.box(-0.72, -0.95, 0.72, 0.95, pen.inks.accent)
    pen.box(-0.6, -0.83, 0.6, 0.83, pen.inks.second)
    pen.ellipse(0, -0.22, 0.24, 0.32, pen.inks.main)
    pen.blob([(-0.58, 0.82), (-0.5, 0.42), (0, 0.2), (0.5, 0.42), (0.58, 0.82)], pen.inks.main)


def polaroids(pen: Pen, rng: random.Random) -> None:
    """Snapshots laid over each other."""
    for x, y, tilt in ((-0.3, -0.3, -0.12), (0.3, 0.1, 0.1)):
        corners = [(-0.5, -0.58), (0.5, -0.58), (0.5, 0.62), (-0.5, 0.62)]
        inner = [(-0.4, -0.48), (0.4, -0.48), (0.4, 0.35), (-0.4, 0.35)]
        pen.polygon([(x + a - b * tilt, y + b + a * tilt) for a, b in corners], pen.inks.accent)
        pen.polygon([(x + a - b * tilt, y + b + a * tilt) for a, b in inner], pen.inks.second)
        pen.circle(x, y - 0.12, 0.17, pen.inks.main)
        pen.blob(
            [(x - 0.32, y + 0.33), (x - 0.2, y + 0.12), (x + 0.2, y + 0.12), (x + 0.32, y + 0.33)],
            pen.inks.main,
        )


def microphone(pen: Pen, rng: random.Random) -> None:
    """A stage microphone on its stand."""
    pen.blob(
        [(-0.3, -0.7), (0, -0.95), (0.3, -0.7), (0.3, -0.15), (0, 0.1), (-0.3, -0.15)],
        pen.inks.main,
    )
    for y in (-0.65, -0.45, -0.25):
        pen.line([(-0.2, y), (0.2, y)], 0.05, pen.inks.ground)
    pen.arc(0, -0.15, 0.45, 0, 180, 0.07, pen.inks.second)
    pen.line([(0, 0.3), (0, 0.85)], 0.08, pen.inks.second)
    pen.line([(-0.35, 0.9), (0.35, 0.9)], 0.1, pen.inks.second)


def quill(pen: Pen, rng: random.Random) -> None:
    """A feather and the line it writes."""
    pen.blob([(-0.3, 0.35), (-0.1, -0.25), (0.5, -0.95), (0.62, -0.5), (0.2, 0.15)], pen.inks.main)
    pen.line([(-0.55, 0.75), (0.45, -0.75)], 0.05, pen.inks.second)
    pen.curve(
        [
            (-0.55, 0.78),
            (-0.3, 0.66),
            (-0.15, 0.9),
            (0.1, 0.7),
            (0.3, 0.9),
            (0.55, 0.72),
            (0.9, 0.84),
        ],
        0.045,
        pen.inks.accent,
    )


def signature(pen: Pen, rng: random.Random) -> None:
    """A name in handwriting."""
    x = -0.95
    points: list[Point] = []
    while x < 0.9:
        points.append((x, rng.uniform(-0.42, 0.0) if len(points) % 2 else rng.uniform(0.05, 0.3)))
        x += rng.uniform(0.1, 0.2)
    pen.curve(points, 0.06, pen.inks.main)
    pen.curve([(-0.8, 0.5), (0.1, 0.42), (0.9, 0.52)], 0.04, pen.inks.accent)


def spectacles(pen: Pen, rng: random.Random) -> None:
    """A pair of round glasses."""
    for x in (-0.5, 0.5):
        pen.ring(x, 0, 0.36, 0.1, pen.inks.main)
    pen.arc(0, 0, 0.16, 200, 340, 0.09, pen.inks.main)
    pen.line([(-0.86, -0.05), (-0.98, -0.2)], 0.08, pen.inks.main)
    pen.line([(0.86, -0.05), (0.98, -0.2)], 0.08, pen.inks.main)


def medal(pen: Pen, rng: random.Random) -> None:
    """A medal on its ribbon."""
    pen.polygon([(-0.45, -0.95), (-0.1, -0.95), (0.2, 0), (-0.1, 0.1)], pen.inks.second)
    pen.polygon([(0.45, -0.95), (0.1, -0.95), (-0.2, 0), (0.1, 0.1)], pen.inks.accent)
    pen.circle(0, 0.42, 0.48, pen.inks.main)
    pen.ring(0, 0.42, 0.34, 0.05, pen.inks.ground)


def guitar(pen: Pen, rng: random.Random) -> None:
    """A guitar."""
    pen.line([(0, 0.1), (0, -0.8)], 0.13, pen.inks.second)
    pen.box(-0.12, -0.98, 0.12, -0.75, pen.inks.accent)
    pen.blob(
        [
            (-0.3, -0.05),
            (0, -0.16),
            (0.3, -0.05),
            (0.26, 0.22),
            (0.46, 0.6),
            (0.25, 0.95),
            (-0.25, 0.95),
            (-0.46, 0.6),
            (-0.26, 0.22),
        ],
        pen.inks.main,
    )
    pen.circle(0, 0.38, 0.15, pen.inks.ground)
    pen.line([(-0.16, 0.72), (0.16, 0.72)], 0.06, pen.inks.second)


def typewriter(pen: Pen, rng: random.Random) -> None:
    """A typewriter with a sheet."""
    pen.box(-0.48, -0.95, 0.48, -0.1, pen.inks.accent)
    for y in (-0.75, -0.58, -0.41):
        pen.line([(-0.34, y), (0.3, y)], 0.04, pen.inks.ground)
    pen.line([(-0.85, -0.15), (0.85, -0.15)], 0.16, pen.inks.second)
    pen.polygon([(-0.65, -0.05), (0.65, -0.05), (0.9, 0.8), (-0.9, 0.8)], pen.inks.main)
    for row, y in enumerate((0.2, 0.4, 0.6)):
        for k in range(6):
            pen.circle((k - 2.5) * (0.2 + row * 0.03), y, 0.065, pen.inks.ground)
