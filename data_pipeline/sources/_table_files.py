"""Reads the rows of a table file: CSV, TSV, Parquet or JSON lines, here or on another file system.

Rows stream: memory is bounded by what the caller keeps.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.wording import first_line

__all__ = ["TABLE_SUFFIXES", "is_table", "read_header", "read_lines", "read_rows", "suffix_of"]

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
"""File name endings, in lower case, of tables that can be read."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_HEADER_LINES = 1000  # of JSON lines, where each names its own columns
_BATCH_ROWS = 8192


def suffix_of(location: str) -> str:
    """Return the ending of a file's name, in lower case."""
    name = location.partition("?")[0] if filesystems.is_uri(location) else location
    return "." + name.rpartition(".")[2].lower()


def is_table(location: str) -> bool:
    """Tell whether a file is a table that can be read, by its name."""
    return suffix_of(location) in TABLE_SUFFIXES


def read_header(table: str, encoding: str | None = None) -> list[str]:
    """Read the names of the columns.

    Raises:
        SourceError: The file cannot be read as its name says.
        OSError: It cannot be read at all.
    """
    suffix = suffix_of(table)
    if suffix in _DELIMITERS:
        return next((row for _, row in read_lines(table, encoding)), [])
    if suffix == ".parquet":
        with _parquet(table, encoding) as file:
            return list(file.schema_arrow.names)
    seen: dict[str, None] = {}
    for row in islice(_json_lines(table, encoding), _HEADER_LINES):
        seen |= dict.fromkeys(row)
    return list(seen)


def read_rows(
    table: str, columns: Sequence[str], encoding: str | None = None
) -> Iterator[tuple[str, ...]]:
    """Read the values of some columns, row by row, as text without space around it.

    Args:
        table: Location of the file.
        columns: Names that are in its header.
        encoding: Of a text table; UTF-8 if not given.

    Raises:
        SourceError: The file cannot be read as its name says.
        OSError: It cannot be read at all.
    """
    suffix = suffix_of(table)
    if suffix in _DELIMITERS:
        return _csv_rows(table, columns, encoding)
    if suffix == ".parquet":
        return _parquet_rows(table, columns, encoding)
    return (
        tuple(_as_text(row.get(name)) for name in columns) for row in _json_lines(table, encoding)
    )


def read_lines(table: str, encoding: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Read the lines of a CSV or TSV file that are not blank, the header like any other.

    Returns:
        Number of the line, and its values.

    Raises:
        SourceError: It is not text in that encoding, or no CSV.
        OSError: It cannot be read at all.
    """
    delimiter = _DELIMITERS.get(suffix_of(table), ",")
    with _text(table, encoding) as file:
        rows = csv.reader(file, delimiter=delimiter)
        try:
            for row in rows:
                if row:
                    yield rows.line_num, row
        except csv.Error as err:
            raise SourceError(
                f"cannot read {redact_credentials(table)} as CSV: line {rows.line_num}: {err}; "
                "repair the table"
            ) from err


def _csv_rows(
    table: str, columns: Sequence[str], encoding: str | None
) -> Iterator[tuple[str, ...]]:
    lines = read_lines(table, encoding)
    _, header = next(lines, (0, []))
    places = [header.index(name) for name in columns]
    needed = max(places, default=0)
    for number, row in lines:
        if len(row) <= needed:
            raise SourceError(
                f"every row of {redact_credentials(table)} needs its {len(header)} columns, line "
                f"{number} has {len(row)}; repair that line"
            )
        yield tuple([row[place].strip() for place in places])


def _parquet_rows(
    table: str, columns: Sequence[str], encoding: str | None
) -> Iterator[tuple[str, ...]]:
    with _parquet(table, encoding) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys(columns))):
            values = {name: batch[name].to_pylist() for name in columns}
            for row in zip(*(values[name] for name in columns), strict=True):
                yield tuple(map(_as_text, row))


@contextmanager
def _parquet(table: str, encoding: str | None) -> Iterator[pq.ParquetFile]:
    shown = redact_credentials(table)
    if encoding:
        raise SourceError(
            f"an encoding can be named for text only, and {shown} is Parquet; leave it out"
        )
    try:
        with filesystems.open_binary(table) as bytes_, pq.ParquetFile(bytes_) as file:
            yield file
    except pa.ArrowException as err:
        raise SourceError(
            f"cannot read {shown} as Parquet: {first_line(err)}; repair the table"
        ) from err


def _json_lines(table: str, encoding: str | None) -> Iterator[dict[str, Any]]:
    with _text(table, encoding) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise SourceError(
                    f"each line of {redact_credentials(table)} must be a JSON object, line "
                    f"{number} is none; repair that line"
                )
            yield row


@contextmanager
def _text(table: str, encoding: str | None) -> Iterator[io.TextIOWrapper]:
    """Open as text, with an error that names --encoding where it is not."""
    shown = redact_credentials(table)
    # utf-8-sig also takes the mark that spreadsheets put in front
    name = "utf-8-sig" if (encoding or "utf-8").lower() in ("utf-8", "utf8") else encoding
    with filesystems.open_binary(table) as bytes_:
        try:
            file = io.TextIOWrapper(bytes_, encoding=name, newline="")
        except LookupError:
            raise SourceError(
                f"unknown encoding {encoding!r} for {shown}; known are utf-8, latin-1, cp1252, "
                "utf-16 and the others of Python's codecs"
            ) from None
        try:
            with file:
                yield file
        except UnicodeError as err:
            raise SourceError(
                f"{shown} is not {encoding or 'UTF-8'} text ({_first_bad_bytes(err)}); name its "
                "encoding, such as --encoding latin-1 or --encoding cp1252"
            ) from err


def _first_bad_bytes(err: UnicodeError) -> str:
    if isinstance(err, UnicodeDecodeError):
        before = err.object[: err.start].rpartition(b"\n")[2][-20:]
        after = err.object[err.start :].partition(b"\n")[0][:20]
        return f"near '{ascii(before + after)[2:-1]}'"
    return first_line(err)


def _as_text(value: object) -> str:
    return "" if value is None else str(value).strip()
