"""What breaks a search off comes out as one line that says how to go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import OptunaError
from ray.exceptions import RayError
from ray.tune.error import TuneError
from sqlalchemy.exc import SQLAlchemyError

from covertune.passwords import hide_passwords
from covertune.search.cluster.session import log_to_file, ray_session, slow_store
from covertune.search.config import SearchConfig
from covertune.search.errors import Interrupted, SearchError
from covertune.search.events import SearchObserver
from covertune.search.record.run_folder import RunFolder
from covertune.wording import named_first_line

__all__ = ["as_search_error", "go_on", "held_session"]

_log = logging.getLogger(__name__)
_BREAKS_OFF = (TuneError, OptunaError, SQLAlchemyError, RayError, OSError)


@contextmanager
def held_session(run: RunFolder, config: SearchConfig, observer: SearchObserver) -> Iterator[None]:
    """Hold Ray, and a log that tells what broke a search off."""

    def ray_died(what: str, stopped: bool) -> None:
        if stopped:
            observer.stopped(go_on(run))
        else:
            observer.broken_off(f"{what}; see {run.log_file}, and {go_on(run)}")

    ray = ray_session(
        config.address, ray_died, memory_gb=config.memory_gb, spill_dir=config.spill_dir
    )
    with ray, log_to_file(run.log_file):
        if config.address is None and (warning := slow_store()) is not None:
            observer.warn(warning)
        try:
            yield
        except _BREAKS_OFF:
            _log.exception("the search broke off")
            raise


def go_on(run: RunFolder) -> str:
    """Return the command that goes on with a run, in a sentence."""
    return f"go on with `{run.resume_command}`"


@contextmanager
def as_search_error(run: RunFolder) -> Iterator[None]:
    """Turn what breaks a search off into one line that says how to go on.

    Raises:
        Interrupted: For a Ctrl-C that did not wait for the trials.
        SearchError: A study that cannot be read or written, a full disk, a Ray that gave up.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if not run.path.exists():
            raise
        raise Interrupted(go_on(run)) from stop
    except _BREAKS_OFF as error:
        remedy = "nothing is left behind"
        if run.path.exists():
            remedy = f"see {run.log_file}, and {go_on(run)}"
        raise SearchError(f"the search broke off: {_cause(error)}; {remedy}") from error


def _cause(error: BaseException) -> str:
    """Return what it was, which stands at the root.

    Optuna says of any trouble with its database the same, and Ray makes a traceback the message.
    """
    while isinstance(error, OptunaError | SQLAlchemyError | TuneError):
        beneath = error.__cause__ or error.__context__
        if beneath is None:
            break
        error = beneath
    return hide_passwords(named_first_line(error, at_most=None))
