"""The names trainable, searcher, scheduler and study agree on.

A misspelt metric or time attribute switches early stopping off without a word, so each is written
once, here.
"""

from typing import Final, Literal

__all__ = [
    "BROKEN_OFF",
    "CONFUSION",
    "EPOCH",
    "EXEMPT_FROM_HALVING",
    "FAILURE",
    "FINISHED",
    "METRIC",
    "MICRO_BATCH",
    "MODE",
    "NUMBER",
    "RECIPE_AT_FAULT",
    "SAMPLE_STORE",
    "TRACEBACK",
]

METRIC: Final = "top1"
"""Validation top-1 accuracy in [0, 1], the value of a trial: a field of `models.ProgressMetrics`,
all of which stand in a result that has one."""

MICRO_BATCH: Final = "micro_batch"
"""Most covers that trained at once; only where memory ran out with the whole batch."""

MODE: Final[Literal["max"]] = "max"
"""Direction of `METRIC`."""

EPOCH: Final = "epoch"
"""Passes over the training covers so far: the resource of successive halving, and Optuna's step;
a field of `models.ProgressMetrics`."""

FAILURE: Final = "failure"
"""Present in a result that ends a trial as failed; its text is the reason."""

BROKEN_OFF: Final = "broken_off"
"""Present in a result of a trial that stops for now because its checkpoint cannot be written; its
text says why. The next trial could not write one either: the whole search stops."""

FINISHED: Final = "finished"
"""True in the last result of a trial that was not stopped from outside."""

RECIPE_AT_FAULT: Final = "recipe_at_fault"
"""True beside `FAILURE` if the same recipe would fail again: the sampler learns from it."""

TRACEBACK: Final = "traceback"
"""Beside `FAILURE`, for the log."""

CONFUSION: Final = "confusion"
"""Beside the metrics of a result: (K, K) counts on validation covers, [true, predicted]."""

NUMBER: Final = "number"
"""The Optuna trial number, carried in every trial's configuration."""

EXEMPT_FROM_HALVING: Final = "exempt_from_halving"
"""True in the configuration of a trial that successive halving leaves alone: the yardstick. It
leaves no mark on the rungs, because it does not compete."""

SAMPLE_STORE: Final = ".sample-store-"
"""How the folder of a store begins that a search has made of generated covers, in a runs folder."""
