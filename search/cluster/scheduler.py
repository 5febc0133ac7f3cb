"""Successive halving as a Ray Tune scheduler."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from covertune.search.record.constants import EPOCH, METRIC, NUMBER, SPARED
from covertune.search.schedule.halving import SuccessiveHalving

__all__ = ["HalvingScheduler"]


class HalvingScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Stops a running trial when the rule says so; starts trials first in, first out.

    Ray's own ASHA is not used: it keys its rungs by Ray's trial ids, which a resumed search does
    not have, and lets a trial whose metric is NaN run to the end.
    """

    def __init__(self, rule: SuccessiveHalving) -> None:
        """Wrap the rule; shared with whoever wants to look at the rungs."""
        super().__init__()
        self._rule = rule

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Ray calls this after each epoch, before the searcher hears of it."""
        if METRIC not in result or trial.config[SPARED]:
            return str(TrialScheduler.CONTINUE)
        if self._rule.should_continue(trial.config[NUMBER], result[EPOCH], result[METRIC]):
            return str(TrialScheduler.CONTINUE)
        return str(TrialScheduler.STOP)
