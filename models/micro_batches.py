"""Fewer covers at a time, where a whole batch does not fit into memory.

A batch is cut into micro-batches of nearly equal size that go through the model one after the
other. What they add up to is that of the whole batch, except for batch normalisation in train mode:
it normalises each micro-batch by statistics of its own covers, not of all, and fewer covers make
noisier statistics. Nothing short of a second forward pass changes that, so it is accepted; only its
running statistics are kept at the pace of the recipe (`StepStatistics`).

Shapes: B batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from covertune.models.backbones.stages import is_batch_norm
from covertune.models.errors import OutOfMemory
from covertune.models.out_of_memory import free_memory, is_out_of_memory
from covertune.wording import first_line

__all__ = ["MicroBatches", "StepStatistics"]

T = TypeVar("T")


class MicroBatches:
    """How many covers go through a model at once; fewer each time memory runs out, never more.

    Args:
        device: Where.
        least: The fewest covers that make sense. A batch normalisation that normalises by the batch
            needs two: the statistics of one cover say nothing, and where its map is a single pixel
            torch refuses them.
    """

    def __init__(self, device: torch.device, *, least: int = 1) -> None:
        self.size: int | None = None
        """The most covers at once; None: as many as come. A batch with an odd cover too many for
        pairs has one micro-batch of three."""
        self.least = least
        self._device = device

    def cut(self, covers: int) -> list[slice]:
        """Cut a batch into micro-batches of nearly the same size, none smaller than `least`."""
        if self.size is None:
            return [slice(0, covers)]
        parts = max(min(-(-covers // self.size), covers // self.least), 1)
        ends = [covers * (number + 1) // parts for number in range(parts)]
        return [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]

    def run(
        self,
        covers: int,
        work: Callable[[Sequence[slice]], T],
        *,
        undo: Callable[[], None] | None = None,
    ) -> T:
        """Do a batch's work, again with half as many covers at once until memory suffices.

        Args:
            covers: B.
            work: Takes the micro-batches; begun anew after each time that memory ran out.
            undo: Takes back what work that was broken off has changed.

        Returns:
            What the work that went through gave.

        Raises:
            OutOfMemory: Not even `least` covers fit.
        """
        while True:
            parts = self.cut(covers)
            try:
                return work(parts)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(covers, parts, error)
            # Not before the error is gone: its traceback holds the maps of the step.
            if undo is not None:
                undo()
            free_memory(self._device)

    def _halve(self, covers: int, parts: Sequence[slice], error: Exception) -> None:
        largest = _largest(parts)
        before, self.size = self.size, max(-(-largest // 2), self.least)
        if _largest(self.cut(covers)) == largest:
            self.size = before
            raise OutOfMemory(
                f"out of memory with {largest} cover{'s' if largest > 1 else ''} at a time: "
                f"{first_line(error)}"
            ) from error


def _largest(parts: Sequence[slice]) -> int:
    return max(int(part.stop - part.start) for part in parts)


class StepStatistics:
    """The running statistics of batch normalisation, over the micro-batches of one step.

    Without a hand on them they would move once for each micro-batch, and forget faster than the
    recipe means: a momentum m becomes 1 - (1 - m)^share for a share of the covers, so that a whole
    step leaves (1 - m) of what was there before, however it was cut.

    Args:
        model: Its modules in train mode are looked at once.
    """

    def __init__(self, model: nn.Module) -> None:
        self._norms: list[Any] = [m for m in model.modules() if is_batch_norm(m) and m.training]
        self._kept = [[buffer.clone() for buffer in buffers] for buffers in self._buffers()]

    @property
    def fewest_covers(self) -> int:
        """What the model needs at once: two where anything in it normalises by the batch."""
        return 2 if self._norms else 1

    def keep(self) -> None:
        """Remember them as they stand."""
        for kept, now in zip(self._kept, self._buffers(), strict=True):
            if now:
                torch._foreach_copy_(kept, now)

    def put_back(self) -> None:
        """Bring back what was remembered."""
        for kept, now in zip(self._kept, self._buffers(), strict=True):
            if now:
                torch._foreach_copy_(now, kept)

    @contextlib.contextmanager
    def scaled_momentum(self, share: float) -> Iterator[None]:
        """Have statistics move, while it lasts, as far as a share of a step's covers is due."""
        if share == 1.0:
            yield
            return
        before = [norm.momentum for norm in self._norms]
        try:
            for norm in self._norms:
                if norm.momentum is not None:  # None: the mean of all batches
                    norm.momentum = 1 - (1 - norm.momentum) ** share
            yield
        finally:
            for norm, momentum in zip(self._norms, before, strict=True):
                norm.momentum = momentum

    def _buffers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return moments and counters, apart: a fused copy wants one type."""
        tracked = [norm for norm in self._norms if norm.running_mean is not None]
        moments = [moment for norm in tracked for moment in (norm.running_mean, norm.running_var)]
        return moments, [norm.num_batches_tracked for norm in tracked]
