"""What a search shows in a notebook, where nobody gave it an observer: a line for what happens.

A cell would else stand there for as long as the search takes, without a word. A program is not
printed into.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from covertune.search.events import PreflightReport, ProbeReport, SearchObserver, SearchPlan
from covertune.wording import counted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["PrintedLines", "default_observer"]


def default_observer() -> SearchObserver:
    """Return who hears a search that was given no observer."""
    return PrintedLines() if _is_notebook() else SearchObserver()


def _is_notebook() -> bool:
    """Tell whether IPython runs this without a terminal, as Jupyter and its kin do."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if get_ipython is None or get_ipython() is None:
        return False
    return sys.stdout is None or not sys.stdout.isatty()


class PrintedLines(SearchObserver):
    """Prints a line for each phase, warning and trial that ended."""

    def phase(self, text: str) -> None:
        """Print it."""
        print(f"{text} …")

    def warn(self, text: str) -> None:
        """Print it."""
        print(f"WARNING  {text}")

    def preflight(self, report: PreflightReport) -> None:
        """Print what was checked."""
        for check in report.checks:
            print(f"ok: {check.backbone} at {check.image_px} px on {check.device}")

    def probed(self, probe: ProbeReport) -> None:
        """Print the number to beat."""
        top1 = probe.metrics.top1
        print(f"ok: frozen probe of {probe.backbone}: top-1 {top1:.3f} on validation")

    def started(self, plan: SearchPlan, known: list[FrozenTrial], spent_s: float) -> None:
        """Print where the run lies."""
        print(f"{counted(plan.slots.count, 'trial')} side by side; run: {plan.run}")

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Print how."""
        top1 = "" if trial.value is None else f", top-1 {trial.value:.3f}"
        print(f"trial {trial.number}: {trial.state.name.lower()}{top1}")

    def stopping(self) -> None:
        """Print that the stop was heard."""
        print("stopping: running trials keep their last checkpoint …")
