"""A pen that draws in a motif's own coordinates.

A motif is described once in a box from -1 to 1 (x to the right, y down); the pen places it on the
cover with a centre, a radius, a turn and a mirror image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from covertune.data_pipeline.sample._colour import Colour

Point = tuple[float, float]


@dataclass(frozen=True)
class Inks:
    """The colours a motif may use; `ground` is what lies behind it, for cut-outs."""

    main: Colour
    second: Colour
    accent: Colour
    ground: Colour


class Pen:
    """Draws shapes given in motif coordinates onto an image."""

    def __init__(
        self,
        image: Image.Image,
        centre_px: Point,
        radius_px: float,
        inks: Inks,
        *,
        turn_deg: float = 0.0,
        mirrored: bool = False,
    ) -> None:
        self._draw = ImageDraw.Draw(image)
        self._centre_px = centre_px
        self._radius_px = radius_px
        self._cos = math.cos(math.radians(turn_deg)) * radius_px
        self._sin = math.sin(math.radians(turn_deg)) * radius_px
        self._side = -1.0 if mirrored else 1.0
        self.inks = inks

    def polygon(self, points: Sequence[Point], ink: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._placed(points), fill=ink)

    def box(self, left: float, top: float, right: float, bottom: float, ink: Colour) -> None:
        """Fill a rectangle (turned with the motif)."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], ink)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, ink: Colour, *, turn_deg: float = 0.0
    ) -> None:
        """Fill an ellipse around (x, y), itself turned by `turn_deg`."""
        c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
        ring = [(rx * math.cos(t), ry * math.sin(t)) for t in _TURNS]
        self.polygon([(x + a * c - b * s, y + a * s + b * c) for a, b in ring], ink)

    def circle(self, x: float, y: float, r: float, ink: Colour) -> None:
        """Fill a circle."""
        self.ellipse(x, y, r, r, ink)

    def line(self, points: Sequence[Point], width: float, ink: Colour) -> None:
        """Stroke a line with round ends."""
        width_px = max(1, round(width * self._radius_px))
        placed = self._placed(points)
        self._draw.line(placed, fill=ink, width=width_px, joint="curve")
        if width_px > 3:
            r = width_px / 2
            for x, y in (placed[0], placed[-1]):
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def curve(self, points: Sequence[Point], width: float, ink: Colour) -> None:
        """Stroke a smooth line through the points."""
        self.line(_smooth(points, closed=False), width, ink)

    def blob(self, points: Sequence[Point], ink: Colour) -> None:
        """Fill the smooth closed shape through the points."""
        self.polygon(_smooth(points, closed=True), ink)

    def arc(
        self,
        x: float,
        y: float,
        r: float,
        start_deg: float,
        end_deg: float,
        width: float,
        ink: Colour,
        *,
        flat: float = 1.0,
    ) -> None:
        """Stroke a part of a circle, `flat` times as high as wide (0 deg is right, clockwise)."""
        self.line(arc_points(x, y, r, start_deg, end_deg, flat=flat), width, ink)

    def ring(self, x: float, y: float, r: float, width: float, ink: Colour) -> None:
        """Stroke a whole circle."""
        self.arc(x, y, r, 0, 360, width, ink)

    def _placed(self, points: Sequence[Point]) -> list[tuple[int, int]]:
        x0, y0 = self._centre_px
        placed = []
        for x, y in points:
            x *= self._side
            placed.append(
                (
                    round(x0 + x * self._cos - y * self._sin),
                    round(y0 + x * self._sin + y * self._cos),
                )
            )
        return placed


def arc_points(
    x: float, y: float, r: float, start_deg: float, end_deg: float, *, flat: float = 1.0
) -> list[Point]:
    """Return points along a part of a circle."""
    steps = max(6, round(abs(end_deg - start_deg) / 9))
    turns = (math.radians(start_deg + (end_deg - start_deg) * i / steps) for i in range(steps + 1))
    return [(x + r * math.cos(t), y + r * flat * math.sin(t)) for t in turns]


def star_points(x: float, y: float, outer: float, inner: float, spikes: int = 5) -> list[Point]:
    """Return the corners of a star that points up."""
    return [
        (
            x + (inner if i % 2 else outer) * math.sin(math.pi * i / spikes),
            y - (inner if i % 2 else outer) * math.cos(math.pi * i / spikes),
        )
        for i in range(2 * spikes)
    ]


_TURNS = [2 * math.pi * i / 40 for i in range(40)]


def _smooth(points: Sequence[Point], *, closed: bool, steps: int = 7) -> list[Point]:
    """Run a Catmull-Rom spline through the points."""
    n = len(points)
    smooth: list[Point] = []
    for i in range(n if closed else n - 1):
        if closed:
            p0, p1, p2, p3 = (points[(i + k) % n] for k in (-1, 0, 1, 2))
        else:
            p0, p1 = points[max(i - 1, 0)], points[i]
            p2, p3 = points[i + 1], points[min(i + 2, n - 1)]
        for k in range(steps):
            t = k / steps
            smooth.append(
                (
                    _spline(p0[0], p1[0], p2[0], p3[0], t),
                    _spline(p0[1], p1[1], p2[1], p3[1], t),
                )
            )
    if not closed:
        smooth.append(points[-1])
    return smooth


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
