"""The bytes of one source, wherever it lies."""

from __future__ import annotations

from pathlib import Path

from data_pipeline import _filesystems
from data_pipeline.downloads import read_download
from data_pipeline.errors import ImageRejected
from data_pipeline.images import read_file

__all__ = ["read_source"]


def read_source(path: str, downloads: Path | None = None) -> bytes:
    """Read an encoded picture whole.

    Args:
        path: Of a `Source`.
        downloads: Folder in which what URLs gave was kept.

    Raises:
        ImageRejected: There is no such file, it cannot be read, or its download failed.
    """
    if not path:
        raise ImageRejected("no path", "the table's row names no image")
    if _filesystems.is_web_address(path):
        if downloads is None:
            raise ImageRejected("not downloaded", path)
        return read_download(downloads, path)
    if not _filesystems.is_uri(path):
        return read_file(Path(path))
    try:
        with _filesystems.open_binary(path) as file:
            return file.read()
    except FileNotFoundError:
        raise ImageRejected("file not found", _filesystems.shown(path)) from None
    except OSError as err:
        raise ImageRejected(
            "unreadable file", f"{_filesystems.shown(path)}: {err.strerror or err}"
        ) from err
