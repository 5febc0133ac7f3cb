"""What people's folders, tables and shells hold: told in a line, shown escaped, never half done."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.text import Text
from tests.search.cli.conftest import command, draw_genre

from covertune.data_pipeline import prepare_store
from covertune.search.cli.render import live, trial_tables
from covertune.search.cli.render.live import LiveView
from covertune.search.record.run_folder import RunFolder
from covertune.wording import escaped, quoted_path

V0_1 = Path("tests/data/v0.1").resolve()
TITLE = "\x1b]0;mine\x07"
WIPE = "\x1b[2J[red]\nright\u202eleft $\\frac{"
SMALL = ("--backbones", "small_cnn", "--image-px", 32)


def has_only_what_can_be_seen(text):
    return all(escaped(line) == line for line in text.split("\n"))


def test_a_python_without_docstrings_is_told_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "covertune", "search"],
        env=os.environ | {"PYTHONOPTIMIZE": "2"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: Python runs without docstrings (-OO or PYTHONOPTIMIZE=2), and Ray needs its own; "
        "use PYTHONOPTIMIZE=1 at most\n"
    )


def test_a_current_folder_that_is_gone_is_told_in_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir ../gone; exec "$0" -P -m covertune search', sys.executable],
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the current folder is gone; change to one that exists: `cd`\n"


@pytest.fixture
def old(tmp_path):
    """A finished run of covertune 0.1, to be spoilt."""
    return Path(shutil.copytree(V0_1 / "run", tmp_path / "runs" / "it's old"))


@pytest.fixture(scope="module")
def hostile_covers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / f"covers {WIPE}"
    for genre, colour in {TITLE: (200, 40, 40), WIPE: (40, 40, 200)}.items():
        draw_genre(folder / genre, colour, 8, seed=len(genre))
    (folder / TITLE / f"no picture {WIPE}.jpg").write_bytes(b"nothing")
    (folder / f"stray {TITLE}.jpg").write_bytes(b"nothing")
    (folder / f"list.{WIPE}").touch()
    return folder


@pytest.fixture(scope="module")
def hostile_store(hostile_covers, local_ray):
    out = hostile_covers.parent / f"-store {WIPE}"
    prepare_store(hostile_covers, out)
    return out


def test_names_of_covers_are_shown_escaped(covertune, hostile_covers, tmp_path, local_ray):
    out = tmp_path / f"store {WIPE}"
    ended = covertune("data", "prepare", hostile_covers, out)
    assert (ended.code, ended.err) == (0, "")
    assert has_only_what_can_be_seen(ended.out)
    assert r"\x1b]0;mine\x07" in ended.out
    notes = [line for line in ended.out.splitlines() if line.startswith("note:")]
    assert notes[0].startswith("note:  refused, 1: an image must lie in the folder of its genre")
    assert notes[1].startswith("note:  passed over, 1: ")
    [line] = [line for line in ended.out.splitlines() if line.startswith("next:")]
    echoed = subprocess.run(
        ["bash", "-c", f"printf %s {line.removeprefix('next:  covertune search ')}"],
        capture_output=True,
        check=True,
    )
    assert echoed.stdout == os.fsencode(out)


def test_inspect_shows_them_escaped_and_its_json_as_they_are(covertune, hostile_store, tmp_path):
    page = tmp_path / f"page {WIPE}.html"
    ended = covertune("data", "inspect", hostile_store, "--html", page)
    assert (ended.code, ended.err) == (0, "")
    assert has_only_what_can_be_seen(ended.out)
    assert "[red]" in ended.out  # no markup
    html = page.read_text("utf-8")
    assert has_only_what_can_be_seen(html)
    assert r"\x1b[2J[red]\nright\u202eleft $\frac{" in html
    told = json.loads(covertune("data", "inspect", hostile_store, "--json").out)
    assert sorted(told["counts"]) == sorted([TITLE, WIPE])


def test_predict_shows_a_path_escaped_and_its_json_as_it_is(covertune, tmp_path):
    image = tmp_path / f"{WIPE}.jpg"
    shutil.copy(V0_1 / "covers" / "Amber.jpg", image)
    missing = tmp_path / TITLE
    ended = covertune("predict", V0_1 / "run" / "model", image, missing)
    assert ended.code == 1
    assert has_only_what_can_be_seen(ended.out)
    assert len(ended.out.splitlines()) == 2
    told = json.loads(covertune("predict", V0_1 / "run" / "model", image, "--json").out)
    assert told[0]["path"] == str(image)


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "inspect"],
        ["data", "prepare", "{}", "out"],
        ["trials"],
        ["resume"],
        ["dashboard"],
        ["export", "{}", "out"],
        ["predict", "{}", "cover.jpg"],
        ["evaluate", "{}", "store"],
        ["search", "--name"],
        ["search", "--backbones"],
        ["search", "--time-budget"],
        ["search", "--fit"],
        ["search", "--address"],
        ["search", "--config"],
        ["search", "--warm-start"],
        ["search", "--baseline"],
        ["data", "prepare", "covers", "out", "--conflicts"],
        [],
    ],
    ids=" ".join,
)
def test_errors_show_what_was_typed_escaped(covertune, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = TITLE + WIPE + "x" * 5000
    words = [word.format(odd) for word in arguments]
    ended = covertune(*(words if "{}" in arguments else [*words, odd]))
    assert ended.code in (1, 2)
    assert has_only_what_can_be_seen(ended.out + ended.err)
    assert len(ended.out + ended.err) < 80 * 24 * 2
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_the_live_view_shows_them_escaped(capsys, monkeypatch):
    view = LiveView()
    console = Console(width=100)
    monkeypatch.setattr(live, "console", console)
    view.phase(f"reading {WIPE}")
    view.warn(f"no {TITLE} " + WIPE * 900)
    view.broken_off(f"no {TITLE}")
    console.print(Text(trial_tables.trial_summary(f"recipe: {TITLE}", None, "FAIL", WIPE)))
    out, err = capsys.readouterr()
    assert has_only_what_can_be_seen(out + err)
    assert r"\x1b]0;mine\x07" in out
    assert len(out) < 3000


def test_pictures_of_genres_with_formulas_and_line_ends():
    import numpy as np

    from covertune.search.record.pictures import _as_png, draw_confusion

    figure = draw_confusion(np.eye(3, dtype=int), [WIPE, TITLE, "$a$ \\undefined{"])
    assert _as_png(figure).startswith(b"\x89PNG")
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [r"\x1b[2J[red]\nright\u202eleft…", r"\x1b]0;mine\x07", "$a$ \\undefined{"]


# -- names, lists, sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "x" * 300], "error: name: string should have at most 200 characters, got 'xxx"),
        (["--image-px", "64,64"], "error: each size of image_px is named once, got 64, 64"),
        (
            ["--fit", "weird"],
            "error: fits.0: input should be 'squash', 'pad' or 'crop', got 'weird'",
        ),
        (["--backbones", "nosuch"], "error: unknown backbone 'nosuch'; known: "),
        (
            ["--backbones", ",".join(["a"] * 5000)],
            "error: each backbone is named once, got a twice",
        ),
        (["--fit", ",".join(f"f{n}" for n in range(3000))], "error: fits.0: input should be "),
    ],
)
def test_values_that_cannot_be(refused, options, told, tmp_path):
    message = refused("search", *options, "--runs-dir", tmp_path / "runs", code=2)
    assert message.startswith(told)
    assert "after validation" not in message
    assert len(message) < 1700


def test_a_name_as_long_as_may_be_works(tmp_path):
    config = SimpleNamespace(store=None, name="x" * 200, runs_dir=tmp_path)
    assert RunFolder.create(config).path.is_dir()


def test_what_stands_in_the_way_of_the_lock(refused, old):
    (old / ".lock").unlink(missing_ok=True)
    (old / ".lock").mkdir()
    message = refused("resume", old)
    assert "cannot be locked: " in message
    assert message.endswith("/.lock: Is a directory; remove it")


def test_a_run_on_a_read_only_disk_is_read_and_not_resumed(covertune, refused, old, tmp_path):
    if os.getuid() != 0:
        pytest.skip("mounting a disk takes root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
    try:
        shutil.copytree(old, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert covertune("trials", disk / "run").code == 0
        message = refused("resume", disk / "run")
        assert "Read-only file system; make the run writable, or copy it" in message
    finally:
        subprocess.run(["umount", disk], check=True)


def test_checkpoints_that_are_gone_were_measured_all_the_same(refused, old):
    shutil.rmtree(old / "model")
    shutil.rmtree(old / "tune" / "checkpoints")
    message = refused("export", old, old.parent / "out")
    assert (
        'the checkpoints of run "it\'s old" are gone: its best trial, 1, measured 1.000, but '
        in message
    )
    command = message.rpartition("train more with `")[2].rstrip("`")
    assert shlex.split(command)[:2] == ["covertune", "resume"]
    assert Path(shlex.split(command)[2]).samefile(old)


def test_a_store_is_no_part_of_what_it_is_made_of(refused, tmp_path, monkeypatch):
    covers = tmp_path / "covers"
    draw_genre(covers / "A", (200, 0, 0), 1)
    (tmp_path / "link").symlink_to(covers)
    monkeypatch.chdir(covers)
    for source, out in [
        (covers, covers / "inside"),
        (tmp_path / "link", covers / "A" / "store"),
        (".", "store"),
        (covers.as_uri(), covers / "store"),
        (covers, covers / "A" / ".." / "store"),
    ]:
        message = refused("data", "prepare", source, out)
        assert message.startswith("error: a store must lie outside of the folder it is made of")


def test_commands_can_be_pasted(refused, tmp_path, monkeypatch):
    folder = tmp_path / "-it's my 'store' & $HOME"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    message = refused("data", "inspect", folder)
    assert shlex.split(message.rpartition("`covertune ")[2].rstrip("`")) == [
        *("data", "prepare", str(folder), "OUT"),
    ]
    message = refused("data", "inspect", "--", "-none here")
    command = shlex.split(message.rpartition("`covertune ")[2].rstrip("`"))
    assert command == ["data", "prepare", "SRC", str(tmp_path / "-none here")]
    assert quoted_path("-none here") == "'./-none here'"


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)
)  # 10 ** 19 values


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB + "trials: *a19", "trials: input should be a valid integer, got [[["),
        ("\n".join(f"k{n}: 1" for n in range(5000)), "unknown setting 'k0'; known: store, "),
        ("[" * 3000, "cannot read the configuration "),
        ('"a\\e[2J": 1', r"unknown setting 'a\x1b[2J'; known: store, "),
    ],
    ids=["a bomb", "many", "deep", "escape"],
)
def test_odd_configurations(refused, tmp_path, text, told):
    (tmp_path / "c.yaml").write_text(text)
    message = refused("search", "--config", tmp_path / "c.yaml", code=2)
    assert message.startswith(f"error: {told}")
    assert len(message) < 1700


@pytest.mark.parametrize("text", ["[" * 200_000, '{"schema_version": ' + "[" * 200_000])
def test_records_that_are_nested_without_end(refused, old, tmp_path, text):
    (old / "run.json").write_text(text)
    assert "run.json" in refused("trials", old)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "covers.json").write_text(text)
    assert "is damaged: covers.json" in refused("data", "inspect", tmp_path / "store")


def test_a_page_takes_no_pipes_place(refused, hostile_store, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    message = refused("data", "inspect", hostile_store, "--html", tmp_path / "pipe")
    assert message.endswith("a device, pipe or socket, not a file; choose another file")
    assert (tmp_path / "pipe").is_fifo()


# -- output that goes nowhere ----------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("arguments", [("--help",), ("trials", V0_1 / "run", "--json")])
def test_a_full_device(arguments):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "error: the output cannot be written: No space left on device; send it elsewhere\n",
    )


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_standard_streams_that_are_closed(closed, old):
    done = subprocess.run(
        [sys.executable, "-m", "covertune", "trials", old],
        preexec_fn=lambda: [os.close(number) for number in closed],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"trials, " in done.stdout) == (1 not in closed)


def test_a_reader_that_has_seen_enough():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command("backbones", "small_cnn", "--json"),  # so little that it waits in a buffer
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
