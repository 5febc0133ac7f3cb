"""What a person is told of what lies in a folder and becomes no cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from covertune.data_pipeline.sources._table_files import suffix_of
from covertune.wording import escaped, few, quoted_path

__all__ = ["nested_genres", "passed_over", "skipped_names", "without_genre"]

_SUFFIX_CHARS = 12


def skipped_names(skipped: Mapping[str, Sequence[str]]) -> list[str]:
    """Word what the listing left out: why, how many, which."""
    return [f"left out, {len(names):,}: {why}: {few(names)}" for why, names in skipped.items()]


def passed_over(files: Sequence[str]) -> list[str]:
    """Word which files are not looked at, by the ends of their names."""
    if not files:
        return []
    kinds = Counter(_kind(file) for file in files)
    by_count = sorted(kinds.items(), key=lambda found: (-found[1], found[0]))
    counted = few((f"{count:,} {kind}" for kind, count in by_count), at_most=5)
    return [
        f"passed over, {len(files):,}: no names of pictures that can be read, or of tables of use "
        f"here: {counted}; such as {few(sorted(files))}"
    ]


def _kind(file: str) -> str:
    name = file.rpartition("/")[2]
    return escaped(suffix_of(name), at_most=_SUFFIX_CHARS) if "." in name else "without an ending"


def without_genre(images: Sequence[str]) -> list[str]:
    """Word which images lie in no genre's folder."""
    if not images:
        return []
    return [
        f"refused, {len(images):,}: an image must lie in the folder of its genre, "
        f"{few(images)} {'does' if len(images) == 1 else 'do'} not"
    ]


def nested_genres(folder: str, images: Sequence[str]) -> list[str]:
    """Word which folders, each taken for one genre, look as if they held the genres themselves.

    Args:
        folder: Location of the folder of the genres.
        images: Relative to it.
    """
    paths = [image.split("/") for image in images if "/" in image]
    flat = {parts[0] for parts in paths if len(parts) == 2}
    inside: dict[str, set[str]] = {}
    for parts in paths:
        if parts[0] not in flat:
            inside.setdefault(parts[0], set()).add(parts[1])
    return [
        f"{few([top])} is taken for one genre, like {few(sorted(flat))} beside it, but has its "
        f"images in {len(folders):,} folders ({few(sorted(folders))}); if these are the genres, "
        f"give {quoted_path(f'{folder}/{top}')}"
        for top, folders in sorted(inside.items())
        if flat and len(folders) > 1
    ][:3]
