"""BookCover30 and BookCover32: the listings of Iwana et al. 2016 (arXiv:1610.09204).

https://github.com/uchidalab/book-dataset has, without any header,

    book30-listing-train.csv, …-test.csv, book32-listing.csv
        ASIN, file name, address, title, author, number of the genre, genre; in Latin-1
    bookcover30-labels-train.txt, …-test.txt
        `1588345297.jpg 1`: file name, number of the genre

and the images in a download of their own, in a folder such as `224x224`. An ASIN is text: it may
begin with zeros or end in X.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.data_pipeline.sources._columns import asin_key
from covertune.data_pipeline.sources._source import (
    FoundSources,
    OfficialSplit,
    Source,
    in_order,
    is_image,
    natural_key,
)
from covertune.data_pipeline.sources._table_files import read_lines, suffix_of
from covertune.wording import few

__all__ = ["GENRES", "find_listings", "from_listings", "is_listing"]

GENRES = (
    "Arts & Photography",
    "Biographies & Memoirs",
    "Business & Money",
    "Calendars",
    "Children's Books",
    "Comics & Graphic Novels",
    "Computers & Technology",
    "Cookbooks, Food & Wine",
    "Crafts, Hobbies & Home",
    "Christian Books & Bibles",
    "Engineering & Transportation",
    "Health, Fitness & Dieting",
    "History",
    "Humor & Entertainment",
    "Law",
    "Literature & Fiction",
    "Medical Books",
    "Mystery, Thriller & Suspense",
    "Parenting & Relationships",
    "Politics & Social Sciences",
    "Reference",
    "Religion & Spirituality",
    "Romance",
    "Science & Math",
    "Science Fiction & Fantasy",
    "Self-Help",
    "Sports & Outdoors",
    "Teen & Young Adult",
    "Test Preparation",
    "Travel",
)
"""The genres of BookCover30 by number, as its README has them."""

_NAME = re.compile(
    r"(?P<set>book(?:cover)?3[02])-(?P<kind>listing|labels)(?:-(?P<split>train|test))?\.(?:csv|txt)",
    re.IGNORECASE,
)
_COLUMNS = 7
_ASIN = re.compile(r"[0-9A-Z]{10}", re.IGNORECASE)
_LABEL_LINE = re.compile(r"(\S.*\.\w+)\s+(\d+)")
_ENCODING = "latin-1"
_USUAL_FOLDER = "224x224"


@dataclass(frozen=True)
class _Row:
    asin: str
    name: str
    address: str
    genre: str


def is_listing(table: str, encoding: str | None = None) -> bool:
    """Tell whether a file is such a listing: by its name, or for a CSV by its first line.

    Raises:
        SourceError: It cannot be read as its name says.
        OSError: It cannot be read at all.
    """
    if suffix_of(table) == ".txt" or _NAME.fullmatch(_base_name(table)):
        return True
    if suffix_of(table) != ".csv":
        return False
    _, row = next(read_lines(table, encoding or _ENCODING), (0, []))
    return len(row) == _COLUMNS and bool(_ASIN.fullmatch(row[0])) and row[5].isdigit()


def find_listings(root: str, files: Sequence[str]) -> list[str]:
    """Find the listings among the files of a folder, by their names.

    Labels are left out where the listing of the same side is there, which says more.

    Args:
        root: Location of the folder.
        files: Relative to it.

    Raises:
        SourceError: There are those of several sets, or in several folders.
    """
    matches = {file: _NAME.fullmatch(file.rpartition("/")[2]) for file in files if "ook" in file}
    found = {file: match for file, match in sorted(matches.items()) if match}
    if len({(file.rpartition("/")[0], match["set"][-2:]) for file, match in found.items()}) > 1:
        raise SourceError(
            f"a store is made of one listing, or of a train and a test listing side by side; "
            f"{redact_credentials(root)} has {few(found)}; give one of them, or its folder"
        )
    listed = {match["split"] for match in found.values() if match["kind"].lower() == "listing"}
    return [
        file
        for file, match in found.items()
        if match["kind"].lower() == "listing" or match["split"] not in listed
    ]


def from_listings(
    listings: Sequence[str], images: Sequence[str], encoding: str | None = None
) -> FoundSources:
    """List the covers of one listing, or of those of train and test together.

    An image that lies beside the listing or in any folder there is taken from there. Otherwise the
    address is, and labels have none.

    Args:
        listings: Locations of files in one folder.
        images: All files below that folder, relative to it.
        encoding: Latin-1 if not given.

    Raises:
        SourceError: A listing cannot be read.
        OSError: It cannot be read at all.
    """
    base = filesystems.parent_of(listings[0])
    file_of = _by_name(images)
    sources = []
    for listing in listings:
        split = _split_of(listing) if len(listings) > 1 else None
        for row in _rows(listing, images, encoding):
            file = file_of.get(row.name)
            if file is not None:
                path, source = filesystems.join(base, file), file
            elif row.address:
                path = source = row.address
            else:
                path, source = filesystems.join(base, row.name), row.name
            key = asin_key(row.asin)
            sources.append(Source(path, source, row.genre, (key,) if key else (), split))
    if not sources:
        shown = ", ".join(map(redact_credentials, listings))
        raise SourceError(f"a listing of covers needs rows, {shown} has none")
    return FoundSources(in_order(sources), ignored=0)


def _base_name(location: str) -> str:
    return location.partition("?")[0].replace("\\", "/").rpartition("/")[2]


def _split_of(listing: str) -> OfficialSplit | None:
    match = _NAME.fullmatch(_base_name(listing))
    if match is None or match["split"] is None:
        return None
    return "train" if match["split"].lower() == "train" else "test"


def _by_name(files: Sequence[str]) -> dict[str, str]:
    """Return each name's image: beside the listing, then in the usual folder, then others."""
    images = sorted(
        filter(is_image, files),
        key=lambda file: ("/" in file, not file.startswith(f"{_USUAL_FOLDER}/"), natural_key(file)),
    )
    return {file.rpartition("/")[2]: file for file in reversed(images)}


