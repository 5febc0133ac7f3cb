"""Who drives a run: a file that tells other machines.

A lock of the file system holds on one machine; over sshfs, or NFS without locks, each machine has
its own. So the driver makes `.owner` in the run folder, which no two can make at once, and writes
it again every few seconds. Who finds one that is still written to keeps away, unless the user says
that its writer is gone. Who finds another's in place of its own has lost the run, and stops.

Ages are those of the disk the folder lies on: clocks of two machines may differ by minutes.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from covertune.search.errors import RunError
from covertune.whole import write_whole

__all__ = ["FRESH_S", "Ownership", "owned"]

FRESH_S: Final = 60.0
"""After so many seconds without a beat nobody drives a run any more."""

_BEAT_S = 10.0
_SETTLE_S = 1.0  # in which another that took over in the same instant has written its name
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Ownership:
    """A run that is held by this process."""

    def __init__(self, file: Path, content: str) -> None:
        """Hold it by a file that was made already."""
        self._file = file
        self._content = content
        self._ended = threading.Event()
        self._taken_by: str | None = None
        self._thread = threading.Thread(target=self._beat, name="owner", daemon=True)
        self._thread.start()

    @property
    def taken_by(self) -> str | None:
        """The host that has taken the run over meanwhile; None while it is held."""
        return self._taken_by

    def look(self) -> None:
        """Write the file again, or find that it is another's."""
        found = _read(self._file)
        if found is not None and found != self._content:
            self._taken_by = _host_of(found)
        # A folder that is gone, a full disk: others see in time that nobody writes any more.
        with contextlib.suppress(OSError):
            if found is None:
                with self._file.open("x", encoding="utf-8") as out:
                    out.write(self._content)
            elif self._taken_by is None:
                with self._file.open("r+", encoding="utf-8") as out:
                    out.write(self._content)  # the disk's own clock stamps it

    def _beat(self) -> None:
        while self._taken_by is None and not self._ended.wait(_BEAT_S):
            self.look()

    def end(self) -> None:
        """Let go."""
        self._ended.set()
        self._thread.join()
        if _read(self._file) == self._content:
            with contextlib.suppress(OSError):
                self._file.unlink()


@contextlib.contextmanager
def owned(folder: Path, *, take_over: bool = False) -> Iterator[Ownership]:
    """Hold a run for this process, in the eyes of all machines that see its folder.

    Args:
        folder: Of the run.
        take_over: Take it from another machine that is gone.

    Raises:
        RunError: Another machine drives it.
        OSError: The folder cannot be written.
    """
    file = folder / ".owner"
    content = _our_name()
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(content)
    except FileExistsError:
        _take(file, content, folder.name, take_over=take_over)
    ownership = Ownership(file, content)
    try:
        yield ownership
    finally:
        ownership.end()


def _take(file: Path, content: str, run: str, *, take_over: bool) -> None:
    found = _read(file)
    if found is not None and not take_over and not _is_gone(found):
        age_s = _age_s(file)
        if age_s < FRESH_S:
            raise RunError(
                f"run {run!r} is driven from another machine, {_host_of(found)!r}, which wrote to "
                f"it {max(age_s, 0):.0f} s ago; stop it there, or, if that machine is gone, go on "
                f"in {FRESH_S:.0f} s, or at once with --take-over"
            )
    write_whole(file, content)
    if found is not None and not _is_gone(found):
        time.sleep(_SETTLE_S)
    if (now := _read(file)) != content:
        raise RunError(
            f"run {run!r} was taken over by {_host_of(now or '')!r} at the same moment; stop it "
            "there, or leave the run to it"
        )


def _our_name() -> str:
    process = psutil.Process()
    return json.dumps(
        {
            "host": socket.gethostname(),
            "boot": _boot(),
            "pid": process.pid,
            "started": process.create_time(),
            "token": secrets.token_hex(8),
        }
    )


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _is_gone(content: str) -> bool:
    """Tell whether the writer was a process of this machine, as it runs, that has ended."""
    told = _told(content)
    if told.get("host") != socket.gethostname() or told.get("boot") != _boot():
        return False
    try:
        return bool(psutil.Process(int(told["pid"])).create_time() != told.get("started"))
    except (psutil.NoSuchProcess, KeyError, TypeError, ValueError):
        return True
    except psutil.Error:
        return False


def _told(content: str) -> dict[str, Any]:
    try:
        told = json.loads(content)
    except ValueError:  # somebody was about to write it, or had no room
        return {}
    return told if isinstance(told, dict) else {}


def _host_of(content: str) -> str:
    return str(_told(content).get("host", "unknown"))


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _age_s(file: Path) -> float:
    """Return how long ago a file was written, by the clock of its disk."""
    probe = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    probe.write_text("now")
    try:
        return probe.stat().st_mtime - file.stat().st_mtime
    except FileNotFoundError:  # its owner has ended just now
        return FRESH_S
    finally:
        probe.unlink(missing_ok=True)
