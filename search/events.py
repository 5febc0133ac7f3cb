"""What a search tells while it runs, as plain data; the command line turns it into a live table."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from covertune.search.plan import Baseline, Slots
from covertune.vocabulary import Fit

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from covertune.models import Metrics, ProgressMetrics, Recipe

__all__ = [
    "BackboneCheck",
    "PreflightReport",
    "ProbeReport",
    "SearchObserver",
    "SearchPlan",
]


@dataclass(frozen=True)
class BackboneCheck:
    """What one backbone did with one real batch at one image size."""

    backbone: str
    image_px: int
    stages: int
    pretrained: bool
    node: str
    device: str
    train_covers_per_s: float
    eval_covers_per_s: float
    decode_covers_per_s: float
    """By one thread."""
    memory_mb: float
    """Peak: of the process on a CPU, of torch's allocations on a GPU."""
    checkpoint_mb: float
    micro_batch: int | None = None
    """Most covers trained at once, if the whole batch did not fit into memory."""
    channels_last: bool = True
    """How maps lie in memory where a trial is over sooner; see `_fastest`."""
    epoch_s: float = math.nan
    """Seconds of one fully trained epoch, validation included, on the covers of the search."""


@dataclass(frozen=True)
class PreflightReport:
    """Everything the checks found."""

    checks: tuple[BackboneCheck, ...]
    warnings: tuple[str, ...]
    search_s: float | None
    """Estimated seconds of all trials; None where only the time budget ends the search."""


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What a frozen probe measured on the validation split."""

    backbone: str
    image_px: int
    fit: Fit = "squash"
    metrics: Metrics
    seconds: float


@dataclass(frozen=True)
class SearchPlan:
    """What is about to be searched."""

    run: Path
    """The run folder."""
    store: str
    genres: int
    covers: Mapping[str, int]
    """Covers by split."""
    slots: Slots
    trial_limit: int | None
    time_budget_s: float | None
    epochs: int
    baseline: Baseline
    """On validation covers, if it is the probe's."""
    mean_epochs: float
    """Of a trial, as the rungs let expect."""


class SearchObserver:
    """Says nothing but that the process ends; override what you want to hear.

    Methods are called on the thread that runs the search, `stopping` from a signal handler there,
    and must return quickly.
    """

    def phase(self, text: str) -> None:
        """Hear that a new phase begins, such as `decoding covers`."""

    def progress(self, done: int, total: int) -> None:
        """Hear how far the phase is."""

    def warn(self, text: str) -> None:
        """Hear something the user must not miss."""

    def preflight(self, report: PreflightReport) -> None:
        """Hear that the checks passed."""

    def probed(self, probe: ProbeReport) -> None:
        """Hear that a frozen probe was fitted."""

    def started(self, plan: SearchPlan, known: list[FrozenTrial], spent_s: float) -> None:
        """Hear that trials are about to start; `known` and `spent_s` come from before a resume.

        Those of the known trials that still run are taken up again.
        """

    def trial_started(self, number: int, role: str, recipe: Recipe) -> None:
        """Hear that a trial begins, or is taken up again."""

    def epoch(self, trial: Trial, progress: ProgressMetrics, confusion_KK: list[list[int]]) -> None:
        """Hear that a running trial measured an epoch; the study holds it already."""

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Hear that a trial ended; the study holds how."""

    def checkpoints(self, now_bytes: int, peak_bytes: int) -> None:
        """Hear what the checkpoints of the run take on disk, and the most they took so far."""

    def stopping(self) -> None:
        """Hear that the user asked for a stop; running trials keep their last checkpoint."""

    def ended(self) -> None:
        """Hear that no trial runs any more."""

    def stopped(self, text: str) -> None:
        """Hear that the process ends right after this, stopped together with its Ray."""
        print(f"stopped: {text}", file=sys.stderr)

    def broken_off(self, text: str) -> None:
        """Hear that the process ends right after this, as Ray died; on a thread of its own."""
        print(f"error: {text}", file=sys.stderr)
