"""Computing over the blocks of a split, into blocks of what was computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import ray

from covertune.data_pipeline.dataset.blocks import Blocks
from covertune.data_pipeline.dataset.refs import CoverRefs

__all__ = ["ComputedBlocks", "Submit", "map_blocks"]


class Submit(Protocol):
    """Has a worker do something; `search.cluster.Workers.submit`, say."""

    def __call__(self, work: Callable[..., Any], *arguments: Any, num_returns: int) -> Any:
        """Return where the results will lie: one reference, or a list of them."""


@dataclass(frozen=True, eq=False)
class ComputedBlocks:
    """What was computed of the blocks of a split, in their order; small, and can be sent anywhere.

    Attributes:
        rows: Covers of each block.
        refs: Where the results lie, in Ray's object store.
    """

    rows: tuple[int, ...]
    refs: tuple[Any, ...]

    def get(self) -> list[Any]:
        """Wait for all of them; arrays are views of shared memory."""
        return list(ray.get(list(self.refs)))


def map_blocks(
    covers: CoverRefs, make: Callable[[], Callable[[Blocks], Any]], submit: Submit, *, tasks: int
) -> ComputedBlocks:
    """Compute something of each block, side by side; does not wait.

    A worker is handed a run of blocks, one after the other; what is costly to make, such as a
    model, is made once for each run. Each result is an object by itself, which Ray computes anew
    if it is lost.

    Args:
        covers: Whose blocks.
        make: Called in a worker; returns what is called with a block.
        submit: Has a worker do it.
        tasks: Runs of blocks at most.
    """
    blocks = len(covers.block_rows)
    tasks = min(tasks, blocks)
    refs: list[Any] = []
    for task in range(tasks):
        run = range(blocks * task // tasks, blocks * (task + 1) // tasks)
        done = submit(_of_run, covers, run, make, num_returns=len(run))
        refs += [done] if len(run) == 1 else done
    return ComputedBlocks(covers.block_rows, tuple(refs))


def _of_run(covers: CoverRefs, run: range, make: Callable[[], Callable[[Blocks], Any]]) -> Any:
    """Compute of some blocks; runs in a worker."""
    compute = make()
    results = [compute(covers.block(index)) for index in run]
    return results[0] if len(results) == 1 else tuple(results)
