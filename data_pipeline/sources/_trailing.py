"""Finds the file a table means where the path it gives was true on another machine.

`dataset/Poetry/7.jpg` means `book-covers/Poetry/7.jpg` if there is no folder `dataset` and no other
file ends in `Poetry/7.jpg`. Two components must agree, since numbered files of different genres
share their names; one is enough for a path that has no folder.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["TrailingPaths", "components"]


class TrailingPaths:
    """Files below a folder, found by the ends of their paths.

    Args:
        files: Paths relative to the folder, with slashes.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._by_name: dict[str, str | list[str]] = {}  # lists only where names repeat
        for file in files:
            name = file.rpartition("/")[2]
            others = self._by_name.get(name)
            if others is None:
                self._by_name[name] = file
            elif isinstance(others, str):
                self._by_name[name] = [others, file]
            else:
                others.append(file)

    def find(self, path: str) -> str | None:
        """The one file whose path has the longest common end with `path`; None if none has.

        Args:
            path: As a table gives it.
        """
        wanted = components(path)
        if not wanted:
            return None
        candidates = self._by_name.get(wanted[-1], [])
        if isinstance(candidates, str):
            candidates = [candidates]
        scored = sorted(
            ((_common_end(wanted, file.split("/")), file) for file in candidates), reverse=True
        )
        if not scored or scored[0][0] < min(2, len(wanted)):
            return None
        unique = len(scored) == 1 or scored[0][0] > scored[1][0]
        return scored[0][1] if unique else None


def components(path: str) -> list[str]:
    """The folders and the name of a path with slashes, or backslashes as Windows writes them."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _common_end(one: list[str], other: list[str]) -> int:
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
