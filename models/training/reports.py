"""What a training epoch and a validation pass report; plain values only.

Shapes: K genres.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EpochReport", "Evaluation", "TrainStats"]


@dataclass(frozen=True)
class TrainStats:
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
class Evaluation:
    """Measured on validation covers.

    Attributes:
        loss: Mean cross-entropy against the true genres, unsmoothed; in equal shares where a cover
            has several.
        top1: Share of covers given their true genre, the primary one where there are several.
        top3: Share with it among the best three (of K, if fewer).
        macro_f1: Mean F1 over genres.
        confusion_KK: Counts, [true, predicted].
        covers: Measured on.
        seconds: Of the whole pass.
        any_top1: Share of covers given any of their genres; None where each has one.
    """

    loss: float
    top1: float
    top3: float
    macro_f1: float
    confusion_KK: list[list[int]]
    covers: int
    seconds: float
    any_top1: float | None = None


@dataclass(frozen=True)
class EpochReport:
    """One epoch, trained and validated; plain values only.

    Attributes:
        epoch: From 1.
        train_loss: With the recipe's smoothing and mixing.
        val_loss: Plain cross-entropy.
        top1: On validation covers, like the rest.
        top3: Of K, if fewer than 3.
        macro_f1: Mean F1 over genres.
        covers_per_s: Training only, waiting for data included.
        data_wait_share: Share of the training time spent waiting for batches.
        lr_head: At the last step.
        lr_backbone: At the last step, of the topmost trained stage.
        seconds: Training and validation.
        confusion_KK: Counts, [true, predicted].
        any_top1: Share given any of their genres; None where each cover has one.
    """

    epoch: int
    train_loss: float
    val_loss: float
    top1: float
    top3: float
    macro_f1: float
    covers_per_s: float
    data_wait_share: float
    lr_head: float
    lr_backbone: float
    seconds: float
    confusion_KK: list[list[int]]
    any_top1: float | None = None
