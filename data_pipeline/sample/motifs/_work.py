"""Motifs of business: charts, gears, bulbs, cases."""

import math
import random

from covertune.data_pipeline.sample._pen import Pen


def bars(pen: Pen, rng: random.Random) -> None:
    """A bar chart that grows, with an arrow."""
    heights = sorted(rng.uniform(0.25, 1.3) for _ in range(5))
    for i, height in enumerate(heights):
        x = -0.85 + i * 0.36
        ink = pen.inks.accent if i == 4 else pen.inks.main
        pen.box(x, 0.85 - height, x + 0.26, 0.85, ink)
    pen.line([(-0.95, 0.9), (0.98, 0.9)], 0.05, pen.inks.second)
    if rng.random() < 0.6:
        arrow(pen, rng, low=0.1)


def arrow(pen: Pen, rng: random.Random, *, low: float = 0.75) -> None:
    """A line that climbs and ends in an arrow."""
    ys = (low, low - 0.3, low - 0.15, low - 0.7)
    points = list(zip((-0.9, -0.4, 0.0, 0.62), (y * 0.9 for y in ys), strict=True))
    pen.line(points, 0.1, pen.inks.second)
    (ax, ay), (bx, by) = points[-2], points[-1]
    t = math.atan2(by - ay, bx - ax)
    tip = (bx + 0.3 * math.cos(t), by + 0.3 * math.sin(t))
    wings = [(bx + 0.22 * math.cos(t + d), by + 0.22 * math.sin(t + d)) for d in (1.57, -1.57)]
    pen.polygon([tip, *wings], pen.inks.second)


def pie(pen: Pen, rng: random.Random) -> None:
    """A pie chart with one piece pulled out."""
    cut = rng.uniform(50, 110)
    pen.polygon([(0, 0), *_rim(0, 0, 0.82, cut, 360)], pen.inks.main)
    middle = rng.uniform(cut + 60, 300)
    pen.polygon([(0, 0), *_rim(0, 0, 0.82, cut, middle)], pen.inks.second)
    t = math.radians(cut / 2)
    x, y = 0.16 * math.cos(t), 0.16 * math.sin(t)
    pen.polygon([(x, y), *_rim(x, y, 0.82, 0, cut)], pen.inks.accent)


def gears(pen: Pen, rng: random.Random) -> None:
    """Two wheels that turn each other."""
    for x, y, r, teeth, ink in (
        (-0.25, 0.22, 0.52, 10, pen.inks.main),
        (0.52, -0.45, 0.33, 8, pen.inks.accent),
    ):
        points = []
        for i in range(teeth * 4):
            t = 2 * math.pi * i / (teeth * 4)
            reach = r * (1.22 if i % 4 < 2 else 1.0)
            points.append((x + reach * math.cos(t), y + reach * math.sin(t)))
        pen.polygon(points, ink)
        pen.circle(x, y, r * 0.42, pen.inks.ground)


def bulb(pen: Pen, rng: random.Random) -> None:
    """A light bulb with rays."""
    for i in range(7):
        t = math.radians(180 + 30 * i)
        inner, outer = 0.72, 0.95
        pen.line(
            [
                (inner * math.cos(t), -0.2 + inner * math.sin(t)),
                (outer * math.cos(t), -0.2 + outer * math.sin(t)),
            ],
            0.06,
            pen.inks.accent,
        )
    pen.circle(0, -0.2, 0.52, pen.inks.main)
    pen.polygon([(-0.38, 0.1), (0.38, 0.1), (0.24, 0.5), (-0.24, 0.5)], pen.inks.main)
    for y in (0.58, 0.72):
        pen.line([(-0.2, y), (0.2, y)], 0.1, pen.inks.second)
    pen.line([(-0.08, 0.88), (0.08, 0.88)], 0.1, pen.inks.second)


def briefcase(pen: Pen, rng: random.Random) -> None:
    """A briefcase."""
    pen.line([(-0.28, -0.4), (-0.28, -0.68), (0.28, -0.68), (0.28, -0.4)], 0.11, pen.inks.second)
    pen.box(-0.9, -0.42, 0.9, 0.75, pen.inks.main)
    pen.line([(-0.9, 0.08), (0.9, 0.08)], 0.05, pen.inks.ground)
    pen.box(-0.13, -0.04, 0.13, 0.22, pen.inks.accent)