def _rows(listing: str, files: Sequence[str], encoding: str | None) -> Iterator[_Row]:
    if suffix_of(listing) == ".txt":
        yield from _label_rows(listing, files, encoding)
    else:
        for _, row in _listing_rows(listing, encoding):
            yield row


def _listing_rows(listing: str, encoding: str | None) -> Iterator[tuple[str, _Row]]:
    """Yield the number of the genre, and the row."""
    for line, values in read_lines(listing, encoding or _ENCODING):
        if len(values) != _COLUMNS:
            raise SourceError(
                f"a listing of BookCover has {_COLUMNS} columns (ASIN, file, address, title, "
                f"author, number, genre) and no header, line {line} of "
                f"{redact_credentials(listing)} has {len(values)}; repair that line"
            )
        asin, name, address, _, _, number, genre = (value.strip() for value in values)
        yield number, _Row(asin, name, address, genre)


def _label_rows(labels: str, files: Sequence[str], encoding: str | None) -> Iterator[_Row]:
    names = _genre_names(labels, files, encoding)
    for line, values in read_lines(labels, encoding or _ENCODING):
        text = ",".join(values).strip()  # read as CSV; a file name may hold a comma
        match = _LABEL_LINE.fullmatch(text)
        if match is None or match[2] not in names:
            raise SourceError(
                f"a line of labels is a file name and the number of one of {len(names)} genres, "
                f"line {line} of {redact_credentials(labels)} is {text[:80]!r}; repair that line, "
                "or give a folder per genre or a table with a header"
            )
        name = match[1]
        yield _Row(name.rpartition(".")[0], name, "", names[match[2]])


def _genre_names(labels: str, files: Sequence[str], encoding: str | None) -> dict[str, str]:
    """Return genres by number: from a listing beside the labels, else those that are known."""
    beside = sorted(
        file
        for file in files
        if "/" not in file
        and (match := _NAME.fullmatch(file))
        and match["kind"].lower() == "listing"
        and match["set"].endswith("30")
    )
    if not beside:
        return {str(number): genre for number, genre in enumerate(GENRES)}
    base = filesystems.parent_of(labels)
    return {
        number: row.genre
        for file in beside
        for number, row in _listing_rows(filesystems.join(base, file), encoding)
    }
