"""Progress bars for the phases of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from covertune.search.cli.render.console import console

__all__ = ["progress_bar", "progress_bars"]


Move = Callable[[int, int], None]
"""Moves a bar: (done, total)."""


@contextmanager
def progress_bar(label: str) -> Iterator[Move]:
    """Show a bar while the phase runs; yields the function that moves it: (done, total)."""
    with progress_bars(label) as (move,):
        yield move


@contextmanager
def progress_bars(*labels: str) -> Iterator[list[Move]]:
    """Show a bar for each phase, all but the last from when it is first moved.

    Yields:
        The functions that move them: (done, total).
    """
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        last = labels[-1]
        tasks = [progress.add_task(label, total=None, visible=label == last) for label in labels]

        def mover(task: TaskID) -> Move:
            return lambda done, total: progress.update(
                task, completed=done, total=total, visible=True
            )

        yield [mover(task) for task in tasks]
