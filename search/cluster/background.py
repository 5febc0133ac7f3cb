"""Work of low priority beside the search, which nobody waits for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from covertune.wording import first_line

__all__ = ["BackgroundWork", "WorkLostError"]

_LOWEST_PRIORITY = 19


class WorkLostError(Exception):
    """Work in the background came to nothing."""


class BackgroundWork:
    """One call in a process of its own, on one thread, after everything else.

    Args:
        work: A function of a module.
        arguments: Its arguments.
    """

    def __init__(self, work: Callable[..., Any], *arguments: Any) -> None:
        # A process of its own: one that is of low priority stays so.
        task = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(_at_low_priority)
        self._pending: Any = task.remote(work, *arguments)

    @property
    def is_pending(self) -> bool:
        """Whether its result was neither given out yet nor given up."""
        return self._pending is not None

    def result(self) -> Any:
        """Return what came of it, once; None while there is nothing. Does not wait.

        Raises:
            WorkLostError: Its process died, or the work raised.
        """
        if self._pending is None or not ray.wait([self._pending], timeout=0)[0]:
            return None
        done, self._pending = self._pending, None
        try:
            return ray.get(done)
        except RayError as error:
            raise WorkLostError(first_line(error, at_most=None)) from error

    def cancel(self) -> None:
        """Give it up."""
        if self._pending is not None:
            ray.cancel(self._pending, force=True)
        self._pending = None


def _at_low_priority(work: Callable[..., Any], *arguments: Any) -> Any:
    os.nice(_LOWEST_PRIORITY)
    torch.set_num_threads(1)
    return work(*arguments)
