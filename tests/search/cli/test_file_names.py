"""Genres are what their folders are called, on a terminal of Latin-1 too."""

import json
import subprocess

import pytest

LATIN = "en_US.ISO-8859-1"


@pytest.fixture
def latin_1(tmp_path):
    """The environment of an old server."""
    folder = tmp_path / "locales"
    folder.mkdir()
    make = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / LATIN)]
    try:
        made = subprocess.run(make, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs localedef, of Debian's package libc-bin")
    if not (folder / LATIN).is_dir():
        pytest.skip(f"needs what Debian's package locales describes: {made.stderr.strip()}")
    return {"LOCPATH": str(folder), "LC_ALL": LATIN, "PYTHONIOENCODING": "ascii:strict"}


def test_a_genre_in_other_letters(latin_1, covers, run_command, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    source = tmp_path / "covers"
    source.mkdir()
    for folder in covers.iterdir():
        (source / folder.name.replace("Amber", "Bücher …")).symlink_to(folder)
    ended = run_command("data", "prepare", source, "store", cwd=tmp_path, env=latin_1)
    assert (ended.code, ended.err) == (0, "")
    assert r"B\xfccher ..." in ended.out
    genres = json.loads((tmp_path / "store" / "covers.json").read_text("utf-8"))["genres"]
    assert genres == ["Birch", "Bücher …", "Coral"]
