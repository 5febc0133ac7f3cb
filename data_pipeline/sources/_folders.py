"""Covers that lie in a folder per genre, at any depth below the folder given.

An unzipped archive has folders around the genre folders: `archive/book-covers/Poetry/1.jpg`. Those
that hold nothing but one other folder are gone down through. Folders without images do not count.
"""

from __future__ import annotations

from collections.abc import Sequence

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.data_pipeline.sources._folder_keys import read_folder_keys
from covertune.data_pipeline.sources._left_out import nested_genres, passed_over, without_genre
from covertune.data_pipeline.sources._source import (
    FoundSources,
    OfficialSplit,
    Source,
    in_order,
    is_image,
)
from covertune.data_pipeline.sources._table_files import is_table
from covertune.wording import few

__all__ = ["from_folder"]

_SPLIT_FOLDERS: dict[str, OfficialSplit] = {
    "train": "train",
    "val": "train",
    "valid": "train",
    "validation": "train",
    "test": "test",
}


def from_folder(
    root: str, files: Sequence[str], given_keys: Sequence[str] = (), encoding: str | None = None
) -> FoundSources:
    """List the covers of a folder.

    Args:
        root: Location of the folder.
        files: All files below it, relative to it.
        given_keys: Key columns the user named, for tables among the files.
        encoding: Of such tables.

    Raises:
        SourceError: What the genres are cannot be told, or a table cannot be read.
        OSError: A table cannot be read.
    """
    images = [file for file in files if is_image(file)]
    start = _require_genre_folders(root, images, files)
    by_split = _are_splits(root, images, start)
    tables = [file for file in files if is_table(file)]
    tables = [file for file in tables if file[start:].count("/") <= 1 + by_split]
    keys = read_folder_keys(root, tables, images, given_keys, encoding)
    sources = []
    for file in images:
        parts = file[start:].split("/")
        sources.append(
            Source(
                path=filesystems.join(root, file),
                source=file,
                genre=parts[by_split] if len(parts) > 1 + by_split else "",
                keys=keys.of_file.get(file, ()),
                split=_side(parts[0]) if by_split else None,
            )
        )
    genres = {source.genre for source in sources} - {""}
    for row in keys.missing:
        # A genre that has no folder was left out on purpose; its rows are refused without one.
        genre = row.genre if row.genre in genres else ""
        path = filesystems.join(root, row.path)
        side = _side(row.path[start:].partition("/")[0]) if by_split else None
        sources.append(Source(path, row.path, genre, row.keys, side))
    used = {*images, *keys.tables}
    ignored = [file for file in files if file not in used]
    notes = without_genre([source.source for source in in_order(sources) if not source.genre])
    if not by_split:
        folder = filesystems.join(root, images[0][:start]).rstrip("/")
        notes += nested_genres(folder, [image[start:] for image in images])
    notes += passed_over(ignored)
    return FoundSources(in_order(sources), len(ignored), tuple(notes))


def _side(folder: str) -> OfficialSplit:
    """Return the side of the split that a folder names; what lies beside such is refused anyway."""
    return _SPLIT_FOLDERS.get(folder.lower(), "train")


def _require_genre_folders(root: str, images: Sequence[str], files: Sequence[str]) -> int:
    """Find how many characters of each path lie before the genre's folder.

    Raises:
        SourceError: There are no genre folders, or one.
    """
    shown = redact_credentials(root)
    start = 0
    while images:
        tops = {image[start:].partition("/")[0] for image in images if "/" in image[start:]}
        direct = [image for image in images if "/" not in image[start:]]
        if direct or len(tops) != 1:
            break
        start += len(next(iter(tops))) + 1
    if not images or (direct and not start and not tops):
        raise SourceError(
            f"a store needs at least 2 genres, {shown} has no genre with images; "
            f"put the images into one folder per genre{_or_the_table(root, files)}"
        )
    if direct and start and len(tops) <= 1:
        genre = direct[0][:start].rstrip("/").rpartition("/")[2]
        raise SourceError(
            f"a store needs at least 2 genres, {shown} has one, {genre}; "
            f"give the folder that holds the genre folders{_or_the_table(root, files)}"
        )
    if direct and len(tops) < 2:
        folder = redact_credentials(filesystems.join(root, direct[0][:start]).rstrip("/"))
        raise SourceError(
            f"an image must lie in the folder of its genre, {folder} has {len(direct)} "
            f"{'image' if len(direct) == 1 else 'images'} (such as {few([direct[0][start:]])}) "
            f"beside {few(sorted(tops))}; move them into a genre's folder, or away"
        )
    return start


def _are_splits(root: str, images: Sequence[str], start: int) -> bool:
    """Tell whether what looks like genre folders are train and test folders with genres in them.

    Raises:
        SourceError: They are, but with less than two genre folders.
    """
    paths = [image[start:].split("/") for image in images]
    tops = {parts[0] for parts in paths if len(parts) > 1}
    if not all(top.lower() in _SPLIT_FOLDERS for top in tops):
        return False
    if len({parts[1] for parts in paths if len(parts) > 2}) < 2:
        raise SourceError(
            f"folders named {few(sorted(tops))} are sides of a split, not genres, and in "
            f"{redact_credentials(root)} they have images of no genre; "
            "put a folder per genre into each, or rename them"
        )
    return True


def _or_the_table(root: str, files: Sequence[str]) -> str:
    """Say what more can be done where tables lie about."""
    tables = sorted(filter(is_table, files), key=lambda file: (file.count("/"), file))
    if not tables:
        return ""
    return f", or give the table {redact_credentials(filesystems.join(root, tables[0]))}"
