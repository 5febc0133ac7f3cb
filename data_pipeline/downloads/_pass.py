"""One pass that brings everything at web addresses into the downloads folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data_pipeline import _ray
from data_pipeline.downloads._client import Client, DownloadFailed
from data_pipeline.downloads._folder import DownloadFolder
from data_pipeline.downloads._settings import DownloadSettings
from data_pipeline.errors import StoreError

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
            f"cannot keep downloads in {folder}: {err.strerror or err}; "
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
    import ray.data

    _ray.require_free_cpu("downloading covers")
    # The limit on a host is shared out, since downloaders do not know of each other.
    downloaders = min(_MOST_DOWNLOADERS, settings.per_host, -(-len(urls) // _BLOCK_URLS))
    blocks = [
        pa.table({"url": urls[start : start + _BLOCK_URLS]}, schema=_SCHEMA)
        for start in range(0, len(urls), _BLOCK_URLS)
    ]
    with _ray.quiet_ray_data(), _ray.causes_raised("downloading covers"):
        done = ray.data.from_arrow(blocks).map_batches(
            _Downloader,
            fn_constructor_args=(folder, settings, settings.per_host // downloaders),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=_CPUS_EACH,
            compute=ray.data.ActorPoolStrategy(size=downloaders),
        )
        for block in done.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield block["outcome"].to_pylist()


class _Downloader:
    """Runs in a Ray actor, so that connections and what is known of hosts last between blocks."""

    def __init__(self, folder: Path, settings: DownloadSettings, per_host: int) -> None:
        self._folder = DownloadFolder(folder)
        self._client = Client(settings, per_host)
        self._threads = min(_MOST_THREADS, 4 * per_host)  # several hosts are asked side by side

    def __call__(self, block: pa.Table) -> pa.Table:
        with ThreadPoolExecutor(self._threads) as pool:
            outcomes = list(pool.map(self._bring, block["url"].to_pylist()))
        return pa.table({"outcome": outcomes}, schema=pa.schema([("outcome", pa.string())]))

    def _bring(self, url: str) -> str:
        try:
            data = self._client.download(url)
        except DownloadFailed as err:
            self._folder.keep_failure(url, err.failure)
            return "failed"
        self._folder.keep(url, data)
        return "kept"
