"""Finds covers: a folder per genre, or a table with a path and a genre column.

Only names are looked at here; whether a file is a picture shows when it is decoded.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.errors import SourceError
from data_pipeline.images import IMAGE_SUFFIXES

__all__ = [
    "GENRE_COLUMNS",
    "IMAGE_COLUMNS",
    "FoundSources",
    "Source",
    "find_sources",
    "natural_key",
]

IMAGE_COLUMNS = (
    "path",
    "img_path",
    "img_paths",
    "image_path",
    "filepath",
    "filename",
    "file",
    "image",
)
"""Where a table's image paths are looked for, most telling name first."""

GENRE_COLUMNS = ("genre", "category", "label")
"""Where a table's genres are looked for, most telling name first."""


@dataclass(frozen=True)
class Source:
    """One file that should be a cover.

    Attributes:
        path: Where the file lies; empty if the table names none.
        source: The path as the store records it, relative to what was prepared.
        genre: The genre's name; empty if the table names none.
        keys: What else names the book, such as "isbn:0306406152"; covers that share a key stay on
            one side of a split.
        split: The split that the listing itself assigns, if it does.
    """

    path: str
    source: str
    genre: str
    keys: tuple[str, ...] = ()
    split: Literal["train", "test"] | None = None


@dataclass(frozen=True)
class FoundSources:
    """All files that should be covers, in an order that depends on their names alone.

    Attributes:
        sources: In natural order of `source`: cover2 before cover10.
        ignored: Files in genre folders whose names are not those of images.
    """

    sources: list[Source]
    ignored: int


def find_sources(
    source: Path, *, image_column: str | None = None, genre_column: str | None = None
) -> FoundSources:
    """List the covers of a folder or of a table.

    Args:
        source: A folder with one folder per genre, images at any depth below; or a CSV or Parquet
            table whose paths are relative to the table's folder.
        image_column: The table's column with image paths; found by its name if not given.
        genre_column: The table's column with genres; found by its name if not given.

    Raises:
        SourceError: Nothing is there, it cannot be read, or it holds no covers of two genres.
    """
    if not source.exists():
        raise SourceError(
            f"no covers at {source}: there is no such file or folder; give a folder with one "
            "folder per genre, or a CSV or Parquet table"
        )
    try:
        if source.is_dir():
            if image_column or genre_column:
                raise SourceError(
                    f"columns can be named for a table only, and {source} is a folder; "
                    "drop the column names"
                )
            found = _from_folder(source)
        else:
            found = _from_table(source, image_column, genre_column)
    except OSError as err:
        raise SourceError(f"cannot read {source}: {err.strerror or err}") from err
    _require_two_genres(found, source)
    return found


def natural_key(name: str) -> tuple[Any, ...]:
    """Sort key that takes digits for numbers: "cover2" comes before "cover10"."""
    pieces = re.split(r"(\d+)", name)
    numbers_at_odd_places = tuple(
        int(piece) if index % 2 else piece.casefold() for index, piece in enumerate(pieces)
    )
    return numbers_at_odd_places, name


def _from_folder(root: Path) -> FoundSources:
    sources: list[Source] = []
    ignored = 0
    for genre_folder in sorted(_visible(root), key=lambda path: path.name):
        if not genre_folder.is_dir():
            ignored += 1
            continue
        for path in _files_below(genre_folder):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                relative = path.relative_to(root).as_posix()
                sources.append(Source(str(path.absolute()), relative, genre_folder.name))
            else:
                ignored += 1
    sources.sort(key=lambda found: natural_key(found.source))
    return FoundSources(sources, ignored)


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _files_below(folder: Path) -> Iterator[Path]:
    def give_up(err: OSError) -> None:
        raise err

    for parent, folders, files in os.walk(folder, onerror=give_up):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent) / name for name in files if not name.startswith("."))


def _from_table(table: Path, image_column: str | None, genre_column: str | None) -> FoundSources:
    read = {".csv": _read_csv, ".parquet": _read_parquet}.get(table.suffix.lower())
    if read is None:
        raise SourceError(
            f"a table of covers must be a .csv or .parquet file, got {table}; "
            "or give a folder with one folder per genre"
        )
    paths, genres = read(table, image_column, genre_column)
    base = table.absolute().parent
    sources = []
    for path, genre in zip(paths, genres, strict=True):
        where = base / path if path else Path()
        inside = where.is_relative_to(base)
        sources.append(
            Source(
                path=str(where) if path else "",
                source=where.relative_to(base).as_posix() if path and inside else path,
                genre=genre,
            )
        )
    sources.sort(key=lambda found: (natural_key(found.source), found.genre))
    return FoundSources(sources, ignored=0)


_Columns = tuple[list[str], list[str]]


def _read_csv(table: Path, image_column: str | None, genre_column: str | None) -> _Columns:
    paths, genres = [], []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            image = header.index(_pick("image", image_column, IMAGE_COLUMNS, header, table))
            genre = header.index(_pick("genre", genre_column, GENRE_COLUMNS, header, table))
            for row in rows:
                if not row:
                    continue  # a blank line
                if len(row) <= max(image, genre):
                    raise SourceError(
                        f"every row of {table} needs its {len(header)} columns, line "
                        f"{rows.line_num} has {len(row)}; repair that line"
                    )
                paths.append(row[image].strip())
                genres.append(row[genre].strip())
    except UnicodeDecodeError as err:
        raise SourceError(
            f"a CSV table must be UTF-8 text, {table} is not (byte {err.start}); save it as UTF-8"
        ) from err
    except csv.Error as err:
        raise SourceError(f"cannot read {table} as CSV: {err}; repair the table") from err
    return paths, genres


def _read_parquet(table: Path, image_column: str | None, genre_column: str | None) -> _Columns:
    try:
        header = pq.read_schema(table).names
        image = _pick("image", image_column, IMAGE_COLUMNS, header, table)
        genre = _pick("genre", genre_column, GENRE_COLUMNS, header, table)
        columns = pq.read_table(table, columns=[image, genre]).to_pydict()
    except pa.ArrowException as err:
        raise SourceError(
            f"cannot read {table} as Parquet: {' '.join(str(err).split())}; repair the table"
        ) from err
    return _as_text(columns[image]), _as_text(columns[genre])


def _as_text(values: Sequence[object]) -> list[str]:
    return ["" if value is None else str(value).strip() for value in values]


def _pick(
    what: str, given: str | None, usual: Sequence[str], header: Sequence[str], table: Path
) -> str:
    """Choose a column by the name given, or by the usual ones."""
    if given is not None:
        if given in header:
            return given
        raise SourceError(
            f"{table} has no column {given!r} for the {what}; it has: {', '.join(header)}"
        )
    by_lower_case = {name.strip().lower(): name for name in reversed(header)}
    for name in usual:
        if name in by_lower_case:
            return by_lower_case[name]
    raise SourceError(
        f"{table} needs a column for the {what}, called one of {', '.join(usual)}; it has: "
        f"{', '.join(header) or 'no columns'}; rename one or name it with --{what}-column"
    )


def _require_two_genres(found: FoundSources, source: Path) -> None:
    genres = sorted({entry.genre for entry in found.sources} - {""})
    if len(genres) >= 2:
        return
    if not source.is_dir():
        remedy = "give a table with more genres"
    elif not genres:
        remedy = "put the images into one folder per genre"
    else:
        remedy = "give the folder that holds the genre folders"
    what_came = f"one, {genres[0]}" if genres else "no genre with images"
    raise SourceError(f"a store needs at least 2 genres, {source} has {what_came}; {remedy}")
