"""What goes to other processes and comes back from them, with errors a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError, WorkerCrashedError

from covertune.data_pipeline import DataError
from covertune.models import ModelError
from covertune.search.errors import SearchError
from covertune.wording import first_line, named_first_line

__all__ = ["results", "share"]


def results(
    futures: Sequence[Any], doing: str, *, remedy: str, error: type[SearchError] = SearchError
) -> list[Any]:
    """Wait for Ray tasks.

    Args:
        futures: Of the tasks.
        doing: What they do, for the message.
        remedy: What helps if they cannot.
        error: What to raise.

    Raises:
        SearchError: As `error`, for whatever went wrong; one line.
    """
    try:
        return list(ray.get(list(futures)))
    except RayTaskError as failed:
        cause = failed.cause if isinstance(failed.cause, Exception) else failed
        if isinstance(cause, ModelError | DataError):
            raise error(first_line(cause, at_most=None)) from cause
        if isinstance(cause, RayError) and cause is not failed:  # of work that this one waited for
            raise error(_lost(cause, doing, remedy)) from cause
        reason = named_first_line(cause, at_most=None)
        raise error(f"{doing} failed: {reason}; {remedy}") from cause
    except RayError as lost:
        raise error(_lost(lost, doing, remedy)) from lost


def _lost(error: RayError, doing: str, remedy: str) -> str:
    if isinstance(error, WorkerCrashedError | ActorDiedError):
        return f"{doing} failed: the worker died, most often for lack of memory; {remedy}"
    return f"{doing} failed: {named_first_line(error, at_most=None)}; {remedy}"


def share(value: object) -> Any:
    """Put a value into Ray's object store, once for all work that is handed it.

    Returns:
        What to hand out in its place.
    """
    return ray.put(value)
