"""Covers listed by a table with a header: a path or an address and a genre in each row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.data_pipeline.sources._columns import (
    GENRE_COLUMNS,
    IMAGE_COLUMNS,
    TableOptions,
    key_columns,
    keys_of,
    pick_column,
    split_of,
)
from covertune.data_pipeline.sources._source import FoundSources, Source, in_order, is_image
from covertune.data_pipeline.sources._table_files import (
    TABLE_SUFFIXES,
    is_table,
    read_header,
    read_rows,
)
from covertune.data_pipeline.sources._trailing import TrailingPaths
from covertune.wording import named, quoted

__all__ = ["from_table"]

_ROWS_LOOKED_AT = 100  # for addresses in another column


def from_table(table: str, options: TableOptions) -> FoundSources:
    """List the covers of a table.

    Args:
        table: Location of a file of one of `TABLE_SUFFIXES`. Relative paths in it are relative to
            its folder.
        options: Columns and encoding.

    Raises:
        SourceError: It is no such table, has not the columns or no rows, or none of its files is
            there.
        OSError: Something cannot be read.
    """
    shown = redact_credentials(table)
    if not is_table(table):
        raise SourceError(
            f"a table of covers must be a {', '.join(TABLE_SUFFIXES)} file, got {shown}; "
            "or give a folder with one folder per genre"
        )
    header = read_header(table, options.encoding)
    image = pick_column("image", options.image_column, IMAGE_COLUMNS, header, shown)
    genre = pick_column("genre", options.genre_column, GENRE_COLUMNS, header, shown)
    keys = key_columns(options.key_columns, header, shown)
    split = options.split_column
    if split is not None:
        pick_column("split", split, (), header, shown)
    columns = [image, genre, *keys, *([split] if split else [])]
    places = _Places(filesystems.parent_of(table))
    sources = []
    for path, genre_name, *values in read_rows(table, columns, options.encoding):
        where, source = places.of(path)
        sources.append(
            Source(
                path=where,
                source=source,
                genre=genre_name,
                keys=keys_of(keys, values[: len(keys)]),
                split=split_of(values[-1], shown) if split else None,
            )
        )
    if not sources:
        raise SourceError(f"a table of covers needs rows, {shown} has none below its header")
    if places.named and not places.found:
        _say_where_addresses_are(table, image, places.named, options)
    return FoundSources(in_order(_without_unreachable(sources)), ignored=0)


def _without_unreachable(sources: list[Source]) -> list[Source]:
    """Mark the rows whose file system cannot be asked.

    Raises:
        OSError: That is all of them.
    """
    elsewhere = [entry.path for entry in sources if _is_elsewhere(entry.path)]
    problems = filesystems.unreachable(dict.fromkeys(elsewhere))
    if problems and all(entry.path in problems for entry in sources if entry.path):
        raise OSError(next(iter(problems.values())))
    return [
        replace(entry, problem=problems[entry.path]) if entry.path in problems else entry
        for entry in sources
    ]


def _is_elsewhere(path: str) -> bool:
    return filesystems.is_uri(path) and not filesystems.is_web_address(path)


class _Places:
    """Where the paths of a table lead.

    Args:
        base: The table's folder.

    Attributes:
        named: Paths that were no addresses.
        found: How many of them lead to a file.
    """

    def __init__(self, base: str) -> None:
        self.named = self.found = 0
        self._base = base
        self._remote = filesystems.is_uri(base)
        self._files: set[str] | None = None
        self._trailing: TrailingPaths | None = None
        self._has_folder = cache(self._look_for_folder)

    def of(self, path: str) -> tuple[str, str]:
        """Return where a path leads, and how the store records it."""
        if not path:
            return "", ""
        if filesystems.is_uri(path):
            return path, redact_credentials(path)
        self.named += 1
        if self._exists(path):
            self.found += 1
            return filesystems.join(self._base, path), self._recorded(path)
        # A folder that is there lacks this file; one that is not was on another machine.
        folder, slash, _ = path.replace("\\", "/").rpartition("/")
        if not slash or not self._has_folder(folder or "/"):
            elsewhere = self._find_by_end(path)
            if elsewhere is not None:
                self.found += 1
                return filesystems.join(self._base, elsewhere), elsewhere
        return filesystems.join(self._base, path), self._recorded(path)

    def _exists(self, path: str) -> bool:
        if self._remote:
            return path.removeprefix("./") in self._all_files()
        return os.path.exists(os.path.join(self._base, path))  # noqa: PTH110, PTH118 - once a cover

    def _look_for_folder(self, folder: str) -> bool:
        if self._remote:
            start = f"{folder.removeprefix('./')}/"
            return any(file.startswith(start) for file in self._all_files())
        return os.path.isdir(os.path.join(self._base, folder))  # noqa: PTH112, PTH118

    def _find_by_end(self, path: str) -> str | None:
        if self._trailing is None:
            self._trailing = TrailingPaths([*filter(is_image, self._all_files())])
        return self._trailing.find(path)

    def _all_files(self) -> set[str]:
        if self._files is None:
            self._files = set(filesystems.list_files(self._base).files)
        return self._files

    def _recorded(self, path: str) -> str:
        """Return it relative to the table's folder where it lies there."""
        path = path.removeprefix("./")
        inside = f"{self._base.rstrip('/')}/"
        return path[len(inside) :] if path.startswith(inside) else path


def _say_where_addresses_are(table: str, image: str, files: int, options: TableOptions) -> None:
    """Raise if another column has what can be downloaded in place of files that are not there."""
    for column in _columns_of_addresses(table, options):
        raise SourceError(
            f"none of the {files} files that column {named(image)} of {redact_credentials(table)} "
            f"names is there, but column {named(column)} has web addresses; put the images beside "
            f"the table, or download them with --image-column={quoted(column)}"
        )


def _columns_of_addresses(table: str, options: TableOptions) -> Iterator[str]:
    header = read_header(table, options.encoding)
    rows = list(islice(read_rows(table, header, options.encoding), _ROWS_LOOKED_AT))
    for column, *values in zip(header, *rows, strict=True):
        if any(filesystems.is_web_address(value) for value in values):
            yield column
