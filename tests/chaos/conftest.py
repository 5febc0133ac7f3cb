"""Searches and prepares through the command line, made to be killed at moments drawn by chance.

Every command is the leader of a session of its own. All that Ray starts stays in that session, so
whatever a killed driver leaves behind is found, and ended, by the session's id.
"""

import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import optuna
import psutil
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
GENRES = {"Amber": (190, 120, 40), "Birch": (60, 170, 80), "Coral": (90, 70, 190)}
COVERS_PER_GENRE = 60
TRIALS = 5
EPOCHS = 4
LONG_FROM_KILLS = 10  # so many are asked for by `make chaos` alone
PATIENCE_S = 600  # for anything that takes seconds on a machine with nothing else to do
SEARCH = ("--backbones", "small_cnn", "--image-px", 32, "--trials", TRIALS, "--epochs", EPOCHS)


def pytest_collection_modifyitems(config, items):
    """Kills take as long as they take."""
    kills = config.getoption("--kills")
    if kills < LONG_FROM_KILLS:
        config.hook.pytest_deselected(items=[item for item in items if _is_long(item)])
        items[:] = [item for item in items if not _is_long(item)]
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(PATIENCE_S * (2 + kills)))


def _is_long(item):
    return item.get_closest_marker("long") is not None


class Command:
    """A covertune command in a session of its own."""

    def __init__(self, *arguments, cwd, ignores=None):
        self.arguments = [str(argument) for argument in arguments]
        self.lines, self.errors = [], []
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "covertune", *self.arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: _take_signals(ignores),
        )
        self._readers = [
            threading.Thread(target=self._read, args=each, daemon=True)
            for each in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe, lines):
        with pipe:
            lines += (line.rstrip("\n") for line in pipe)

    @property
    def pid(self):
        return self.process.pid

    @property
    def has_ended(self):
        return self.process.poll() is not None

    @property
    def age_s(self):
        return time.monotonic() - self.began

    def says(self, text):
        """Whether it has printed a line with this text."""
        return any(text in line for line in list(self.lines))

    def session(self):
        """Return all processes of its session that have not ended."""
        return [p for p in _in_session({self.pid}) if p.status() != psutil.STATUS_ZOMBIE]

    def family(self, *names):
        """Descendants, the youngest last; only those whose title begins with one of the names."""
        found = []
        try:
            children = psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            return found
        for child in children:
            try:
                title = " ".join(child.cmdline())
            except psutil.Error:
                continue
            if not names or title.startswith(names):
                found.append(child)
        return found

    def rays(self, *names):
        """Ray's own processes by the name of their program, e.g. `raylet`."""
        return [child for child in self.family() if _program(child) in names]

    def until(self, what, condition, *arguments):
        """Wait for a condition; False if the command ended before it came true."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(*arguments):
            if self.has_ended:
                return False
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}: {self.story}"
            time.sleep(0.02)
        return True

    def until_epochs(self, run, count=1, or_says=None):
        """Wait for new epochs; False if the command ended before, or said that other thing.

        What a worker writes that outlives the driver before by a second does not count.
        """
        if not self.until("its preparation", self.says, "checking the machine"):
            return False
        before = run.checkpoints

        def are_there():
            return run.has_epochs_beside(before, count) or (or_says and self.says(or_says))

        return self.until(f"{count} epochs", are_there) and run.has_epochs_beside(before, count)

    def kill(self):
        """SIGKILL to the driver alone."""
        self.process.kill()
        self.process.wait()

    def end(self, timeout_s=PATIENCE_S):
        """Wait for its own end, and for the pipes that its descendants may hold a moment longer."""
        self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(10)
        return self.process.returncode

    @property
    def story(self):
        """What it printed, for a test that fails."""
        return "\n".join([" ".join(self.arguments), *self.lines, "-- stderr --", *self.errors])


def _take_signals(ignores):
    """What a shell or nohup has its children ignore, the tests may be ignoring too."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == ignores else signal.SIG_DFL)


def _program(process):
    try:
        return Path(process.cmdline()[0]).name
    except (psutil.Error, IndexError):
        return ""


def _in_session(leaders):
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in leaders:
                found.append(process)
        except OSError:
            continue
    return found


@pytest.fixture
def start():
    """Start a command; whatever of it is left at the end of the test is killed."""
    started = []

    def begin(*arguments, cwd, ignores=None):
        started.append(Command(*arguments, cwd=cwd, ignores=ignores))
        return started[-1]

    yield begin
    for process in _in_session({command.pid for command in started}):
        process.kill()
    for command in started:
        command.end()


@pytest.fixture
def run_to_the_end(start):
    """Run a command that must succeed."""

    def run(*arguments, cwd):
        command = start(*arguments, cwd=cwd)
        assert command.end() == 0, command.story
        return command

    return run


@pytest.fixture
def kills(request):
    return request.config.getoption("--kills")


@pytest.fixture
def draws(request):
    """The chance of this test; its seed is printed, and shown if the test fails."""
    seed = request.config.getoption("--chaos-seed")
    if seed is None:
        seed = secrets.randbelow(10**6)
    print(f"{request.node.name}: repeat with --chaos-seed {seed}")
    return random.Random(f"{seed} {request.node.name}")


