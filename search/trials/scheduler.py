"""Successive halving as a Ray Tune scheduler."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.constants import EPOCH, METRIC, NUMBER
from search.trials.halving import SuccessiveHalving

__all__ = ["HalvingScheduler"]


class HalvingScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Stops a running trial when the rule says so; starts trials first in, first out.

    Ray's own ASHA is not used: it keys its rungs by Ray's trial ids, which a resumed search does
    not have, and lets a trial whose metric is NaN run to the end.
    """

    def __init__(self, rule: SuccessiveHalving, *, spared: set[int] | None = None) -> None:
        """Wrap the rule.

        Args:
            rule: Decides; shared with whoever wants to look at the rungs.
            spared: Trial numbers that are never stopped early (yardsticks); they leave no mark on
                the rungs, because they do not compete.
        """
        super().__init__()
        self._rule = rule
        self.spared = spared if spared is not None else set()

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Ray calls this after each epoch, before the searcher hears of it."""
        number = trial.config[NUMBER]
        if METRIC not in result or number in self.spared:
            return str(TrialScheduler.CONTINUE)
        if self._rule.goes_on(number, result[EPOCH], result[METRIC]):
            return str(TrialScheduler.CONTINUE)
        return str(TrialScheduler.STOP)
