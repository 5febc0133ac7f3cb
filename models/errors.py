"""Errors of the models package; every message is one line: the rule, what came, what to do.

ModelError
├── WeightsError            weights cannot be fetched, read, or do not fit the backbone
├── ModelFolderError        a model folder cannot be written or read
├── GraphError              a model cannot be expressed in ONNX, or the graph answers otherwise
└── TrainingFailure         the training itself went wrong; `reason` says how
    ├── NonFiniteLoss       the loss became NaN or infinite
    ├── Collapse            nearly every validation cover is given the same genre
    └── OutOfMemory         not even the fewest covers at a time fit
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from covertune.wording import as_message

if TYPE_CHECKING:
    from covertune.models.training.progress import EpochReport

__all__ = [
    "Collapse",
    "GraphError",
    "ModelError",
    "ModelFolderError",
    "NonFiniteLoss",
    "OutOfMemory",
    "TrainingFailure",
    "WeightsError",
]


class ModelError(Exception):
    """Root of all errors this package raises on purpose."""

    def __str__(self) -> str:
        """Return the message; names in it are escaped, and it fits on a screen."""
        return as_message(super().__str__())


class WeightsError(ModelError):
    """Weights cannot be fetched, cannot be read, or do not fit the backbone."""


class ModelFolderError(ModelError):
    """A model folder cannot be written, or what lies there is not one."""


class GraphError(ModelError):
    """A model cannot be expressed in ONNX; its folder goes without a graph."""


class TrainingFailure(ModelError):  # noqa: N818 - how a trial ends, not a mistake
    """Training that cannot go on; the trial is to be counted as failed.

    Attributes:
        reason: What happened, in one line.
        report: The measured epoch that showed it, where there is one.
    """

    def __init__(self, reason: str, report: EpochReport | None = None) -> None:
        super().__init__(reason, report)  # both in args, so that the error survives pickling
        self.reason = reason
        self.report = report

    def __str__(self) -> str:
        """Return the reason alone."""
        return as_message(self.reason)


class NonFiniteLoss(TrainingFailure):
    """The training loss became NaN or infinite."""


class Collapse(TrainingFailure):
    """The classifier gives nearly every validation cover the same genre."""


class OutOfMemory(TrainingFailure):
    """Not even the fewest covers at a time fit into memory."""
