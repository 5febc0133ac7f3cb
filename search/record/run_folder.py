"""The run folder: where everything one search leaves behind lies.

    runs/NAME/run.json     resolved configuration, versions, store fingerprint; the fingerprint is
                           missing until the first trial may begin
              study.db     the Optuna study; opened by the process that drives the run alone
              study-copy.db    a copy of it as of a few seconds ago, for everybody else
              model/       the model folder, once the search has ended
              outcome.json what the search was worth; written last
              tune/        Ray Tune's files; tune/checkpoints holds a file for each trial still
                           needed, tune/tensorboard what TensorBoard shows
              probes/      frozen-feature probes, one file per backbone and image size
              artifacts/   pictures and tables of trials, attached to the study
              log.txt      warnings of the libraries, tracebacks of failed trials
              damaged-TIME/    a study that could not be read, and what only it knew

A run without outcome.json is concluded when it is resumed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from covertune.passwords import without_password
from covertune.search.config import SearchConfig
from covertune.search.errors import RunError
from covertune.search.record.manifest import RunManifest
from covertune.search.record.owner import Ownership, owned
from covertune.whole import remove_partials, write_whole
from covertune.wording import quoted_path, reason_of

__all__ = ["RunFolder", "checkpoint_name"]


def checkpoint_name(number: int) -> str:
    """Return the file name of a trial's checkpoint."""
    return f"trial-{number:05d}.pt"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run, and the few operations on the folder as a whole."""

    path: Path
    made_runs_dir: bool = False
    """Whether the folder of all runs was made for this one."""

    @classmethod
    def create(cls, config: SearchConfig) -> RunFolder:
        """Make an empty run folder.

        Raises:
            RunError: A run of that name exists, or the folder cannot be made.
        """
        stem = config.store.resolve().name if config.store is not None else "sample"
        name = config.name or f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        path = (config.runs_dir / name).absolute()
        if path.exists():
            remedy = "choose another --name, or "
            if cls(path).manifest_file.is_file():
                remedy += f"go on with `covertune resume {quoted_path(config.runs_dir / name)}`"
            else:
                remedy += "remove the folder, which is no run (it has no run.json)"
            raise RunError(f"run {str(config.runs_dir / name)!r} exists already; {remedy}")
        made_runs_dir = not config.runs_dir.exists()
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise RunError(
                f"cannot make the run folder {path}: {reason_of(error)}; choose another --runs-dir"
            ) from error
        run = cls(path, made_runs_dir)
        run._make_folders()
        return run

    def _make_folders(self) -> None:
        for folder in (self.checkpoints, self.probes, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run.

        Raises:
            RunError: Missing, not a run, or written by another version's schema.
        """
        run = cls(path.absolute())
        if not path.exists():
            raise RunError(f"no run at {path}; `covertune search` makes one")
        if not run.manifest_file.is_file():
            raise RunError(f"{path} is not a run folder: it has no run.json")
        run.manifest()
        return run

    @property
    def resume_command(self) -> str:
        """What goes on with it, typed where this process works."""
        return f"covertune resume {quoted_path(os.path.relpath(self.path))}"

    @property
    def name(self) -> str:
        """The run's name: the last part of its path."""
        return self.path.name

    @property
    def manifest_file(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    @property
    def study_file(self) -> Path:
        """study.db."""
        return self.path / "study.db"

    @property
    def study_copy(self) -> Path:
        """study-copy.db."""
        return self.path / "study-copy.db"

    @property
    def log_file(self) -> Path:
        """log.txt."""
        return self.path / "log.txt"

    @property
    def outcome_file(self) -> Path:
        """outcome.json; only there once the search is concluded."""
        return self.path / "outcome.json"

    @property
    def model(self) -> Path:
        """The model folder of the search; only there once it has been concluded."""
        return self.path / "model"

    @property
    def tune(self) -> Path:
        """Ray Tune's folder."""
        return self.path / "tune"

    @property
    def checkpoints(self) -> Path:
        """One checkpoint a trial, overwritten after each epoch."""
        return self.tune / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """What TensorBoard shows: a folder a trial."""
        return self.tune / "tensorboard"

    @property
    def probes(self) -> Path:
        """Frozen-feature probes."""
        return self.path / "probes"

    @property
    def raw_sample(self) -> Path:
        """Sample covers on their way to a store."""
        return self.path / "sample"

    @property
    def artifacts(self) -> Path:
        """Optuna's artifact store."""
        return self.path / "artifacts"

    def checkpoint(self, number: int) -> Path:
        """Return the checkpoint file of one trial.

        It exists once an epoch is done, and until nobody needs it (`search.record.retention`).
        """
        return self.checkpoints / checkpoint_name(number)

    def checkpoint_bytes(self) -> dict[int, int]:
        """Return the sizes of the checkpoints that are there, by trial number."""
        sizes = {}
        for file in sorted(self.checkpoints.glob("trial-*.pt")):
            with contextlib.suppress(FileNotFoundError, ValueError):  # gone meanwhile, or not ours
                sizes[int(file.stem.removeprefix("trial-"))] = file.stat().st_size
        return sizes

    def drop_partial_checkpoints(self) -> None:
        """Remove what workers that were killed had half written; only while none runs."""
        remove_partials(self.checkpoints)

    def manifest(self) -> RunManifest:
        """Return what run.json holds.

        Raises:
            RunError: It cannot be read.
        """
        return RunManifest.read(self.manifest_file)

    @property
    def is_prepared(self) -> bool:
        """Whether the first trial may have begun; before, a resumed search prepares it anew."""
        return self.manifest().is_prepared

    def config(self) -> SearchConfig:
        """Return the configuration this run was started with.

        Raises:
            RunError: This version cannot read it.
        """
        return self.manifest().search_config(self.manifest_file)

    def start(self, config: SearchConfig, **known: Any) -> None:
        """Write run.json for the first time.

        Args:
            config: The resolved configuration.
            known: Further fields of `RunManifest`.
        """
        manifest = RunManifest(study=self.name, config=_to_be_written(config), **known)
        manifest.write(self.manifest_file)

    def update(self, config: SearchConfig, **known: Any) -> None:
        """Write run.json anew, with another configuration or more that is known.

        Args:
            config: The resolved configuration; limits may have changed.
            known: Fields of `RunManifest`; what else it held is kept.
        """
        before = self.manifest().model_dump(exclude={"versions"})
        fields = {**before, "config": _to_be_written(config), **known}
        RunManifest(**fields).write(self.manifest_file)

    def write_outcome(self, outcome: str) -> None:
        """Write outcome.json whole or not at all; from then on the search is concluded."""
        write_whole(self.outcome_file, f"{outcome}\n")

    def remove(self) -> None:
        """Delete the folder; for a run that never got to its first trial."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.made_runs_dir:
            with contextlib.suppress(OSError):  # another run may have begun in it
                self.path.parent.rmdir()

    @contextlib.contextmanager
    def lock(self, *, take_over: bool = False) -> Iterator[Ownership]:
        """Hold the run for this process.

        Args:
            take_over: Take it from another machine, which is gone.

        Raises:
            RunError: Another process drives it, here or on another machine.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"run {self.name!r} is driven by another process; wait for it, or stop it"
            ) from error
        except OSError as error:
            file = Path(lock.lock_file)
            remedy = "remove it" if file.is_dir() else "make the run writable, or copy it"
            raise RunError(
                f"run {self.name!r} cannot be locked: {file}: {reason_of(error)}; {remedy}"
            ) from error
        try:
            with owned(self.path, take_over=take_over) as ownership:
                self._make_folders()  # somebody may have removed what he had no use for
                remove_partials(self.path, of=self.study_copy.name)  # of a driver that was killed
                yield ownership
        finally:
            lock.release()


def _to_be_written(config: SearchConfig) -> dict[str, Any]:
    """Return a configuration as it may lie on a disk that others read: without a password."""
    written = config.model_dump(mode="json")
    if config.storage is not None:
        written["storage"] = without_password(config.storage)
    return written
