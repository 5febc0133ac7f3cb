"""The folder in which a local Ray keeps its sockets, logs and what does not fit into memory.

Each Ray has one of its own, below the folder for temporary files, that nobody else may enter: Ray
lets everybody write into what it makes. It is removed when that Ray ends. What a killed process
left is removed when the next one is started: a living owner holds a lock on its folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from covertune.data_pipeline.compat import LONGEST_SOCKET
from covertune.data_pipeline.errors import DataError
from covertune.wording import few, reason_of

__all__ = ["RayFolder"]

_PREFIX = "covertune-ray-"
# The longest path of a Unix socket, without the zero at its end; unix(7), and (4) on macOS.
_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
_RANDOM = re.compile(r"[a-z0-9_]{8}")  # of `tempfile.mkdtemp`
_RAYS = "ray"
_WORKERS = "tmp"
_TRIES = 20
_PAUSE_S = 0.1


@dataclass
class RayFolder:
    """One Ray's files.

    Attributes:
        path: Short enough for sockets; Ray gets `path / "ray"`.
        spill: Where objects go that do not fit into memory: the same, or a folder where the user
            wants them, or wants temporary files to be but whose path is too long for sockets.
        keep: Whether somebody is to read the logs after the end.
    """

    path: Path
    spill: Path
    keep: bool = False
    _locks: list[int] = field(default_factory=list, repr=False)

    @classmethod
    def make(cls, spill_dir: Path | None = None) -> RayFolder:
        """Make one, and remove those whose owners were killed.

        Args:
            spill_dir: Where it is to lie what objects take; None: with temporary files.

        Raises:
            DataError: There is no folder for temporary files that can be written and is not too
                deep, or `spill_dir` is none that can be written.
        """
        locks: list[int] = []
        spill = None if spill_dir is None else _make_spill(spill_dir, locks)
        tried = []
        for parent in _parents():
            try:
                _sweep(parent)
                if _is_short(parent):
                    folder = _make_locked(parent, locks)
                    return cls(folder, spill or folder, _locks=locks)
                spill = spill or _make_locked(parent, locks)
                tried.append(f"{parent} ({len(os.fsencode(parent))} bytes)")
            except OSError as error:
                tried.append(f"{parent} ({reason_of(error)})")
        _unlock(locks)
        if spill is not None:
            shutil.rmtree(spill, ignore_errors=True)
        told = few(tried, item_chars=None)
        raise DataError(
            "Ray needs a folder for temporary files that can be written and whose path has at "
            f"most {_longest_parent()} bytes; tried {told}; set RAY_TMPDIR to one"
        )

    @property
    def temp_dir(self) -> Path:
        """What Ray takes for its own."""
        return self.path / _RAYS

    @property
    def spill_dir(self) -> Path:
        """Where Ray may write objects."""
        return self.spill / _RAYS

    @property
    def workers_temp_dir(self) -> Path:
        """Where tasks put temporary files; one that is killed leaves them there."""
        return self.spill_dir / _WORKERS

    @property
    def logs(self) -> Path:
        """Where Ray writes why it fails."""
        return self.temp_dir / "session_latest" / "logs"

    def remove(self) -> None:
        """Remove it, but for logs that somebody is to read."""
        for folder in {self.path, self.spill}:
            if folder != self.path or not self.keep:
                _remove(folder)
        self.let_go()

    def let_go(self) -> None:
        """Leave it to be read until the next Ray is started."""
        _unlock(self._locks)


def _make_spill(parent: Path, locks: list[int]) -> Path:
    try:
        _sweep(parent)
        return _make_locked(parent, locks)
    except OSError as error:
        raise DataError(
            f"decoded covers must have a folder that can be written, got {parent} "
            f"({reason_of(error)}); make it, or choose another with --spill-dir"
        ) from error


def _parents() -> Iterator[Path]:
    """Yield folders that may take temporary files, what the user wants first."""
    names = [os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR"), "/tmp", "/var/tmp"]
    names.append(os.environ.get("XDG_RUNTIME_DIR"))
    with contextlib.suppress(FileNotFoundError):  # it has found none
        names.append(tempfile.gettempdir())
    yield from dict.fromkeys(Path(name).absolute() for name in names if name)


def _longest_parent() -> int:
    return _SOCKET_BYTES - len(f"/{_PREFIX}12345678/{_RAYS}/{LONGEST_SOCKET}")


def _is_short(parent: Path) -> bool:
    return len(os.fsencode(parent)) <= _longest_parent()


def _make_locked(parent: Path, locks: list[int]) -> Path:
    """Make a folder and hold its lock; somebody who sweeps may be quicker."""
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = _lock(folder)
            if folder.exists():
                locks.append(lock)
                return folder
            os.close(lock)
    raise BlockingIOError(f"somebody removes what is made in {parent}")


def _sweep(parent: Path) -> None:
    """Remove this user's folders that no living process holds."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_ours(folder):
                lock = _lock(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder was made here by this user, and holds nothing else."""
    return (
        _RANDOM.fullmatch(folder.name.removeprefix(_PREFIX)) is not None
        and folder.lstat().st_uid == os.geteuid()
        and {entry.name for entry in folder.iterdir()} <= {_RAYS}
    )


def _remove(folder: Path) -> None:
    """Remove a folder; a process that has not heard of the end may still write into it."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_S)


def _lock(folder: Path) -> int:
    """Take the lock of a folder, for as long as what is returned is open.

    Raises:
        BlockingIOError: Another process holds it.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(opened)
        raise
    return opened


def _unlock(locks: list[int]) -> None:
    while locks:
        os.close(locks.pop())
