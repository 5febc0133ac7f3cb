"""Files and folders that are there whole or not at all.

What is written lies under a hidden name beside the one to be, is flushed to the disk, and takes its
name last of all. A reader, a process that is killed and a power cut find the old one or the new
one, never a part.

    .NAME.HEX.partial             a file being written
    .NAME.HOST.PID.HEX.partial    a folder being written
    .NAME.HOST.PID.HEX.old        a folder about to be removed, as another takes its place
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import IO

import psutil

__all__ = ["remove_partials", "whole_file", "whole_folder", "write_whole"]

_PARTIAL, _OLD = ".partial", ".old"


def write_whole(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Write a file whole or not at all; text is written as UTF-8.

    Args:
        path: Its name; folders above it are made.
        content: All of it.
        durable: As of `whole_file`.

    Raises:
        OSError: The place cannot be written; what lay there is as it was.
    """
    with whole_file(path, durable=durable) as out:
        out.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path, *, durable: bool = True, parents: bool = True) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only if the block ends well.

    Args:
        path: Its name in the end.
        durable: Whether it is to outlive a power cut from then on, for which the disk is waited
            for; without, a power cut soon after may leave the old one, none, or an empty one.
        parents: Whether folders above it are made where they are missing.

    Raises:
        OSError: The place cannot be written; what lay there is as it was.
    """
    _require_file(path)
    missing = _missing(path.parent)
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_PARTIAL}")
    try:
        with partial.open("xb") as out:
            yield out
            out.flush()
            if durable:
                os.fsync(out.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folders([path.parent, *(folder.parent for folder in missing)])


def _require_file(path: Path) -> None:
    """Leave devices, pipes and sockets alone: a rename would put a file in their place.

    Raises:
        OSError: It is one, or a link to one, as `/dev/stdout` is.
    """
    if path.is_symlink() and path.parent == Path("/dev"):
        raise OSError(errno.EINVAL, "a device, not a file", str(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "a device, pipe or socket, not a file", str(path))


@contextmanager
def whole_folder(path: Path, *, replace: bool = False, durable: bool = True) -> Iterator[Path]:
    """Make a folder to write into, which takes its name only if the block ends well.

    Folders above it that had to be made vanish with it. What a killed process of this machine left
    of the same folder is removed first.

    An empty folder of that name stays the same folder, as somebody may work in it or a disk may
    be mounted there: the entries move into it one by one. When one folder replaces another there
    is an instant between two renames in which neither has the name; who is killed right then
    leaves the old one beside it, and the next writer puts it back first.

    Args:
        path: Its name in the end.
        replace: Whether what lies there already gives way.
        durable: Whether it is to outlive a power cut from then on, for which the disk is waited
            for, file by file.

    Raises:
        FileExistsError: Something lies there, and is not to give way.
        OSError: The place cannot be written; what lay there is as it was.
    """
    path = path.resolve()  # "." has no name of its own
    _clear_leftovers(path)
    if not replace and os.path.lexists(path) and not _is_empty_folder(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    partial, missing = _beside(path, _PARTIAL), _missing(path.parent)
    try:
        partial.mkdir(parents=True)
        yield partial
        if durable:
            _sync_below(partial)
        _give_name(partial, path, replace=replace)
    except BaseException:
        _remove(partial)
        for folder in missing:  # innermost first; stops at one that is used by now
            try:
                folder.rmdir()
            except OSError:
                break
        raise
    if durable:
        _sync_folders([path, path.parent, *(folder.parent for folder in missing)])


def remove_partials(folder: Path, of: str = "*", *, older_than_s: float = 0.0) -> None:
    """Remove what writers that were killed left in a folder.

    Args:
        folder: Where files or folders were written.
        of: The name of one of them; all, if not given.
        older_than_s: Only what nobody has written to for so long; 0 where nobody writes any more.

    Raises:
        OSError: The folder cannot be read, or changed.
    """
    long_ago = time.time() - older_than_s
    for entry in folder.glob(f".{of}.*"):
        what, _, _ = entry.suffix.partition("-")  # SQLite writes `….partial-journal` beside it
        if what in (_PARTIAL, _OLD):
            with contextlib.suppress(FileNotFoundError):  # its writer lives, and has ended just now
                if not older_than_s or entry.lstat().st_mtime < long_ago:
                    _remove(entry)


def _missing(folder: Path) -> list[Path]:
    """Return a folder and those above it, innermost first, as far as they are to be made."""
    return list(takewhile(lambda above: not above.exists(), (folder, *folder.parents)))


def _give_name(partial: Path, path: Path, *, replace: bool) -> None:
    if not os.path.lexists(path):
        partial.rename(path)
    elif replace:
        _change_places(partial, path)
    else:
        _fill(path, partial)


def _change_places(partial: Path, path: Path) -> None:
    old = _beside(path, _OLD)
    path.rename(old)
    try:
        partial.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _remove(old)


def _fill(folder: Path, partial: Path) -> None:
    """Move all entries into an empty folder, or none."""
    moved: list[Path] = []
    try:
        if any(folder.iterdir()):
            message = "somebody else has put something there"
            raise OSError(errno.ENOTEMPTY, message, str(folder))
        for entry in sorted(partial.iterdir()):
            moved.append(entry.rename(folder / entry.name))
        partial.rmdir()
    except BaseException:
        for entry in moved:
            _remove(entry)
        raise


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _beside(path: Path, suffix: str) -> Path:
    writer = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{writer}{suffix}")


def _clear_leftovers(path: Path) -> None:
    """Remove what writers of the same folder left that were killed on this machine."""
    host = re.escape(socket.gethostname())
    left = re.compile(rf"\.{re.escape(path.name)}\.{host}\.(\d+)\.[0-9a-f]+\.(partial|old)")
    for entry in list(path.parent.iterdir()) if path.parent.is_dir() else ():
        match = left.fullmatch(entry.name)
        if match is None or psutil.pid_exists(int(match[1])):
            continue
        if entry.suffix == _OLD and not os.path.lexists(path):
            entry.rename(path)
        else:
            _remove(entry)


def _remove(entry: Path) -> None:
    """Remove a file, or a folder in which a task that has not heard of the end may still write."""
    for _ in range(20):
        if entry.is_file() or entry.is_symlink():
            entry.unlink(missing_ok=True)
        shutil.rmtree(entry, ignore_errors=True)
        if not os.path.lexists(entry):
            return
        time.sleep(0.1)


def _sync_below(folder: Path) -> None:
    """Have all files and names below a folder on the disk before it takes its own name."""
    for below, _, names in os.walk(folder):
        for name in names:
            with Path(below, name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_folders([Path(below)])


def _sync_folders(folders: Iterable[Path]) -> None:
    """Have the names that lie in folders on the disk."""
    for folder in dict.fromkeys(folders):
        # Some network file systems cannot; and what is written has its name by now.
        with contextlib.suppress(OSError):
            opened = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