def necktie(pen: Pen, rng: random.Random) -> None:
    """Collar and tie."""
    pen.polygon([(-0.85, -0.6), (-0.2, -0.95), (0, -0.6), (-0.4, -0.1)], pen.inks.second)
    pen.polygon([(0.85, -0.6), (0.2, -0.95), (0, -0.6), (0.4, -0.1)], pen.inks.second)
    pen.polygon([(-0.16, -0.65), (0.16, -0.65), (0.1, -0.4), (-0.1, -0.4)], pen.inks.accent)
    pen.polygon(
        [(-0.1, -0.38), (0.1, -0.38), (0.28, 0.68), (0, 0.98), (-0.28, 0.68)], pen.inks.main
    )


def coins(pen: Pen, rng: random.Random) -> None:
    """Stacks of coins."""
    for x, n in ((-0.6, 2), (0, 4), (0.6, rng.randint(5, 7))):
        for i in range(n):
            y = 0.75 - i * 0.21
            pen.ellipse(x, y + 0.05, 0.28, 0.12, pen.inks.second)
            pen.ellipse(x, y, 0.28, 0.12, pen.inks.main if i < n - 1 else pen.inks.accent)


def target(pen: Pen, rng: random.Random) -> None:
    """A target hit in the middle."""
    for r, ink in (
        (0.85, pen.inks.main),
        (0.65, pen.inks.ground),
        (0.46, pen.inks.main),
        (0.24, pen.inks.accent),
    ):
        pen.circle(-0.08, 0.1, r, ink)
    pen.line([(-0.08, 0.1), (0.85, -0.85)], 0.07, pen.inks.second)
    pen.polygon([(0.68, -0.68), (0.98, -0.72), (0.74, -0.98)], pen.inks.second)


def pawn(pen: Pen, rng: random.Random) -> None:
    """A pawn of a chess set."""
    pen.circle(0, -0.6, 0.32, pen.inks.main)
    pen.ellipse(0, -0.27, 0.36, 0.08, pen.inks.second)
    pen.blob(
        [(-0.15, -0.25), (0.15, -0.25), (0.22, 0.3), (0.48, 0.68), (-0.48, 0.68), (-0.22, 0.3)],
        pen.inks.main,
    )
    pen.box(-0.6, 0.68, 0.6, 0.92, pen.inks.second)


def towers(pen: Pen, rng: random.Random) -> None:
    """Office towers with lit windows."""
    for x, half, top, ink in (
        (-0.6, 0.26, -0.3, pen.inks.second),
        (0.58, 0.28, -0.05, pen.inks.second),
        (0, 0.32, -0.85, pen.inks.main),
    ):
        pen.box(x - half, top, x + half, 0.95, ink)
        y = top + 0.14
        while y < 0.85:
            for k in (-0.5, 0, 0.5):
                if rng.random() < 0.65:
                    cx = x + k * half
                    pen.box(cx - 0.05, y, cx + 0.05, y + 0.09, pen.inks.accent)
            y += 0.2


def ladder(pen: Pen, rng: random.Random) -> None:
    """A ladder to a flag."""
    for x in (-0.25, 0.25):
        pen.line([(x - 0.15, 0.98), (x + 0.15, -0.6)], 0.07, pen.inks.main)
    for i in range(7):
        y = 0.8 - i * 0.22
        lean = (0.2 - y) * 0.18
        pen.line([(-0.25 + lean, y), (0.25 + lean, y)], 0.06, pen.inks.main)
    pen.line([(0.15, -0.5), (0.15, -1)], 0.05, pen.inks.second)
    pen.polygon([(0.15, -1), (0.62, -0.85), (0.15, -0.68)], pen.inks.accent)


def _rim(
    x: float, y: float, r: float, start_deg: float, end_deg: float
) -> list[tuple[float, float]]:
    turns = (math.radians(start_deg + (end_deg - start_deg) * i / 24) for i in range(25))
    return [(x + r * math.cos(t), y + r * math.sin(t)) for t in turns]
