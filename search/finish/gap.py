"""The under-tuning gap: from the untuned recipe to a baseline, and how far a search has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from covertune.search.plan import Baseline
from covertune.search.record.study import latest_value
from covertune.search.record.trial_record import TrialRecord

__all__ = ["Gap", "gap_so_far"]


@dataclass(frozen=True)
class Gap:
    """Three top-1 on the same covers, each None while it is not measured."""

    untuned: float | None
    best: float | None
    baseline: Baseline

    @property
    def closed(self) -> float | None:
        """(best - untuned) / (baseline - untuned); None where there is no gap to close."""
        goal = self.baseline.top1
        if self.untuned is None or self.best is None or goal is None or self.untuned >= goal:
            return None
        return (self.best - self.untuned) / (goal - self.untuned)

    @property
    def in_words(self) -> str:
        """What is known of it, such as `untuned 0.170, best 0.355 (+18.5 points), …`."""
        parts = []
        if self.untuned is not None:
            parts.append(f"untuned {self.untuned:.3f}")
        if self.best is not None:
            ahead = ""
            if self.untuned is not None:
                ahead = f" ({100 * (self.best - self.untuned):+.1f} points)"
            parts.append(f"best {self.best:.3f}{ahead}")
        if self.baseline.top1 is not None:
            parts.append(f"{self.baseline.name} {self.baseline.top1:.3f}")
        if self.closed is not None:
            parts.append(f"gap closed {self.closed:.0%}")
        return ", ".join(parts)


def gap_so_far(trials: Iterable[FrozenTrial], baseline: Baseline) -> Gap:
    """Return the gap on validation covers, from each trial's latest epoch, running ones included.

    Args:
        trials: Of the study.
        baseline: What the run is compared with, on validation covers.
    """
    latest = {
        trial.number: (value, TrialRecord(trial).is_untuned)
        for trial in trials
        if (value := latest_value(trial)) is not None
    }
    untuned = [value for value, is_untuned in latest.values() if is_untuned]
    best = max((value for value, _ in latest.values()), default=None)
    return Gap(untuned[0] if untuned else None, best, baseline)
