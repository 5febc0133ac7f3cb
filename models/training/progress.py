"""What training and validation passes tell; plain values only.

Shapes: K genres.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from covertune.models.metrics import Metrics

__all__ = ["EpochReport", "ProgressMetrics", "TrainingPass", "ValidationPass"]


@dataclass(frozen=True)
class TrainingPass:
    """One pass over the training covers.

    Attributes:
        loss: Mean training loss.
        covers: Trained on.
        seconds: Of the whole pass.
        data_wait_s: Of these, spent waiting for batches.
        lr_head: Learning rate of the classifier at the last step.
        lr_backbone: Of the backbone's topmost trained stage; 0 if none is.
    """

    loss: float
    covers: int
    seconds: float
    data_wait_s: float
    lr_head: float
    lr_backbone: float


@dataclass(frozen=True)
class ValidationPass:
    """One pass over the validation covers.

    Attributes:
        metrics: Of the classifier.
        loss: Mean cross-entropy against the true genres, unsmoothed; in equal shares where a cover
            has several.
        confusion_KK: Counts, [true, predicted].
        covers: Measured on.
        seconds: Of the whole pass.
    """

    metrics: Metrics
    loss: float
    confusion_KK: list[list[int]]
    covers: int
    seconds: float


class ProgressMetrics(Metrics):
    """How far a trial has come, and what its classifier measures there on validation covers.

    It goes from the trainer to the study, the pictures, the live view and the checkpoint as it is.
    """

    epoch: float = Field(description="Passes over the training covers so far.")
    covers_seen: int | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Training covers so far, each as often as it was shown; unknown in trials of "
        "covertune 0.1.",
    )
    train_loss: float = Field(description="Mean, with the recipe's smoothing and mixing.")
    val_loss: float = Field(description="Mean plain cross-entropy.")
    covers_per_s: float = Field(description="Training only, waiting for data included.")
    data_wait_share: float = Field(
        description="Share of the training time spent waiting for batches."
    )
    lr_head: float = Field(description="Learning rate of the classifier at the last step.")
    lr_backbone: float = Field(
        description="Of the backbone's topmost trained stage at the last step; 0 if none is."
    )
    seconds: float = Field(description="Training and validation, since the measurement before.")


@dataclass(frozen=True)
class EpochReport:
    """One epoch, trained and validated.

    Attributes:
        progress: What it measured.
        confusion_KK: Counts on validation covers, [true, predicted].
    """

    progress: ProgressMetrics
    confusion_KK: list[list[int]]
