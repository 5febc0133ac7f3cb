"""What finding covers comes to: a list of sources in an order that depends on names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from covertune.data_pipeline.images import IMAGE_SUFFIXES

__all__ = ["FoundSources", "OfficialSplit", "Source", "in_order", "is_image", "natural_key"]

OfficialSplit = Literal["train", "test"]
"""Sides of a split that came with the covers; `val` is always drawn from `train`."""

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One file that should be a cover.

    Attributes:
        path: Where it lies: a local path, a URI (file, s3, gs, hdfs) or a URL (http, https); empty
            if the table names none.
        source: The path as the store records it, relative to what was prepared if it lies there.
        genre: The genre's name; empty if the table names none.
        keys: What the cover's book is known by, such as "isbn:0306406152"; covers that share one
            belong to one group.
        split: The side it is on in the official split; None if there is no such split.
        problem: Why there is no use in reading it; empty if that will show.
    """

    path: str
    source: str
    genre: str
    keys: tuple[str, ...] = ()
    split: OfficialSplit | None = None
    problem: str = ""


@dataclass(frozen=True)
class FoundSources:
    """All files that should be covers, in an order that depends on their names alone.

    Attributes:
        sources: In natural order of `source`: cover2 before cover10.
        ignored: Files whose names are not those of images and that were not read as tables.
        notes: What a person should know of what was left out, a line each.
    """

    sources: list[Source]
    ignored: int
    notes: tuple[str, ...] = ()


def natural_key(name: str) -> tuple[Any, ...]:
    """Return a sort key that takes digits for numbers: "cover2" comes before "cover10"."""
    pieces: list[Any] = _DIGITS.split(name.casefold())
    pieces[1::2] = map(int, pieces[1::2])
    return pieces, name


def in_order(sources: Iterable[Source]) -> list[Source]:
    """Sort in the order that `FoundSources` promises."""
    return sorted(sources, key=lambda found: (natural_key(found.source), found.genre))


def is_image(name: str) -> bool:
    """Tell whether a file is looked at as a picture, by its name."""
    base, dot, suffix = name.rpartition(".")
    return bool(base) and f"{dot}{suffix.lower()}" in IMAGE_SUFFIXES
