"""Keys from tables that lie with a folder per genre, as in the Kaggle archive "Book Covers".

There, `main_dataset.csv` or a table in each genre's folder has the columns image (an address),
name, author, format, book_depository_stars, price, currency, old_price, isbn, category, img_paths;
an `img_paths` such as `dataset/Poetry/0000001.jpg` begins with a folder that the archive lacks. The
folders say what the covers and their genres are. Such a table only adds which of them are of one
book, and what should be there but is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.data_pipeline.sources._columns import IMAGE_COLUMNS, key_columns, keys_of
from covertune.data_pipeline.sources._table_files import read_header, read_rows
from covertune.data_pipeline.sources._trailing import TrailingPaths, components
from covertune.wording import few

__all__ = ["FolderKeys", "MissingRow", "read_folder_keys"]


@dataclass(frozen=True)
class MissingRow:
    """A row whose file is not there.

    Attributes:
        path: Where it should be, relative to the folder.
        genre: The folder in its path, or the one the table lies in.
        keys: Of the row.
    """

    path: str
    genre: str
    keys: tuple[str, ...]


@dataclass
class FolderKeys:
    """What the tables of a folder say.

    Attributes:
        of_file: Keys by file, relative to the folder.
        missing: Rows whose file is not there.
        tables: Which tables were read.
    """

    of_file: dict[str, tuple[str, ...]] = field(default_factory=dict)
    missing: list[MissingRow] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)


def read_folder_keys(
    root: str,
    tables: Sequence[str],
    images: Sequence[str],
    given_keys: Sequence[str] = (),
    encoding: str | None = None,
) -> FolderKeys:
    """Read the tables that have a column with paths and one with keys; others say nothing.

    Args:
        root: Location of the folder.
        tables: Relative to it.
        images: Relative to it.
        given_keys: Key columns the user named; those of the usual names if none.
        encoding: Of the tables.

    Raises:
        SourceError: A table cannot be read, or none has the columns given.
        OSError: A table cannot be read at all.
    """
    found = FolderKeys()
    missing: dict[tuple[str, str], MissingRow] = {}
    known: set[str] = set()
    trailing: TrailingPaths | None = None
    for table in sorted(tables):
        location = filesystems.join(root, table)
        columns = _columns_of(location, given_keys, encoding)
        if columns is None:
            continue
        if trailing is None:
            known, trailing = set(images), TrailingPaths(images)
        found.tables.append(table)
        folder = table.rpartition("/")[0]
        for path, keys in _rows(location, columns, encoding):
            beside = "/".join([*components(folder), *components(path)])
            file = beside if beside in known else trailing.find(path)
            if file is None:
                parts = components(path)
                genre = parts[-2] if len(parts) > 1 else folder.rpartition("/")[2]
                missing.setdefault((parts[-1], genre), MissingRow(beside, genre, keys))
            else:
                before = found.of_file.get(file, ())
                found.of_file[file] = tuple(dict.fromkeys([*before, *keys]))
    found.missing.extend(missing.values())
    if given_keys and not found.tables:
        raise SourceError(
            f"no table in {redact_credentials(root)} has an image column and the key columns "
            f"{few(given_keys)}; leave out --key-column, or put such a table beside the "
            "genre folders"
        )
    return found


@dataclass(frozen=True)
class _Columns:
    paths: list[str]
    keys: list[str]


def _columns_of(table: str, given_keys: Sequence[str], encoding: str | None) -> _Columns | None:
    """Return the columns that matter; None if it has not both paths and keys."""
    header = read_header(table, encoding)
    if any(name not in header for name in given_keys):
        return None
    by_lower_case = {name.strip().lower(): name for name in reversed(header)}
    paths = [by_lower_case[name] for name in IMAGE_COLUMNS if name in by_lower_case]
    keys = key_columns(given_keys, header, redact_credentials(table))
    return _Columns(paths, keys) if paths and keys else None


def _rows(
    table: str, columns: _Columns, encoding: str | None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the path and keys of each row that names a file."""
    for values in read_rows(table, [*columns.paths, *columns.keys], encoding):
        for path in values[: len(columns.paths)]:
            if components(path) and not filesystems.is_uri(path):
                yield path, keys_of(columns.keys, values[len(columns.paths) :])
                break
