"""The command line as a user meets it: one small store and one finished run for all tests.

Commands run in this process where that is enough; they then share the Ray session of the package.
Whatever is about a process of its own (exit, signals, what else lands on the terminal) starts one.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covertune.search.cli import main

GENRES = {"Amber": (190, 120, 40), "Birch": (60, 170, 80), "Coral": (90, 70, 190)}
COVERS_PER_GENRE = 20
COVER_PX = 48
TRIALS = 3
EPOCHS = 2


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str


def draw_genre(folder, colour, count, seed=0):
    """JPEGs of one colour with noise, all different."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = rng.normal(colour, 50, size=(COVER_PX, COVER_PX, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.jpg", quality=90)


def command(*arguments):
    """What to give subprocess for a covertune command."""
    return [sys.executable, "-m", "covertune", *map(str, arguments)]


def run_command(*arguments, cwd, env=None, timeout_s=240):
    """Run a command as a process of its own, with pipes for a terminal."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def tree(folder):
    """Every path below a folder with the bytes of the files, to see what a command left behind."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="session")
def start_command():
    """Start a command that a test will interrupt; what it prints is read from its pipes."""

    def start(*arguments, cwd):
        return subprocess.Popen(
            command(*arguments),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own, as a terminal gives each command
            # A shell lets what it runs in the background ignore Ctrl-C; the tests may be there.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


@pytest.fixture(name="run_command", scope="session")
def run_command_fixture():
    """Run a command as a process of its own."""
    return run_command


@pytest.fixture
def covertune(capsys):
    """Run a command in this process."""

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ended(ending.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def refused(covertune, tmp_path):
    """Run a command that must fail: one line, a code of failure, the folder as it was."""

    def run(*arguments, code=1):
        before = tree(tmp_path)
        ended = covertune(*arguments)
        assert ended.code == code
        # The phase it was in may have been named, nothing else.
        assert all(line.endswith(" …") for line in ended.out.splitlines() if line.strip())
        lines = ended.err.splitlines()
        assert len(lines) == 1, ended.err
        assert lines[0].startswith("error: ")
        assert tree(tmp_path) == before
        return lines[0]

    return run


@pytest.fixture(scope="session")
def covers(tmp_path_factory):
    """A folder per genre."""
    folder = tmp_path_factory.mktemp("cli") / "covers"
    for seed, (genre, colour) in enumerate(GENRES.items()):
        draw_genre(folder / genre, colour, COVERS_PER_GENRE, seed)
    return folder


@pytest.fixture(scope="session")
def prepared(covers):
    """How `data prepare` ended on the covers; it left the store beside them."""
    return run_command("data", "prepare", covers, "store", cwd=covers.parent)


@pytest.fixture(scope="session")
def store(covers, prepared) -> Path:
    """The store of the covers."""
    assert prepared.code == 0, prepared.err
    return covers.parent / "store"


@pytest.fixture(scope="session")
def search_ended(store):
    """How a small search on the store ended; all tests that need a run share it."""
    options = f"--backbones small_cnn --image-px 32 --trials {TRIALS} --epochs {EPOCHS}"
    place = ("--runs-dir", "runs", "--name", "finished")
    return run_command("search", "store", *options.split(), *place, cwd=store.parent)


@pytest.fixture(scope="session")
def run(store, search_ended) -> Path:
    """The finished run."""
    assert search_ended.code == 0, search_ended.err
    return store.parent / "runs" / "finished"


@pytest.fixture(scope="session")
def model(run) -> Path:
    """The model the search exported at its end."""
    return run / "model"
