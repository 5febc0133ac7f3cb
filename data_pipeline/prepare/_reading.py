"""The bytes of sources, wherever they lie."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.downloads import read_download
from covertune.data_pipeline.errors import ImageRejected
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.data_pipeline.images import MAX_FILE_BYTES, read_file
from covertune.wording import reason_of

__all__ = ["read_ahead", "read_source"]

_AHEAD = 16  # files being fetched while others are decoded


def read_ahead(
    paths: Sequence[str], downloads: Path | None = None
) -> Iterator[Callable[[], bytes]]:
    """Read sources one after the other, fetching the next ones meanwhile if they lie elsewhere.

    Args:
        paths: See `read_source`.
        downloads: See `read_source`.

    Yields:
        For each path, a function that returns the bytes or raises `ImageRejected`.
    """
    if not any(map(filesystems.is_uri, paths)):
        for path in paths:
            yield partial(read_source, path, downloads)
        return
    with ThreadPoolExecutor(_AHEAD) as pool:
        coming: deque[Future[bytes]] = deque()
        for path in paths:
            coming.append(pool.submit(read_source, path, downloads))
            if len(coming) > _AHEAD:
                yield coming.popleft().result
        while coming:
            yield coming.popleft().result


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
    if filesystems.is_web_address(path):
        if downloads is None:
            raise ImageRejected("not downloaded", path)
        return read_download(downloads, path)
    if not filesystems.is_uri(path):
        return read_file(Path(path))
    try:
        with filesystems.open_binary(path) as file:
            return file.read(MAX_FILE_BYTES + 1)  # what is larger is refused when it is decoded
    except FileNotFoundError:
        raise ImageRejected("file not found", redact_credentials(path)) from None
    except (OSError, ValueError) as err:
        raise ImageRejected(
            "unreadable file", f"{redact_credentials(path)}: {reason_of(err)}"
        ) from err
