"""What the end of a trial means.

Ray says no more than that a trial has ended, with the last result or with an error. What follows
depends on why: on the rule that stopped it, the clock, the worker, the recipe. The decision is a
function of plain facts, without Ray, Optuna or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "HALVED",
    "OUT_OF_TIME",
    "Complete",
    "Decision",
    "Fail",
    "Prune",
    "Retry",
    "Suspend",
    "TrialEnd",
    "decide",
]

HALVED = "successive halving"
"""Why a trial was stopped by the rule."""

OUT_OF_TIME = "time budget"
"""Why a trial was stopped with the search."""

LOST_WORKERS = 3
"""In one epoch of one trial: the recipe may be what kills them."""


@dataclass(frozen=True)
class TrialEnd:
    """What is known when a trial has ended.

    Attributes:
        finished: It trained to its last epoch, or failed: nothing of it is left to do.
        halved: Successive halving stopped it.
        failure: What went wrong in its training; None: nothing.
        recipe_at_fault: Whether the failure came from the recipe, not from the machine.
        lost_workers: How many workers it has lost in its epoch, this end included; 0 if this end
            is none of that kind.
        is_time_over: The time budget is used up.
        is_search_halted: The search stops before its time, and a later process goes on with it.
    """

    finished: bool = False
    halved: bool = False
    failure: str | None = None
    recipe_at_fault: bool = False
    lost_workers: int = 0
    is_time_over: bool = False
    is_search_halted: bool = False


@dataclass(frozen=True)
class Complete:
    """It trained to its last epoch; its value is what it measured there."""


@dataclass(frozen=True)
class Prune:
    """It was stopped early; its value is what it measured last."""

    reason: str


@dataclass(frozen=True)
class Fail:
    """It went wrong; it has no value."""

    reason: str
    recipe_at_fault: bool | None
    """None: nobody can know."""


@dataclass(frozen=True)
class Retry:
    """Another worker takes it up, in this search."""


@dataclass(frozen=True)
class Suspend:
    """It stays as it is; a later process takes it up."""


Decision = Complete | Prune | Fail | Retry | Suspend


def decide(end: TrialEnd) -> Decision:
    """Return what becomes of a trial that has ended."""
    later = end.is_search_halted and not end.is_time_over
    if later and not (end.halved or end.finished):
        return Suspend()  # an epoch that was measured is told again by the worker that takes it up
    if end.lost_workers and not end.is_time_over:  # after its time a trial ends as all others do
        if end.lost_workers < LOST_WORKERS:
            return Retry()
        return Fail(f"the worker was lost {LOST_WORKERS} times in one epoch", None)
    if end.failure is not None:
        return Fail(end.failure, end.recipe_at_fault)
    if end.finished:
        return Complete()
    return Prune(HALVED if end.halved else OUT_OF_TIME)
