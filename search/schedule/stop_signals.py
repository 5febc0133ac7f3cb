"""The stop a search is asked for: running trials keep their last checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from covertune.search.schedule.budget import Budget
from covertune.stops import answered_stops, is_stop_swallowed

__all__ = ["stopped_by_signals"]


@contextlib.contextmanager
def stopped_by_signals(budget: Budget, on_stop: Callable[[], None]) -> Iterator[None]:
    """Ask for a stop at the first signal; raise KeyboardInterrupt at the second.

    Args:
        budget: Is interrupted.
        on_stop: Called at the first signal, from its handler.
    """

    def answer() -> None:
        if budget.interrupted:
            raise KeyboardInterrupt
        budget.interrupt()
        on_stop()

    if is_stop_swallowed():
        answer()
    with answered_stops(answer):
        yield
