"""What a search tells while it runs; the command line turns it into a live table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, Trial

from covertune.models import Recipe
from covertune.search.machine.cluster import Slots
from covertune.search.record.run_folder import RunFolder
from covertune.search.staging.preflight import PreflightReport
from covertune.search.staging.scouting import Probe

__all__ = ["SearchObserver", "SearchPlan"]


@dataclass(frozen=True)
class SearchPlan:
    """What is about to be searched."""

    run: RunFolder
    store: str
    genres: int
    covers: Mapping[str, int]
    """Covers by split."""
    slots: Slots
    trial_limit: int | None
    time_budget_s: float | None
    epochs: int
    baseline_name: str
    baseline_top1: float | None
    """On validation covers, if it is the probe's."""


class SearchObserver:
    """Says nothing but that the process ends; override what you want to hear.

    Methods are called on the thread that runs the search, `stopping` from a signal handler there,
    and must return quickly.
    """

    def stage(self, text: str) -> None:
        """A new phase begins, such as `decoding covers`."""

    def progress(self, done: int, total: int) -> None:
        """How far the phase is."""

    def warn(self, text: str) -> None:
        """Something the user must not miss."""

    def preflight(self, report: PreflightReport) -> None:
        """The checks passed."""

    def probed(self, probe: Probe) -> None:
        """A frozen probe was fitted."""

    def started(self, plan: SearchPlan, known: list[FrozenTrial], spent_s: float) -> None:
        """The first trial is about to start; `known` and `spent_s` come from before a resume.

        Those of the known trials that still run are taken up again.
        """

    def trial_started(self, number: int, role: str, recipe: Recipe) -> None:
        """A trial begins, or is taken up again."""

    def epoch(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """A running trial measured an epoch; the study holds it already."""

    def trial_ended(self, trial: FrozenTrial) -> None:
        """A trial ended; the study holds how."""

    def checkpoints(self, now_bytes: int, peak_bytes: int) -> None:
        """What the checkpoints of the run take on disk, and the most they took so far."""

    def stopping(self) -> None:
        """The user asked for a stop; running trials keep their last checkpoint."""

    def ended(self) -> None:
        """No trial runs any more."""

    def broken_off(self, text: str) -> None:
        """The process ends right after this, because Ray died; on a thread of its own."""
        print(f"error: {text}", file=sys.stderr)
