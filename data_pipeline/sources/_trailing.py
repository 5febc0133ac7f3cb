"""Finds the file a table means where the path it gives was true on another machine.

`dataset/Poetry/7.jpg` means `book-covers/Poetry/7.jpg` if there is no folder `dataset` and no other
file ends in `Poetry/7.jpg`. Two components must agree, since numbered files of different genres
share their names; one is enough for a path that has no folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

__all__ = ["TrailingPaths", "components"]

_Index = dict[str, str | list[str]]
"""Files by the end of their path; lists only where several share it."""


class TrailingPaths:
    """Files below a folder, found by the ends of their paths.

    Args:
        files: Paths relative to the folder, with slashes.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files

    def find(self, path: str) -> str | None:
        """Find the one file whose path has the longest common end with `path`; None if none has.

        Args:
            path: As a table gives it.
        """
        wanted = components(path)
        if not wanted:
            return None
        if len(wanted) == 1:
            found = self._by_name.get(wanted[0])
        else:
            found = self._by_folder_and_name.get("/".join(wanted[-2:]))
        if not isinstance(found, list):
            return found
        ends = sorted((_common_end(wanted, file.split("/")), file) for file in found)
        return ends[-1][1] if ends[-1][0] > ends[-2][0] else None

    @cached_property
    def _by_name(self) -> _Index:
        return _index(self._files, 1)

    @cached_property
    def _by_folder_and_name(self) -> _Index:
        return _index(self._files, 2)


def components(path: str) -> list[str]:
    """Return the folders and the name of a path with slashes, or Windows' backslashes."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _index(files: Sequence[str], length: int) -> _Index:
    index: _Index = {}
    for file in files:
        end = "/".join(file.rsplit("/", length)[-length:])
        others = index.setdefault(end, file)
        if isinstance(others, list):
            others.append(file)
        elif others is not file:
            index[end] = [others, file]
    return index


def _common_end(one: list[str], other: list[str]) -> int:
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
