"""Processes that do the work around the trials: checks, probes, measurements."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import cycle
from types import TracebackType
from typing import Any, Self

import ray
import torch

from models.memory import release
from search.machine.cluster import Slots

__all__ = ["Workers"]

_TRIES_AGAIN = 3  # after a worker died


class Workers:
    """As many processes as trials run side by side, each with what a trial holds.

    On a CPU each piece of work is a Ray task, and Ray keeps the processes from one to the next. The
    process of a task that held a GPU it ends, for the next may be given another GPU; to import
    torch and to find the device anew took 10 s a task. So there actors do the work, and keep their
    share of a GPU until the `with` block ends; then all its memory is free for the trials.

    Args:
        slots: What a trial holds.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._actors: list[Any] = []
        if slots.gpus_per_trial:
            # No CPU of their own: covers are decoded while they wait.
            actor = ray.remote(num_cpus=0, num_gpus=slots.gpus_per_trial, max_restarts=-1)(_Actor)
            self._actors = [actor.remote() for _ in range(slots.count)]
        self._next_actor = cycle(self._actors)
        self._task = cache(partial(_as_task, num_cpus=slots.cpus_per_trial))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for actor in self._actors:
            ray.kill(actor)

    def warm(self) -> None:
        """Begin to load libraries in all of them; does not wait.

        A process takes seconds to import torch and timm. Where that happened one after the other (a
        process for the preflight, the next for the probes), it would add up before the first
        trial.
        """
        for _ in range(self.slots.count):
            self.hand_out(_load, retries=0)

    def hand_out(
        self,
        work: Callable[..., Any],
        *arguments: Any,
        retries: int = _TRIES_AGAIN,
        anew: bool = False,
    ) -> Any:
        """Have one of them do a piece of work; does not wait.

        Args:
            work: A function of a module.
            arguments: Its arguments. Results of other work are waited for where they are arguments
                themselves, not inside a list: what waits within the work holds its GPU meanwhile,
                and if it is the only one, what it waits for never begins.
            retries: How often it is begun again if its process dies.
            anew: Whether to have a process of its own, where that can be had.

        Returns:
            For `results_of`.
        """
        if self._actors:
            do = next(self._next_actor).do.options(max_task_retries=retries)
            return do.remote(work, *arguments)
        return self._task(work, max_retries=retries, max_calls=int(anew)).remote(*arguments)


class _Actor:
    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return work(*arguments)
        finally:
            release(torch.device("cuda"))


def _as_task(work: Callable[..., Any], **options: Any) -> Any:
    return ray.remote(**options)(work)


def _load() -> None:
    """Runs in a worker."""
    import timm  # noqa: F401  # brings torch and torchvision

    import models.finetune  # noqa: F401
