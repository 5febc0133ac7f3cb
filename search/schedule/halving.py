"""Early stopping: which trials may go on after a rung.

Asynchronous successive halving in its stopping form; r, eta and R are those of Li et al. 2020
(arXiv:1810.05934). Differs from the paper: a stopped trial is not promoted later; nobody is stopped
before eta trials have come to a rung, for of fewer one in eta is none; and a trial is stopped only
if it is behind by more than half a standard error of what is measured. Top-1 on n covers has the
standard error sqrt(p (1 - p) / n), 2 points on 600 covers: among those that are alike within it, a
rung would choose by chance, early and for good.

Trials may be dealt into brackets, as in Hyperband (Li et al. 2018, arXiv:1603.06560): those of the
second are measured at the first rung like all, but not judged there. So some of what starts slowly
is seen at its best, by the search and by the model that chooses further recipes
(docs/decisions/0027).

The rule knows neither Ray nor Optuna: it is fed (trial number, epoch, value) and answers. That lets
a resumed search rebuild its rungs from the study, and a simulator replay recorded curves.
"""

from __future__ import annotations

import itertools
import math

from covertune.models.metrics import standard_error
from covertune.search.plan import HalvingPlan

__all__ = ["SuccessiveHalving"]


_STANDARD_ERRORS = 0.5


class SuccessiveHalving:
    """Rungs at r, r*eta, r*eta^2, ... below R; of those judged there the best 1/eta go on."""

    def __init__(self, plan: HalvingPlan, *, covers: int | None = None) -> None:
        """Lay out the rungs.

        Args:
            plan: Where they lie.
            covers: On how many values, top-1 in [0, 1], are measured; None: values are exact.
        """
        self._covers = covers
        self._max_epochs = plan.epochs
        self.eta = plan.eta
        self.rungs: dict[float, dict[int, float]] = {epoch: {} for epoch in plan.rungs}
        """Values by trial number, by epoch of the rung."""
        self._stopped: set[int] = set()
        judged_at = plan.rungs or (plan.epochs,)
        self._judged_from = [judged_at[min(n, len(judged_at) - 1)] for n in range(plan.brackets)]

    def record(self, number: int, epoch: float, value: float) -> None:
        """Remember a value measured earlier, without deciding anything (used on resume)."""
        if epoch in self.rungs:
            self.rungs[epoch][number] = value

    def should_continue(self, number: int, epoch: float, value: float) -> bool:
        """Tell whether a trial may train further.

        Args:
            number: Trial number; it tells the bracket. Nobody is judged twice: who stands on the
                rung already, as a trial may that is taken up again after a crash, has the answer of
                before.
            epoch: Passes over the training covers so far.
            value: Metric to maximise.

        Returns:
            True between rungs, and at those at which the bracket is not judged. At a rung if the
            value is not behind the best floor(n / eta) of the n values recorded there, this one
            included; or if n is below eta.
        """
        if number in self._stopped:
            return False
        rung = self.rungs.get(epoch)
        if rung is None or number in rung:
            return True
        rung[number] = value
        survivors = math.floor(len(rung) / self.eta)
        if survivors == 0 or epoch < self._judged_from[number % len(self._judged_from)]:
            return True
        cutoff = sorted(rung.values(), reverse=True)[survivors - 1]
        if value >= cutoff - self._slack(cutoff):
            return True
        self._stopped.add(number)
        return False

    def mean_epochs(self) -> float:
        """Return the mean epochs of a trial if one in eta of those judged goes on at each rung."""
        epochs = 0.0
        for judged_from in self._judged_from:
            alive = 1.0
            for since, until in itertools.pairwise((0, *self.rungs, self._max_epochs)):
                if since >= judged_from:
                    alive /= self.eta
                epochs += alive * (until - since)
        return epochs / len(self._judged_from)

    def _slack(self, value: float) -> float:
        """Return how far behind is not behind yet."""
        if self._covers is None:
            return 0.0
        return _STANDARD_ERRORS * standard_error(value, self._covers)
