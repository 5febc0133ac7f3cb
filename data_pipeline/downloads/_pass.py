"""One pass that brings everything at web addresses into the downloads folder."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.compat import map_tables
from covertune.data_pipeline.downloads._client import Client, DownloadFailed
from covertune.data_pipeline.downloads._folder import DownloadFolder
from covertune.data_pipeline.downloads._settings import DownloadSettings
from covertune.data_pipeline.errors import StoreError
from covertune.wording import reason_of

__all__ = ["DownloadCounts", "download_all"]

_BLOCK_URLS = 256  # threads idle while the last of a block are tried again
_MOST_DOWNLOADERS = 4
_CPUS_EACH = 1 / _MOST_DOWNLOADERS
_MOST_THREADS = 32
_SCHEMA = pa.schema([("url", pa.string())])


class DownloadCounts(BaseModel):
    """What became of the web addresses among the sources."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(description="Where they are kept.")
    downloaded: int = Field(description="Downloaded by this prepare.")
    cached: int = Field(description="Downloaded before.")
    failed: int = Field(description="Not to be had, now or when they were asked for before.")


def download_all(
    urls: Iterable[str],
    folder: Path,
    settings: DownloadSettings,
    progress: Callable[[int, int], None] | None = None,
) -> DownloadCounts:
    """Download what is not in the folder yet; why something failed is kept there as well.

    Args:
        urls: Web addresses; doubles are asked for once.
        folder: Where to keep them; made if it is not there. Reachable from every node.
        settings: How.
        progress: Called with (done, total) addresses.

    Raises:
        StoreError: The folder cannot be written.
        CapacityError: Ray has no CPU free.
        DataError: Ray lost the work.
    """
    folder = folder.absolute()
    kept = DownloadFolder(folder)
    distinct = list(dict.fromkeys(urls))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept.remove_leftovers()
        states = {url: kept.state(url) for url in distinct}
        wanted = [
            url
            for url, state in states.items()
            if state == "unknown" or (state == "failed" and settings.retry_failed)
        ]
        before = Counter(states.values())
        known = len(distinct) - len(wanted)
        if progress:
            progress(known, len(distinct))
        now: Counter[str] = Counter()
        for outcomes in _outcomes(wanted, folder, settings):
            now.update(outcomes)
            if progress:
                progress(known + now.total(), len(distinct))
    except OSError as err:
        raise StoreError(
            f"cannot keep downloads in {folder}: {reason_of(err)}; "
            "name a folder that can be written and has room with --downloads"
        ) from err
    return DownloadCounts(
        folder=folder,
        downloaded=now["kept"],
        cached=before["kept"],
        failed=len(distinct) - now["kept"] - before["kept"],
    )


def _outcomes(urls: Sequence[str], folder: Path, settings: DownloadSettings) -> Iterable[list[str]]:
    """Ask for all, in blocks; yields what became of each block as it is done."""
    if not urls:
        return
    ray_tasks.require_free_cpu("downloading covers")
    # The limit on a host is shared out, since downloaders do not know of each other.
    downloaders = min(_MOST_DOWNLOADERS, settings.per_host, -(-len(urls) // _BLOCK_URLS))
    blocks = [
        pa.table({"url": urls[start : start + _BLOCK_URLS]}, schema=_SCHEMA)
        for start in range(0, len(urls), _BLOCK_URLS)
    ]
    with ray_tasks.unwrap_ray_errors("downloading covers"):
        for block in map_tables(
            _download_block,
            blocks,
            num_cpus=_CPUS_EACH,
            at_once=downloaders,
            folder=folder,
            settings=settings,
            per_host=settings.per_host // downloaders,
            pass_id=uuid.uuid4().hex,
        ):
            yield block["outcome"].to_pylist()


def _download_block(
    block: pa.Table, *, folder: Path, settings: DownloadSettings, per_host: int, pass_id: str
) -> pa.Table:
    """Do the work of one task; runs in a Ray worker."""
    client, kept = _client(settings, per_host, pass_id), DownloadFolder(folder)

    def bring(url: str) -> str:
        try:
            data = client.download(url)
        except DownloadFailed as err:
            kept.keep_failure(url, err.failure)
            return "failed"
        kept.keep(url, data)
        return "kept"

    with ThreadPoolExecutor(min(_MOST_THREADS, 4 * per_host)) as pool:  # hosts side by side
        outcomes = list(pool.map(bring, block["url"].to_pylist()))
    return pa.table({"outcome": outcomes}, schema=pa.schema([("outcome", pa.string())]))


@lru_cache(maxsize=1)
def _client(settings: DownloadSettings, per_host: int, pass_id: str) -> Client:
    """Return one client for all a worker does in a pass: connections stay open between blocks."""
    return Client(settings, per_host)
