"""file:// on this machine, and s3:// on a server of its own (moto)."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from covertune.data_pipeline import filesystems, prepare_store
from covertune.data_pipeline.errors import ImageRejected, SourceError
from covertune.data_pipeline.prepare._reading import read_ahead, read_source
from covertune.data_pipeline.sources import find_sources


@pytest.fixture(scope="module")
def s3():
    """An S3 file system, and the end of the addresses that lead to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert server.poll() is None, "moto ended"
                assert time.monotonic() < deadline, "moto did not start"
                time.sleep(0.05)
        filesystem = fs.S3FileSystem(
            access_key="me",
            secret_key="secret",
            region="us-east-1",
            endpoint_override=f"http://127.0.0.1:{port}",
            allow_bucket_creation=True,
        )
        filesystem.create_dir("covers")
        yield filesystem, f"?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _upload(filesystem, folder, bucket_path):
    for file in (path for path in folder.rglob("*") if path.is_file()):
        key = f"{bucket_path}/{file.relative_to(folder).as_posix()}"
        with filesystem.open_output_stream(key) as stream:
            stream.write(file.read_bytes())


@pytest.fixture
def pile(tmp_path, make_folder):
    """Covers under names that an address must escape."""
    return make_folder(tmp_path / "my pile", {"Poetry & Prose": 4, "Travel #1?": 4})


def _error(match, source, **options):
    start = time.monotonic()
    with pytest.raises(SourceError, match=match) as caught:
        find_sources(source, **options)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 30


class TestFile:
    def test_a_folder_gives_the_same_covers(self, pile):
        by_path, by_uri = find_sources(pile), find_sources(pile.as_uri())
        facts = [(s.source, s.genre) for s in by_path.sources]
        assert [(s.source, s.genre) for s in by_uri.sources] == facts
        for one, other in zip(by_path.sources, by_uri.sources, strict=True):
            assert other.path.startswith("file:///")
            assert read_source(other.path) == read_source(one.path)
        assert len(find_sources(f"file://{pile}").sources) == 8  # not escaped

    def test_a_table_with_relative_paths_and_addresses(self, pile):
        inside = (pile / "Poetry & Prose" / "1.jpg").as_uri()
        rows = ["Poetry & Prose/0.jpg,A", f"{inside},A", "old/Travel #1?/0.jpg,B", "gone.jpg,B"]
        (pile / "covers.csv").write_text("path,genre\n" + "\n".join(rows))
        found = find_sources((pile / "covers.csv").as_uri())
        read = {}
        for source in found.sources:
            try:
                read[source.source] = read_source(source.path)
            except ImageRejected as err:
                read[source.source] = err.reason
        assert read == {
            "Poetry & Prose/0.jpg": (pile / "Poetry & Prose" / "0.jpg").read_bytes(),
            inside: (pile / "Poetry & Prose" / "1.jpg").read_bytes(),
            "Travel #1?/0.jpg": (pile / "Travel #1?" / "0.jpg").read_bytes(),
            "gone.jpg": "file not found",
        }

    def test_errors(self, tmp_path):
        _error("no covers at file:///no/where: there is no such", "file:///no/where")
        _error("cannot read file://host/x: .* got the host host; check", "file://host/x")
        _error("unknown kind of address ftp://; known: file, s3, gs, hdfs", "ftp://h/x")


@pytest.mark.usefixtures("local_ray")
class TestS3:
    def test_a_folder_gives_the_same_store(self, s3, pile, tmp_path):
        filesystem, end = s3
        _upload(filesystem, pile, "covers/deep/my pile")
        (pile / ".hidden.jpg").touch()
        address = f"s3://me:secret@covers/deep/my%20pile{end}"
        from_s3 = prepare_store(address, tmp_path / "a")
        from_disk = prepare_store(pile, tmp_path / "b")
        assert from_s3.fingerprint == from_disk.fingerprint
        assert (from_s3.kept, from_s3.rejected) == (8, 0)
        assert "secret" not in (tmp_path / "a" / "covers.json").read_text()
        sources = pq.read_table(tmp_path / "a" / "part-00000.parquet")["source"].to_pylist()
        assert all((pile / source).is_file() for source in sources)

    def test_a_table_here_of_files_there(self, s3, pile, tmp_path, monkeypatch):
        filesystem, end = s3
        _upload(filesystem, pile, "covers/plain")
        lines = [
            f"s3://me:secret@covers/plain/{name}/{number}.jpg{end},{genre}\n"
            for name, genre in {"Poetry%20&%20Prose": "A", "Travel%20%231%3F": "B"}.items()
            for number in range(5)
        ]
        (tmp_path / "covers.csv").write_text("path,genre\n" + "".join(lines))
        summary = prepare_store(tmp_path / "covers.csv", tmp_path / "store")
        assert (summary.kept, summary.reasons) == (8, {"file not found": 2})
        rejected = pq.read_table(tmp_path / "store" / "rejected.parquet").to_pylist()
        assert all("secret" not in str(row) for row in rejected)

    def test_a_table_there(self, s3, pile):
        filesystem, end = s3
        shutil.copytree(pile / "Poetry & Prose", pile / "A")
        shutil.copytree(pile / "Travel #1?", pile / "B")
        (pile / "covers.tsv").write_text("path\tgenre\nA/1.jpg\tA\n./B/1.jpg\tB\n")
        _upload(filesystem, pile, "covers/table")
        found = find_sources(f"s3://me:secret@covers/table/covers.tsv{end}")
        assert [s.source for s in found.sources] == ["A/1.jpg", "B/1.jpg"]
        for source in found.sources:
            assert read_source(source.path) == (pile / source.source).read_bytes()

    def test_errors(self, s3, tmp_path):
        _, end = s3
        _error("no covers at s3://nobody.*: there is no such", f"s3://me:secret@nobody/x{end}")
        _error("no covers at s3://covers/no", f"s3://me:secret@covers/nothing{end}")
        (tmp_path / "a.csv").write_text(f"path,genre\ns3://nobody/1.jpg{end},A\n")
        _error("there is no bucket nobody; check name, region", tmp_path / "a.csv")
        dead = "?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:9"
        _error("cannot read s3://covers/x.*; check name, region", f"s3://me:secret@covers/x{dead}")
        _error("unknown option 'zone' of s3://; known:", "s3://covers/x?zone=us")
        _error("cannot read s3://: ", "s3://")


@pytest.mark.skipif("HADOOP_HOME" in os.environ, reason="Hadoop is here")
def test_hdfs_without_its_library():
    _error("cannot read hdfs://.*; hdfs:// needs Java and Hadoop's libhdfs", "hdfs://nn:8020/x")


def test_no_address_is_a_path():
    assert not filesystems.is_uri(r"C:\covers\1.jpg")
    assert not filesystems.is_uri("C://covers")
    assert filesystems.is_web_address("HTTPS://h/1.jpg")


def test_reading_ahead_keeps_the_order_and_the_errors(pile):
    paths = [(pile / "Poetry & Prose" / f"{n}.jpg").as_uri() for n in (0, 3, 9, 1)] * 12
    paths += ["", "http://h/1.jpg", str(pile)]
    read = []
    for reader in read_ahead(paths):
        try:
            read.append(len(reader()))
        except ImageRejected as err:
            read.append(err.reason)
    sizes = [(pile / "Poetry & Prose" / f"{n}.jpg").stat().st_size for n in (0, 3, 1)]
    once = [*sizes[:2], "file not found", sizes[2]]
    assert read == [*once * 12, "no path", "not downloaded", "not a file"]
