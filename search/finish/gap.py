"""The under-tuning gap: from the untuned recipe to a baseline, and how far a search has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from covertune.search.config import SearchConfig
from covertune.search.record.study import latest_value
from covertune.search.record.trial_record import TrialRecord

__all__ = ["Gap", "baseline_of", "gap_so_far"]


@dataclass(frozen=True)
class Gap:
    """Three top-1 on the same covers, each None while it is not measured."""

    untuned: float | None
    best: float | None
    baseline: float | None
    baseline_name: str

    @property
    def closed(self) -> float | None:
        """(best - untuned) / (baseline - untuned); None where there is no gap to close."""
        if self.untuned is None or self.best is None or self.baseline is None:
            return None
        if self.untuned >= self.baseline:
            return None
        return (self.best - self.untuned) / (self.baseline - self.untuned)

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
        if self.baseline is not None:
            parts.append(f"{self.baseline_name} {self.baseline:.3f}")
        if self.closed is not None:
            parts.append(f"gap closed {self.closed:.0%}")
        return ", ".join(parts)


def baseline_of(config: SearchConfig, probe_top1: float | None) -> tuple[str, float | None]:
    """Name and top-1 of what a search is compared with: the user's baseline, or the probe."""
    if config.baseline is not None:
        return config.baseline_name, config.baseline
    return "frozen probe", probe_top1


def gap_so_far(
    trials: Iterable[FrozenTrial], config: SearchConfig, probe_top1: float | None
) -> Gap:
    """On validation covers, from the latest epoch of each trial, running ones included.

    Args:
        trials: Of the study.
        config: Of the run.
        probe_top1: Of the best frozen probe, on validation covers.
    """
    latest = {
        trial.number: (value, TrialRecord(trial).is_untuned)
        for trial in trials
        if (value := latest_value(trial)) is not None
    }
    untuned = [value for value, is_untuned in latest.values() if is_untuned]
    name, baseline = baseline_of(config, probe_top1)
    return Gap(
        untuned[0] if untuned else None,
        max((value for value, _ in latest.values()), default=None),
        baseline,
        name,
    )
