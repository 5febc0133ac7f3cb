"""The under-tuning gap: from the untuned recipe to a baseline, and how far a search has come.

A figure appears where it means something, with its interval. The distance untuned -> baseline is a
difference of shares, and so is what the best is ahead; where the covers cannot tell the first from
zero, their ratio may be anything, and none is told. That is exactly where Fieller's interval for a
ratio of two normal variables has no end (Fieller 1954, "Some problems in interval estimation").
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from covertune.models.metrics import Z_95, difference_interval, share_variance
from covertune.search.plan import Baseline
from covertune.search.record.trial_record import TrialRecord
from covertune.search.record.trial_rows import latest_value

__all__ = ["Gap", "gap_so_far"]

Interval = tuple[float, float]


@dataclass(frozen=True)
class Gap:
    """Three top-1 on the same covers, each None while it is not measured.

    The best of many trials is partly the luckiest: on the covers it was chosen on, it is ahead by
    less than it seems. The test split, on which nothing is chosen, is told at the end.

    Attributes:
        untuned: Of the yardstick.
        best: Of the best so far.
        baseline: What they are compared with.
        covers: n, on which all were measured; None: not known, and no interval is told.
    """

    untuned: float | None
    best: float | None
    baseline: Baseline
    covers: int | None = None

    @property
    def ahead_interval(self) -> Interval | None:
        """95 % interval of best - untuned, by Agresti and Caffo; see `difference_interval`."""
        if self.untuned is None or self.best is None or not self.covers:
            return None
        return difference_interval(self.best, self.untuned, self.covers)

    @property
    def closed(self) -> float | None:
        """(best - untuned) / (baseline - untuned); None where it means nothing.

        It means something if the baseline is ahead of the untuned recipe by more than 1.96 standard
        errors of that distance, so that the ratio has a 95 % interval.
        """
        ratio = self._ratio
        return None if ratio is None else ratio[0]

    @property
    def closed_interval(self) -> Interval | None:
        """95 % interval of `closed`, by Fieller; None where that is."""
        ratio = self._ratio
        return None if ratio is None else ratio[1]

    @property
    def _ratio(self) -> tuple[float, Interval] | None:
        """The ratio r = d / g and its interval.

        With d = best - untuned, g = baseline - untuned, their variances and covariance V, and
        q = z^2 V_gg / g^2, which is below 1 where g is told from zero:

            (r - z^2 V_dg / g^2 +- z / g sqrt(S)) / (1 - q)
            S = V_dd - 2 r V_dg + r^2 V_gg - q (V_dd - V_dg^2 / V_gg)

        Shares are taken as independent; on the same covers they go together, and the interval errs
        on the wide side. A baseline that is somebody's word has no variance.
        """
        goal, n, z = self.baseline.top1, self.covers, Z_95
        if self.untuned is None or self.best is None or goal is None or not n:
            return None
        d, g = self.best - self.untuned, goal - self.untuned
        v_dg = share_variance(self.untuned, n)
        v_dd = v_dg + share_variance(self.best, n)
        v_gg = v_dg + (share_variance(goal, n) if self.baseline.is_measured else 0.0)
        if g <= 0 or (q := z * z * v_gg / (g * g)) >= 1:
            return None
        r = d / g
        spread = v_dd - 2 * r * v_dg + r * r * v_gg - q * (v_dd - v_dg * v_dg / v_gg)
        half = z / g * math.sqrt(max(spread, 0.0))
        centre = r - z * z * v_dg / (g * g)
        return r, ((centre - half) / (1 - q), (centre + half) / (1 - q))

    @property
    def in_words(self) -> str:
        """What is known of it, such as `untuned 0.170, best 0.355 (+18.5 points, …), …`."""
        parts = []
        if self.untuned is not None:
            parts.append(f"untuned {self.untuned:.3f}")
        if self.best is not None:
            parts.append(f"best {self.best:.3f}{self._ahead_in_words}")
        if self.baseline.top1 is not None:
            parts.append(f"{self.baseline.name} {self.baseline.top1:.3f}")
        if self.best != self.untuned and self.closed_in_words is not None:
            parts.append(f"gap closed {self.closed_in_words}")
        return ", ".join(parts)

    @property
    def _ahead_in_words(self) -> str:
        if self.untuned is None or self.best in (None, self.untuned):
            return ""
        return "" if self.ahead_in_words is None else f" ({self.ahead_in_words})"

    @property
    def ahead_in_words(self) -> str | None:
        """Such as `+18.5 points, 95 % interval +15.9 to +21.0`; None where it is not known."""
        if (interval := self.ahead_interval) is None:
            return None
        assert self.best is not None and self.untuned is not None
        low, high = (f"{100 * end:+.1f}" for end in interval)
        return f"{100 * (self.best - self.untuned):+.1f} points, 95 % interval {low} to {high}"

    @property
    def closed_in_words(self) -> str | None:
        """Such as `80 % (68 % to 94 %)`; None where it means nothing."""
        if (ratio := self._ratio) is None:
            return None
        closed, (low, high) = ratio
        return f"{100 * closed:.0f} % ({100 * low:.0f} % to {100 * high:.0f} %)"


def gap_so_far(trials: Iterable[FrozenTrial], baseline: Baseline, covers: int | None = None) -> Gap:
    """Return the gap on validation covers, from each trial's latest epoch, running ones included.

    Args:
        trials: Of the study.
        baseline: What the run is compared with, on validation covers.
        covers: Validation covers; None: not known.
    """
    latest = {
        trial.number: (value, TrialRecord(trial).is_untuned)
        for trial in trials
        if (value := latest_value(trial)) is not None
    }
    untuned = [value for value, is_untuned in latest.values() if is_untuned]
    best = max((value for value, _ in latest.values()), default=None)
    return Gap(untuned[0] if untuned else None, best, baseline, covers)
