"""The names trainable, searcher, scheduler and study agree on.

A misspelt metric or time attribute switches early stopping off without a word, so each is written
once, here.
"""

from typing import Final, Literal

__all__ = ["EPOCH", "FAILURE", "METRIC", "MODE", "NUMBER"]

METRIC: Final = "top1"
"""Validation top-1 accuracy in [0, 1]: the value of a trial."""

MODE: Final[Literal["max"]] = "max"
"""Direction of `METRIC`."""

EPOCH: Final = "epoch"
"""Epochs trained so far, 1-based: the resource of successive halving, and Optuna's step."""

FAILURE: Final = "failure"
"""Present in a result that ends a trial as failed; its text is the reason."""

NUMBER: Final = "number"
"""The Optuna trial number, carried in every trial's configuration."""
