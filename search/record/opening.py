"""Opens the storage a study lies in: the run's own file, its published copy, or the user's own.

What is found there is read once, whole: a file may be damaged in more ways than a database notices.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from covertune.passwords import hide_passwords, secrets_of, with_variables
from covertune.search.errors import RunError
from covertune.search.record.compat import exclusive_storage, read_only_storage
from covertune.wording import first_line

__all__ = [
    "SQLITE",
    "driven_storage",
    "is_about_the_data",
    "looked_at",
    "root_of",
    "storage_at",
]

SQLITE: Final = "sqlite:///"
_BUSY_TIMEOUT_S = 60.0
# A network file system may say for a moment that a log is there which another machine has removed.
_CACHED_S = (0.2, 1.0, 2.0)
_NOT_THERE = ("no such table", "no such column")
_PASSWORD_REMEDY = (
    "a password comes from PGPASSWORD or ~/.pgpass, from ${VARIABLE} in the URL, or with the URL "
    "given again by --storage"
)


def _quieten() -> None:
    # Optuna tells of every trial on its own logger; ours is the table.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def storage_at(url: str, *, to_look: bool = False) -> RDBStorage:
    """Open a storage that the user has named.

    Args:
        url: As it was given, with environment variables in it.
        to_look: Whether nothing is to be made there.

    Raises:
        RunError: It cannot be opened.
    """
    _quieten()
    try:
        full = with_variables(url)
    except KeyError as error:
        raise RunError(
            f"the storage {hide_passwords(url)} names the environment variable {error.args[0]}, "
            "which is not set; set it, or give the storage by --storage"
        ) from error
    file = Path(full.removeprefix(SQLITE).partition("?")[0])
    if to_look and full.startswith(SQLITE) and not file.exists():
        raise RunError(
            f"there is no study at {hide_passwords(url)}; bring the file back, or say where it "
            "is with --storage"
        )
    arguments = {"timeout": _BUSY_TIMEOUT_S} if full.startswith("sqlite") else {}
    try:
        return RDBStorage(
            full, engine_kwargs={"connect_args": arguments}, skip_table_creation=to_look
        )
    except (SQLAlchemyError, OptunaError, ImportError, RuntimeError, ValueError) as error:
        secrets = secrets_of(full) | secrets_of(url)
        reason = hide_passwords(first_line(root_of(error), at_most=None), secrets=secrets)
        remedy = "" if full.startswith("sqlite") else f"; {_PASSWORD_REMEDY}"
        # Not from it: what a database's library says may hold the URL.
        raise RunError(
            f"cannot open the study at {hide_passwords(url, secrets=secrets)}: {reason}{remedy}"
        ) from None


def driven_storage(file: Path) -> RDBStorage:
    """Open or make a run's own study for the one process that drives the run.

    Raises:
        RunError: Another program has it open, or the disk does not allow it.
        Exception: Anything, if it is damaged.
    """
    _quieten()
    for wait_s in (*_CACHED_S, None):
        try:
            return exclusive_storage(file, timeout_s=_BUSY_TIMEOUT_S)
        except Exception as error:
            if is_about_the_data(error):
                raise
            reason = first_line(root_of(error), at_most=None)
            if "unable to open" in reason and wait_s is not None:
                time.sleep(wait_s)
                continue
            remedy = "see to the disk and its permissions"
            if "locked" in reason:
                remedy = (
                    "another program has it open: close that (the copy beside it is to be read)"
                )
            raise RunError(f"cannot open the study {file}: {reason}; {remedy}") from error
    raise AssertionError


def looked_at(file: Path) -> RDBStorage:
    """Open a study's file so that nothing of it changes, nor anything beside it.

    Raises:
        Exception: Anything, if it is damaged.
    """
    _quieten()
    beside = [file.with_name(f"{file.name}{end}") for end in ("-wal", "-journal")]
    if any(log.is_file() and log.stat().st_size for log in beside):
        return read_only_storage(_in_memory(_merged(file)))
    return read_only_storage(lambda: _immutable(file))


def _immutable(file: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(file.absolute()))}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def _in_memory(database: bytes) -> Callable[[], sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.deserialize(database)
        return connection

    return connect


def _merged(file: Path) -> bytes:
    """Return a database that was not closed, its log merged; done elsewhere, on a copy."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        for end in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{file}{end}", f"{copy}{end}")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            return connection.serialize()


def is_about_the_data(error: BaseException) -> bool:
    """Tell whether a study could not be read for what it holds, not for the machine it lies on.

    SQLite calls what may be otherwise tomorrow (a lock, a full disk) operational.
    """
    for cause in _causes(error):
        if isinstance(cause, sqlite3.OperationalError | OperationalError):
            return any(words in str(cause) for words in _NOT_THERE)
        if isinstance(cause, OSError):
            return False
    return not isinstance(error, RunError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def root_of(error: BaseException) -> BaseException:
    """Return what Optuna and SQLAlchemy have wrapped."""
    for cause in _causes(error):
        if not isinstance(cause, OptunaError | SQLAlchemyError):
            return cause
    return error
