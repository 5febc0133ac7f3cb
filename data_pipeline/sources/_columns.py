"""Which column of a table means what, and what a value in it stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.sources._source import OfficialSplit
from covertune.wording import few, named

__all__ = [
    "GENRE_COLUMNS",
    "IMAGE_COLUMNS",
    "KEY_COLUMNS",
    "TableOptions",
    "asin_key",
    "key_columns",
    "keys_of",
    "pick_column",
    "split_of",
]

IMAGE_COLUMNS = (
    "path",
    "img_path",
    "img_paths",
    "image_path",
    "image_paths",
    "filepath",
    "filename",
    "file_name",
    "file",
    "image",
    "image_url",
    "img_url",
    "cover_url",
    "url",
)
"""Where a table's image paths and addresses are looked for, most telling name first."""

GENRE_COLUMNS = ("genre", "category", "label")
"""Where a table's genres are looked for, most telling name first."""

KEY_COLUMNS = ("isbn", "isbn13", "isbn_13", "isbn10", "isbn_10", "asin")
"""Columns that tell which covers are of one book."""

_SPLIT_NAMES: dict[str, OfficialSplit] = {
    "train": "train",
    "training": "train",
    "val": "train",
    "valid": "train",
    "validation": "train",
    "dev": "train",
    "test": "test",
    "testing": "test",
}
_NO_VALUE = {"", "nan", "none", "null", "n/a", "na", "-"}
_ISBN = re.compile(r"[0-9]{7,13}X?")  # spreadsheets drop zeros in front


@dataclass(frozen=True)
class TableOptions:
    """How the user says a table is to be read; None and () where nothing was said.

    Attributes:
        image_column: Name of the column with image paths or addresses.
        genre_column: Name of the column with genres.
        split_column: Name of the column with the official split.
        key_columns: Names of the columns that tell which covers are of one book.
        encoding: Of a text table.
    """

    image_column: str | None = None
    genre_column: str | None = None
    split_column: str | None = None
    key_columns: tuple[str, ...] = ()
    encoding: str | None = None

    @property
    def names_columns(self) -> bool:
        """Whether any column is named that only a table of covers has."""
        return bool(self.image_column or self.genre_column or self.split_column)


def pick_column(
    what: str, given: str | None, usual: Sequence[str], header: Sequence[str], table: str
) -> str:
    """Choose a column by the name given, or by the usual ones.

    Raises:
        SourceError: The table has no such column.
    """
    if given is not None:
        if given in header:
            return given
        raise SourceError(
            f"{table} has no column {named(given)} for the {what}; it has: "
            f"{few(header, at_most=12)}"
        )
    by_lower_case = {name.strip().lower(): name for name in reversed(header)}
    for name in usual:
        if name in by_lower_case:
            return by_lower_case[name]
    raise SourceError(
        f"{table} needs a column for the {what}, called one of {', '.join(usual)}; it has: "
        f"{few(header, at_most=12) or 'no columns'}; rename one or name it with --{what}-column"
    )


def key_columns(given: Sequence[str], header: Sequence[str], table: str) -> list[str]:
    """Return the columns with keys: those given, or those of the usual names; possibly none.

    Raises:
        SourceError: A given one is not there.
    """
    if given:
        return [pick_column("key", name, (), header, table) for name in given]
    return [name for name in header if name.strip().lower() in KEY_COLUMNS]


def keys_of(columns: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of a row, without those that stand for nothing.

    A placeholder taken for a key would tie thousands of books into one group.

    Args:
        columns: Names of the key columns.
        values: The row's values in them.
    """
    keys = []
    for column, value in zip(columns, values, strict=True):
        name = column.strip().lower()
        if name in KEY_COLUMNS:
            key = asin_key(value) if name == "asin" else _isbn_key(value)
        else:
            key = "" if value.strip().lower() in _NO_VALUE else f"{name}:{value.strip()}"
        if key and key not in keys:
            keys.append(key)
    return tuple(keys)


def asin_key(asin: str) -> str:
    """Return the key of Amazon's number of a book; empty if it is none."""
    asin = asin.strip().upper()
    return "" if asin.lower() in _NO_VALUE or len(set(asin)) == 1 else f"asin:{asin}"


def _isbn_key(isbn: str) -> str:
    # A column of numbers with gaps comes as floats: 9780306406157.0
    digits = re.sub(r"[\s\-]|\.0$", "", isbn).upper()
    return f"isbn:{digits}" if _ISBN.fullmatch(digits) and len(set(digits)) > 1 else ""


def split_of(name: str, table: str) -> OfficialSplit | None:
    """Return the side of the official split a value names; None where there is no value.

    Raises:
        SourceError: It names neither.
    """
    name = name.strip().lower()
    if name in _NO_VALUE:
        return None
    if name not in _SPLIT_NAMES:
        raise SourceError(
            f"a split is one of {', '.join(_SPLIT_NAMES)}; {table} has {named(name)}; "
            "change it or leave out --split-column"
        )
    return _SPLIT_NAMES[name]
