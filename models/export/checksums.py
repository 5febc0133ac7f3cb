"""SHA256SUMS: what a model folder held when it was written, as `sha256sum -c` reads it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from covertune.models.errors import ModelFolderError
from covertune.wording import first_line, reason_of

__all__ = ["SUMS", "check_sums", "write_sums"]

SUMS = "SHA256SUMS"
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>[^/]+)")


def write_sums(folder: Path, names: Sequence[str]) -> None:
    """Write the digests of files of a folder."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> None:
    """Compare the files that are there with their digests; a folder without digests passes.

    Raises:
        ModelFolderError: A file was changed or cut, or the digests are damaged.
    """
    if not (folder / SUMS).exists():
        return
    for name, digest in _read_sums(folder / SUMS).items():
        file = folder / name
        try:
            if not file.is_file():
                continue  # who needs it says so
            found = _sha256(file)
        except OSError as error:
            raise ModelFolderError(f"cannot read {file}: {reason_of(error)}") from error
        if found != digest:
            raise ModelFolderError(
                f"{file} was changed or cut since the model folder was written, its SHA-256 is "
                f"not that of {SUMS}; take a whole copy, or remove {SUMS} if the change is meant"
            )


def _read_sums(file: Path) -> dict[str, str]:
    """Read digests in lower case by name, as `sha256sum` writes them, in text or in binary mode."""
    try:
        if not file.is_file():
            raise OSError("it is no file")
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"cannot read {file}: {first_line(error)}") from error
    found = [_LINE.fullmatch(line) for line in lines]
    if not found or None in found:
        raise ModelFolderError(
            f"{file} is damaged: a line must be a SHA-256, two spaces and a file's name; take a "
            "whole copy of the model folder, or remove it"
        )
    return {match["name"]: match["digest"].lower() for match in found if match}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
