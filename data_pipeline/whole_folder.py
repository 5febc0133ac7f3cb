"""A folder that is there whole or not at all.

Everything goes to a hidden folder beside the one to be, which takes its name last of all.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

__all__ = ["whole_folder"]


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into; becomes `out` if the block ends well, else vanishes.

    Parents that had to be made vanish with it. What a killed process of this machine left of the
    same folder is removed first. An empty folder at `out` stays the same folder, which may be the
    one somebody works in or a mounted disk: the entries move into it one by one.

    Args:
        out: A new or an empty folder; to be checked by the caller.

    Raises:
        OSError: The place cannot be written.
    """
    out = out.resolve()  # "." has no name of its own
    fill = out.is_dir()
    created = [folder for folder in out.parents if not folder.exists()]
    partial = out.parent / f"{_partial_prefix(out)}{os.getpid()}.{secrets.token_hex(4)}"
    moved: list[Path] = []
    try:
        _remove_leftovers(out)
        partial.mkdir(parents=True)
        yield partial
        if fill:
            if any(out.iterdir()):
                raise OSError(errno.ENOTEMPTY, "somebody else has put something there", str(out))
            for entry in sorted(partial.iterdir()):
                moved.append(entry.rename(out / entry.name))
            partial.rmdir()
        else:
            partial.rename(out)
    except BaseException:
        for entry in (*moved, partial):
            _remove(entry)
        for folder in created:  # innermost first; stops at one that is used by now
            try:
                folder.rmdir()
            except OSError:
                break
        raise


def _partial_prefix(out: Path) -> str:
    return f".{out.name}.partial.{socket.gethostname()}."


def _remove(entry: Path) -> None:
    """Remove a file, or a folder in which a task that has not heard of the end may still write."""
    for _ in range(20):
        if entry.is_file():
            entry.unlink(missing_ok=True)
        shutil.rmtree(entry, ignore_errors=True)
        if not entry.exists():
            return
        time.sleep(0.1)


def _remove_leftovers(out: Path) -> None:
    """Remove what was left of the same folder when its writer was killed on this machine."""
    pattern = re.compile(re.escape(_partial_prefix(out)) + r"(\d+)\.[0-9a-f]+")
    for entry in out.parent.iterdir() if out.parent.is_dir() else ():
        match = pattern.fullmatch(entry.name)
        if match and not psutil.pid_exists(int(match[1])):
            _remove(entry)
