"""Ray Tune's end of a search: when the time is over, or nothing can go on."""

from __future__ import annotations

from ray import tune

from covertune.search.schedule.budget import Budget

__all__ = ["BudgetStopper"]


class BudgetStopper(tune.Stopper):  # type: ignore[misc]  # Ray is untyped
    """Ends all trials once the time is over, the user wants it or nothing can go on."""

    def __init__(self, budget: Budget) -> None:
        """Watch a budget."""
        self._budget = budget

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """Stop no single trial here."""
        return False

    def stop_all(self) -> bool:
        """Tell whether to stop; Ray asks this in every turn of its loop."""
        return self._budget.is_over or self._budget.is_halted
