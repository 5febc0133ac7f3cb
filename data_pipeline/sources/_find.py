"""Finds out what kind of source was given, and lists its covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.data_pipeline.sources._bookcover import find_listings, from_listings, is_listing
from covertune.data_pipeline.sources._columns import TableOptions
from covertune.data_pipeline.sources._folders import from_folder
from covertune.data_pipeline.sources._left_out import skipped_names
from covertune.data_pipeline.sources._source import FoundSources
from covertune.data_pipeline.sources._table_files import TABLE_SUFFIXES
from covertune.data_pipeline.sources._tables import from_table
from covertune.wording import few, reason_of

__all__ = ["find_sources"]

_KINDS = f"give a folder with one folder per genre, or a table ({', '.join(TABLE_SUFFIXES)})"


def find_sources(
    source: str | Path,
    *,
    image_column: str | None = None,
    genre_column: str | None = None,
    split_column: str | None = None,
    key_columns: Sequence[str] = (),
    encoding: str | None = None,
) -> FoundSources:
    """List the covers of a folder or of a table.

    Args:
        source: Path or URI (file, s3, gs, hdfs) of a folder with one folder per genre, images at
            any depth below; of a table whose paths are relative to the table's folder; or of a
            listing of BookCover30 or BookCover32, or its folder.
        image_column: The table's column with image paths or addresses; found by its name if not
            given.
        genre_column: The table's column with genres; found by its name if not given.
        split_column: The table's column with the official split; none is looked for if not given.
        key_columns: Columns whose equal values tell that covers belong together; those of the
            names in `KEY_COLUMNS` if none is given.
        encoding: Of a text table; UTF-8 if not given, Latin-1 for BookCover.

    Raises:
        SourceError: Nothing is there, it cannot be read, or it holds no covers of two genres.
    """
    location = str(source)
    shown = redact_credentials(location)
    options = TableOptions(image_column, genre_column, split_column, tuple(key_columns), encoding)
    if filesystems.is_web_address(location):
        raise SourceError(
            f"covers cannot be looked for at a web address, got {shown}; download the table "
            "itself and give the file: the addresses in it are downloaded"
        )
    try:
        kind = filesystems.kind_of(location)
        if kind == "missing":
            raise SourceError(f"no covers at {shown}: there is no such file or folder; {_KINDS}")
        if not filesystems.is_uri(location):
            location = str(Path(location).absolute())
        found = _in_folder(location, options) if kind == "folder" else _in_file(location, options)
    except OSError as err:
        raise SourceError(f"cannot read {shown}: {reason_of(err)}") from err
    _require_two_genres(found, shown, is_folder=kind == "folder")
    return found


def _in_folder(folder: str, options: TableOptions) -> FoundSources:
    if options.names_columns:
        raise SourceError(
            f"columns can be named for a table only, and {redact_credentials(folder)} is a "
            "folder; drop the column names"
        )
    listing = filesystems.list_files(folder)
    found = _among(folder, listing.files, options)
    return replace(found, notes=(*skipped_names(listing.skipped), *found.notes))


def _among(folder: str, files: list[str], options: TableOptions) -> FoundSources:
    listings = find_listings(folder, files)
    if not listings:
        return from_folder(folder, files, options.key_columns, options.encoding)
    inside = "".join(listings[0].rpartition("/")[:2])
    below = [file[len(inside) :] for file in files if file.startswith(inside)]
    _require_no_columns(options, listings[0])
    locations = [filesystems.join(folder, listing) for listing in listings]
    return from_listings(locations, below, options.encoding)


def _in_file(file: str, options: TableOptions) -> FoundSources:
    if not is_listing(file, options.encoding):
        return from_table(file, options)
    _require_no_columns(options, file)
    beside = filesystems.list_files(filesystems.parent_of(file)).files
    return from_listings([file], beside, options.encoding)


def _require_no_columns(options: TableOptions, listing: str) -> None:
    if options.names_columns or options.key_columns:
        raise SourceError(
            f"{redact_credentials(listing)} is a listing of BookCover, whose columns are known and "
            "have no names; drop the column names"
        )


def _require_two_genres(found: FoundSources, shown: str, *, is_folder: bool) -> None:
    genres = sorted({entry.genre for entry in found.sources} - {""})
    if len(genres) >= 2:
        return
    remedy = "add folders of other genres" if is_folder else "give a table with more genres"
    what_came = f"one, {few(genres)}" if genres else "no genre"
    raise SourceError(f"a store needs at least 2 genres, {shown} has {what_came}; {remedy}")
