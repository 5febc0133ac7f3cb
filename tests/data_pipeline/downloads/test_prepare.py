"""Stores made of web addresses, through real Ray workers and a real server."""

import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from covertune.data_pipeline import DownloadSettings, PrepareSettings, StoreError, prepare_store
from covertune.data_pipeline.downloads import DownloadCounts, download_all

pytestmark = pytest.mark.usefixtures("local_ray")

QUICK = DownloadSettings(
    tries=2, connect_timeout_s=2.0, read_timeout_s=1.0, total_timeout_s=3.0, max_wait_s=1.0
)


def _table(path, server, paths):
    lines = [f"{server.url(p)},{'AB'[place % 2]}\n" for place, p in enumerate(paths)]
    path.write_text("".join(["image_url,category\n", *lines]))
    return path


def _rejected(store):
    rows = pq.read_table(store / "rejected.parquet").to_pylist()
    return {row["source"].split("/", 3)[3]: row["reason"] for row in rows}


GOOD = [f"ok/{number}" for number in range(8)]
BAD = {
    "status/404": "HTTP 404",
    "status/500": "HTTP 500",
    "page/0": "a web page instead of an image",
    "stall/9": "download timed out",
}


@pytest.mark.slow
def test_a_store_of_addresses(server, tmp_path):
    table = _table(tmp_path / "covers.csv", server, [*GOOD, *BAD, "moved/20", "plain/21"])
    calls = []
    summary = prepare_store(
        table,
        tmp_path / "store",
        downloads=QUICK,
        download_progress=lambda done, total: calls.append((done, total)),
    )
    folder = tmp_path / ".covertune-downloads"
    assert summary.downloads == DownloadCounts(folder=folder, downloaded=10, cached=0, failed=4)
    assert (summary.kept, _rejected(tmp_path / "store")) == (10, BAD)
    assert (calls[0], calls[-1]) == ((0, 14), (14, 14))
    before = server.requests.copy()

    again = prepare_store(table, tmp_path / "again", downloads=QUICK)
    assert again.downloads == DownloadCounts(folder=folder, downloaded=0, cached=10, failed=4)
    assert again.fingerprint == summary.fingerprint
    assert _rejected(tmp_path / "again") == BAD
    # what is final is not asked for again, what is not is
    asked = server.requests - before
    assert asked == {"status/500": 2, "stall/9": 2}

    before = server.requests.copy()
    prepare_store(
        table, tmp_path / "third", downloads=QUICK.model_copy(update={"retry_failed": True})
    )
    assert server.requests - before == {
        **{"status/500": 2, "stall/9": 2},
        **{"status/404": 1, "page/0": 1},
    }


def test_the_same_as_from_files(server, tmp_path):
    table = _table(tmp_path / "covers.csv", server, GOOD)
    for number in range(8):
        file = tmp_path / "files" / "AB"[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(server.cover(number))
    kept = DownloadSettings(folder=tmp_path / "kept")
    by_address = prepare_store(table, tmp_path / "a", downloads=kept)
    by_file = prepare_store(tmp_path / "files", tmp_path / "b")
    assert by_address.fingerprint == by_file.fingerprint
    assert by_address.downloads.folder == tmp_path / "kept"
    assert by_file.downloads is None
    assert not (tmp_path / ".covertune-downloads").exists()


def test_many_downloaders_keep_to_the_limit_together(server, tmp_path, monkeypatch):
    monkeypatch.setattr("covertune.data_pipeline.downloads._pass._BLOCK_URLS", 10)
    urls = [server.url(f"slow/{number}") for number in range(40)] + [server.url("slow/0")]
    counts = download_all(urls, tmp_path / "kept", DownloadSettings(per_host=6))
    assert (counts.downloaded, counts.cached, counts.failed) == (40, 0, 0)
    assert server.requests.total() == 40  # each address once
    assert server.most_at_once <= 6


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "kept").touch()
    with pytest.raises(StoreError, match=r"cannot keep downloads in .*kept: .*; name a folder"):
        download_all([server.url("ok/1")], tmp_path / "kept", DownloadSettings())


@pytest.mark.slow
def test_a_killed_prepare_goes_on_where_it_was(server, tmp_path):
    """The process and its Ray die without a word; what was whole by then is not asked for again."""
    slow = [f"slow/{number}" for number in range(200)]
    table = _table(tmp_path / "covers.csv", server, slow)
    program = (
        "import sys; from covertune.data_pipeline import DownloadSettings, prepare_store\n"
        "prepare_store(sys.argv[1], sys.argv[2], downloads=DownloadSettings(per_host=1))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, table, tmp_path / "store"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while server.requests.total() < 40 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    asked = 0
    while asked < server.requests.total():  # its workers notice and end
        asked = server.requests.total()
        time.sleep(2.0)
    assert 40 <= asked < 200
    whole = [p for p in (tmp_path / ".covertune-downloads").glob("??/*") if p.suffix == ""]
    settings = PrepareSettings(max_px=64)
    summary = prepare_store(table, tmp_path / "store", settings=settings)
    assert summary.downloads.cached == len(whole) >= asked // 2
    assert summary.downloads.downloaded == 200 - len(whole)
    assert server.requests.total() == asked + 200 - len(whole), "nothing whole is asked for again"
    assert summary.kept == 200
