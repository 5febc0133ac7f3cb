import os

import pytest

from covertune.models import ModelFolderError
from covertune.models.export.checksums import check_sums, write_sums


@pytest.fixture
def sealed(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    write_sums(tmp_path, ["b", "a"])
    return tmp_path


def test_sha256sum_reads_them(sealed):
    lines = (sealed / "SHA256SUMS").read_text().splitlines()
    assert [line.partition("  ")[2] for line in lines] == ["a", "b"]
    assert os.system(f"cd {sealed} && sha256sum --quiet -c SHA256SUMS") == 0
    check_sums(sealed)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.upper().replace("  A", "  a").replace("  B", "  b"),
        lambda text: text.replace("  ", " *"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
    ],
    ids=["upper case", "binary mode", "byte order mark", "line ends"],
)
def test_other_ways_of_writing_the_same(sealed, rewrite):
    file = sealed / "SHA256SUMS"
    file.write_bytes(rewrite(file.read_text()).encode())
    check_sums(sealed)
    (sealed / "b").write_bytes(b"tow")
    with pytest.raises(ModelFolderError, match="b was changed or cut"):
        check_sums(sealed)


@pytest.mark.parametrize("content", ["", "rubbish", "0" * 63 + "  a", "0" * 64 + "  ../a"])
def test_what_is_no_list_of_digests(sealed, content):
    (sealed / "SHA256SUMS").write_text(content)
    with pytest.raises(ModelFolderError, match="SHA256SUMS is damaged: a line must be a SHA-256"):
        check_sums(sealed)


def test_what_is_no_file(sealed):
    (sealed / "SHA256SUMS").unlink()
    os.mkfifo(sealed / "SHA256SUMS")
    with pytest.raises(ModelFolderError, match=r"cannot read .*: it is no file"):
        check_sums(sealed)


def test_a_name_no_file_system_has(sealed):
    (sealed / "SHA256SUMS").write_text("0" * 64 + "  " + "n" * 5_000)
    with pytest.raises(ModelFolderError, match="File name too long"):
        check_sums(sealed)


def test_what_is_not_there_is_not_looked_at(sealed):
    (sealed / "a").unlink()
    check_sums(sealed)
    (sealed / "SHA256SUMS").unlink()
    (sealed / "b").write_bytes(b"else")
    check_sums(sealed)