def draw_covers(folder, size=(48, 48), count=COVERS_PER_GENRE, noise=50):
    """JPEGs of one colour a genre with noise, all different."""
    for seed, (genre, colour) in enumerate(GENRES.items()):
        rng = np.random.default_rng(seed)
        (folder / genre).mkdir(parents=True)
        for number in range(count):
            coarse = rng.normal(colour, noise, size=(48, 48, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(coarse).resize(size).save(folder / genre / f"{number:03}.jpg")
    return folder


@pytest.fixture(scope="session")
def covers(tmp_path_factory):
    return draw_covers(tmp_path_factory.mktemp("chaos") / "covers")


@pytest.fixture(scope="session")
def store(covers):
    """A cover store of the covers."""
    command = Command("data", "prepare", covers, covers.parent / "store", cwd=covers.parent)
    assert command.end() == 0, command.story
    return covers.parent / "store"


class Run:
    """A run folder as a stranger sees it: the study with plain Optuna, files by their names."""

    def __init__(self, path):
        self.path = path
        self.finished = {}
        self.elapsed_s = 0.0

    @property
    def checkpoints(self):
        """Every checkpoint with the time of its last change: another value, another epoch."""
        found = {}
        for file in self.path.glob("tune/checkpoints/trial-*.pt"):
            try:
                found[file.name] = file.stat().st_mtime_ns
            except OSError:
                continue
        return found

    def has_epochs_beside(self, before, count=1):
        """Whether so many checkpoints are newer than what `checkpoints` said before."""
        return len(self.checkpoints.items() - before.items()) >= count

    @property
    def is_prepared(self):
        try:
            return "store_fingerprint" in json.loads((self.path / "run.json").read_text())
        except OSError:
            return False

    @contextlib.contextmanager
    def study(self, driven=False):
        """With plain Optuna; from the copy while a search drives the run, which holds the study."""
        file = "study-copy.db?immutable=1&uri=true" if driven else "study.db?uri=true"
        storage = optuna.storages.RDBStorage(f"sqlite:///file:{self.path / file}")
        try:
            yield optuna.load_study(study_name=self.path.name, storage=storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def trials(self, driven=False):
        if not self.is_prepared:
            return []
        with self.study(driven) as study:
            return study.get_trials()

    def look(self, driven=False):
        """What had ended before is as it was, the clock has not gone back; remember the rest."""
        trials = self.trials(driven)
        for number, before in self.finished.items():
            assert trials[number] == before, "a finished trial has changed"
        self.finished = {trial.number: trial for trial in trials if trial.state.is_finished()}
        if trials:
            with self.study(driven) as study:
                elapsed_s = study.user_attrs["elapsed_s"]
            assert elapsed_s >= self.elapsed_s, "the time spent went back"
            self.elapsed_s = elapsed_s
        return trials

    def require_whole(self, trials=TRIALS, epochs=EPOCHS):
        """Exactly the trials asked for, each ended once, with a history that adds up."""
        found = self.look()
        assert [trial.number for trial in found] == list(range(trials))
        assert all(trial.state.is_finished() for trial in found)
        assert len({trial._trial_id for trial in found}) == trials
        for trial in found:
            history = trial.user_attrs.get("history", [])
            measured = [epoch["epoch"] for epoch in history]
            assert measured == list(range(1, len(history) + 1))
            assert len(history) <= epochs
            assert trial.intermediate_values == {e["epoch"]: e["top1"] for e in history}
            if trial.state.name == "COMPLETE":
                full = 2 if trial.user_attrs["role"] == "untuned" else epochs
                assert measured == list(range(1, full + 1))
            if trial.state.name in ("COMPLETE", "PRUNED"):
                assert trial.value == history[-1]["top1"]
        roles = [trial.user_attrs["role"] for trial in found]
        assert roles.count("untuned") == 1
        assert len({json.dumps(trial.params, sort_keys=True) for trial in found}) == trials
        assert json.loads((self.path / "outcome.json").read_text())["trials"] == trials
        hidden = {path.name for path in self.path.rglob(".*")}
        assert hidden <= {".lock", ".validate_storage_marker"}, hidden
        assert list(self.path.glob("*.tmp")) == []
        return found

    @property
    def reasons(self):
        return [str(trial.user_attrs.get("reason")) for trial in self.trials()]


@pytest.fixture
def predicts(run_to_the_end, covers):
    """Require that the exported model tells genres."""

    def check(run):
        cover = covers / "Amber" / "000.jpg"
        command = run_to_the_end("predict", run.path / "model", cover, "--json", cwd=covers)
        [answer] = json.loads("\n".join(command.lines))
        assert answer["error"] is None
        assert {row["genre"] for row in answer["genres"]} <= set(GENRES)

    return check


@pytest.fixture
def new_run(start, store, tmp_path):
    """Start a search under a name; gives the run and its driver."""

    def begin(name, *more, runs_dir="runs", ignores=None):
        options = ("--runs-dir", runs_dir, "--name", name)
        command = start("search", store, *SEARCH, *options, *more, cwd=tmp_path, ignores=ignores)
        return Run(tmp_path / runs_dir / name), command

    return begin


@pytest.fixture
def resume(start, tmp_path):
    """Go on with a run."""

    def begin(run, *more):
        return start("resume", run.path, *more, cwd=tmp_path)

    return begin
