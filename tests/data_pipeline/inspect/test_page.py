import errno
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from covertune.data_pipeline import StoreError, prepare_store, write_page

CHROMIUM = ("chromium", "chromium-browser")


class Tags(HTMLParser):
    """Whatever a page would load, and whether its tags close in order."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, page):
        super().__init__()
        self.open, self.sources = [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "store.html"
    report = write_page(store.path, out)
    assert report.covers == 400
    return out


def test_carries_everything_inside_itself(page):
    sources = Tags(page.read_text("utf-8")).sources
    assert len(sources) > 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?:", page.read_text("utf-8"))


def test_says_what_the_report_says(page, store):
    text = re.sub(r"<[^>]+>", " ", page.read_text("utf-8"))
    assert store.fingerprint[:12] in text
    for genre in store.genres:
        assert genre in text
    assert "400 of 1 cover." in text


def test_in_a_folder_that_is_not_the_repository(page, store, tmp_path):
    """Started there, Python would find the template by the folder's own name."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "covertune", "data", "inspect"),
            *(store.path, "--html", tmp_path / "page.html"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text("utf-8") == page.read_text("utf-8")


def test_names_are_no_markup(make_cover, tmp_path, local_ray):
    for number in range(12):
        folder = tmp_path / "covers" / ("<b>&" if number % 2 else "Poetry")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}<i>.jpg").write_bytes(make_cover(number))
    (tmp_path / "covers/Poetry/<script>.jpg").write_bytes(b"no picture")
    prepare_store(tmp_path / "covers", tmp_path / "store")
    write_page(tmp_path / "store", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    Tags(page)
    assert "<script>" not in page
    assert "&lt;script&gt;.jpg" in page


def test_place_that_cannot_be_written(store):
    with pytest.raises(StoreError, match=r"cannot write the page .*choose another file"):
        write_page(store.path, store.path / "covers.json" / "page.html")


def test_a_failed_page_leaves_the_old_one(store, tmp_path, monkeypatch):
    page = tmp_path / "page.html"
    page.write_text("old")

    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match=r"page\.html: No space left on device; choose another"):
        write_page(store.path, page)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "old")]


@pytest.mark.browser
@pytest.mark.needs(*CHROMIUM)
def test_in_a_browser(page, store, tmp_path):
    done = subprocess.run(
        [
            next(filter(None, map(shutil.which, CHROMIUM))),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *("--window-size=1200,1600", f"--screenshot={tmp_path / 'page.png'}", "--dump-dom"),
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert f"<title>Covers of {store.path.name}</title>" in done.stdout
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
