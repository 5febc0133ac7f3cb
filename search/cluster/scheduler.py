"""Successive halving as a Ray Tune scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from covertune.search.record.constants import EPOCH, EXEMPT_FROM_HALVING, METRIC, NUMBER
from covertune.search.schedule.halving import SuccessiveHalving

__all__ = ["HalvingScheduler"]


class HalvingScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Stops a running trial when the rule says so; starts trials first in, first out.

    Ray's own ASHA is not used: it keys its rungs by Ray's trial ids, which a resumed search does
    not have, and lets a trial whose metric is NaN run to the end.
    """

    def __init__(self, rule: SuccessiveHalving, on_stop: Callable[[int], None]) -> None:
        """Wrap a rule.

        Args:
            rule: Decides.
            on_stop: Told the number of each trial that is stopped, before its end comes.
        """
        super().__init__()
        self._rule = rule
        self._on_stop = on_stop

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Judge a trial; Ray calls this after each epoch, before the searcher hears of it."""
        if METRIC not in result or trial.config[EXEMPT_FROM_HALVING]:
            return str(TrialScheduler.CONTINUE)
        if self._rule.should_continue(trial.config[NUMBER], result[EPOCH], result[METRIC]):
            return str(TrialScheduler.CONTINUE)
        self._on_stop(trial.config[NUMBER])
        return str(TrialScheduler.STOP)
