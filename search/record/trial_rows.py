"""The table of trials, a line each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, Field

from covertune.search.record.trial_record import TrialRecord

__all__ = ["TrialRow", "latest_value", "row_of", "trial_rows"]


class TrialRow(BaseModel):
    """One line of the table of trials; the fields of `covertune trials --json`."""

    number: int = Field(description="In the study, from 0.")
    state: str = Field(description="`COMPLETE`, `PRUNED`, `FAIL`, or `RUNNING`.")
    reason: str | None = Field(description="Why it was stopped or failed.")
    value: float | None = Field(description="Validation top-1 that was measured last.")
    epochs: int = Field(description="Measured so far.")
    seconds: float = Field(description="What its epochs took.")
    params: dict[str, Any] = Field(
        description="What Optuna chose of its recipe; the whole of one that was not its choice."
    )
    node: str | None = Field(description="The machine it ran on.")
    device: str | None = Field(description="What it computed on.")
    role: str | None = Field(
        description="Why it was tried: `untuned`, `recipe: NAME`, `sampled`; null before it began."
    )
    recipe: dict[str, Any] = Field(description="All that decides how it was fine-tuned.")
    metrics: dict[str, float] = Field(description="What it measured last on validation covers.")
    exported: bool = Field(description="Whether RUN/model is made of it.")


def latest_value(trial: FrozenTrial) -> float | None:
    """Return what a trial measured last, running or ended; None if nothing, or if it has failed."""
    if trial.state is TrialState.FAIL or trial.last_step is None:
        return None
    return trial.intermediate_values[trial.last_step]


def trial_rows(trials: Iterable[FrozenTrial], exported: Collection[int] = ()) -> list[TrialRow]:
    """Return the table of trials.

    Args:
        trials: Of the study.
        exported: Numbers of those that RUN/model is made of.
    """
    return [row_of(trial, exported=trial.number in exported) for trial in trials]


def row_of(trial: FrozenTrial, *, exported: bool) -> TrialRow:
    """Return one line of the table."""
    record = TrialRecord(trial)
    return TrialRow(
        number=trial.number,
        state=trial.state.name,
        reason=record.reason,
        value=latest_value(trial) if trial.state is TrialState.RUNNING else trial.value,
        epochs=len(trial.intermediate_values),
        seconds=round(record.seconds, 2),
        params=trial.params or record.settings,
        node=record.node,
        device=record.device,
        role=record.role,
        recipe=record.settings,
        metrics=record.last_metrics,
        exported=exported,
    )
