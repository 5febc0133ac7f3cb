"""Processes that do the work around the trials: checks, probes, measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, cached_property, partial, wraps
from itertools import cycle
from types import TracebackType
from typing import Any, Self

import ray
import torch

from covertune.models.out_of_memory import free_memory
from covertune.search.plan import Slots

__all__ = ["Workers"]

_TRIES_AGAIN = 3  # after a process died
_PLACED_S = 60.0  # within which Ray gives all of them their share of a GPU, if it is free


class Workers:
    """As many processes as trials run side by side, on the same cores or the same shares of GPUs.

    On a CPU each piece of work is a Ray task, and Ray keeps the processes from one to the next. The
    process of a task that held a GPU it ends, for the next may be given another GPU; to import
    torch and to find the device anew took 10 s a task. So there actors do the work, and keep their
    share of a GPU until the `with` block ends; then all its memory is free for the trials. On a
    cluster where others hold GPUs, or a node was lost, those do it that found a place.

    Args:
        slots: How trials share the machines.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._actors: list[Any] = []
        if slots.gpus_per_trial:
            # No CPU of their own: covers are decoded while they wait.
            actor = ray.remote(num_cpus=0, num_gpus=slots.gpus_per_trial)(_Actor)
            self._actors = [actor.remote(slots.cpus_per_trial) for _ in range(slots.count)]
        self._task = cache(partial(_as_task, slots.cpus_per_trial))

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
        if self._actors:
            return  # they do so by themselves
        for _ in range(self.slots.count):
            self.submit(_load, retries=0)

    def submit(
        self,
        work: Callable[..., Any],
        *arguments: Any,
        retries: int = _TRIES_AGAIN,
        fresh_process: bool = False,
        num_returns: int = 1,
    ) -> Any:
        """Have one of them do a piece of work; does not wait.

        Args:
            work: A function of a module; torch may use as many threads in it as in a trial.
            arguments: Its arguments. Results of other work are waited for where they are arguments
                themselves, not inside a list: what waits within the work holds its GPU meanwhile,
                and if it is the only one, what it waits for never begins.
            retries: How often it is begun again if its process dies; on a GPU never.
            fresh_process: Whether to have a process of its own, where that can be had.
            num_returns: How many results it returns, each an object by itself.

        Returns:
            For `results`; a list of them where there are several.
        """
        if self._actors:
            do = next(self._in_turn).do.options(num_returns=num_returns)
            return do.remote(work, *arguments)
        task = self._task(work, max_retries=retries, max_calls=int(fresh_process))
        return task.options(num_returns=num_returns).remote(*arguments)

    @cached_property
    def _in_turn(self) -> Iterator[Any]:
        """The actors that have their GPU, at least one, again and again."""
        waiting = {actor.there.remote(): actor for actor in self._actors}
        placed, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=_PLACED_S)
        if not placed:  # as a task would
            placed, _ = ray.wait(list(waiting))
        return cycle([waiting[ref] for ref in placed])


class _Actor:
    def __init__(self, cpus: int) -> None:
        torch.set_num_threads(cpus)
        _load()

    def there(self) -> None:
        """Answer when it is."""

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return work(*arguments)
        finally:
            free_memory(torch.device("cuda"))


def _as_task(cpus: int, work: Callable[..., Any], **options: Any) -> Any:
    @wraps(work)
    def on_its_cores(*arguments: Any) -> Any:
        torch.set_num_threads(cpus)
        return work(*arguments)

    return ray.remote(num_cpus=cpus, **options)(on_its_cores)


def _load() -> None:
    """Load libraries; runs in a worker."""
    import timm  # noqa: F401  # brings torch and torchvision

    import covertune.models.training.finetune  # noqa: F401
