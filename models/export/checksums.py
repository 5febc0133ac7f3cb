"""SHA256SUMS: what a model folder held when it was written, as `sha256sum -c` reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from covertune.models.errors import ModelFolderError

__all__ = ["SUMS", "check_sums", "write_sums"]

SUMS = "SHA256SUMS"


def write_sums(folder: Path, names: Sequence[str]) -> None:
    """Write the digests of files of a folder."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> None:
    """Compare the files that are there with their digests; a folder without digests passes.

    Raises:
        ModelFolderError: A file was changed or cut, or the digests cannot be read.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"cannot read {folder / SUMS}: {error}") from error
    for line in lines:
        digest, _, name = line.partition("  ")
        file = folder / Path(name).name
        if not file.is_file():
            continue  # who needs it says so
        try:
            found = _sha256(file)
        except OSError as error:
            raise ModelFolderError(f"cannot read {file}: {error.strerror}") from error
        if found != digest:
            raise ModelFolderError(
                f"{file} was changed or cut since the model folder was written, its SHA-256 is "
                f"not that of {SUMS}; take a whole copy, or remove {SUMS} if the change is meant"
            )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
