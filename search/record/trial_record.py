"""What the study keeps of a trial beside Optuna's own fields: its user attributes.

Read and written here alone. Whoever opens the study with Optuna alone still sees everything:

    role       untuned | recipe: NAME | sampled
    for        the backbone a known recipe was enqueued for
    recipe     every setting of the trial
    history    the `models.ProgressMetrics` of each epoch
    begun_at   epochs it had each time it was begun or taken up again
    lost_at    epochs it had each time its worker was lost
    halved_at  the epoch at which successive halving stopped it
    node, node_id, device
    micro_batch   most covers trained at once, where memory ran out with the recipe's batch
    reason     why it was stopped or failed
    recipe_at_fault   the failure came from the recipe, not from the machine
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import optuna
from optuna.trial import BaseTrial, FrozenTrial
from pydantic import ValidationError

from covertune.models import Metrics, ProgressMetrics, Recipe
from covertune.search.errors import RunError
from covertune.search.record.compat import set_trial_attribute

__all__ = ["ROLE_SAMPLED", "ROLE_UNTUNED", "TrialRecord", "progress_of"]

ROLE_UNTUNED: Final = "untuned"
ROLE_SAMPLED: Final = "sampled"

_ROLE, _FOR, _RECIPE, _HISTORY = "role", "for", "recipe", "history"
_BEGUN_AT, _LOST_AT, _HALVED_AT = "begun_at", "lost_at", "halved_at"
_NODE, _NODE_ID, _DEVICE, _MICRO_BATCH = "node", "node_id", "device", "micro_batch"
_REASON, _RECIPE_AT_FAULT = "reason", "recipe_at_fault"


def progress_of(result: Mapping[str, Any]) -> ProgressMetrics:
    """Return what was measured, from a result or a record that may hold more beside it."""
    known = ProgressMetrics.model_fields
    return ProgressMetrics.model_validate({key: result[key] for key in known if key in result})


class TrialRecord:
    """The user attributes of one trial.

    Args:
        trial: To be read; one that runs (`optuna.Trial`) can be written too.
    """

    def __init__(self, trial: BaseTrial) -> None:
        self._trial = trial

    def _get(self, name: str, otherwise: Any = None) -> Any:
        return self._trial.user_attrs.get(name, otherwise)

    def _set(self, name: str, value: Any) -> None:
        self._trial.set_user_attr(name, value)

    @staticmethod
    def enqueued(role: str, backbone: object) -> dict[str, Any]:
        """Return the attributes of a known recipe that is enqueued."""
        return {_ROLE: role, _FOR: backbone}

    @staticmethod
    def write_reason(study: optuna.Study, trial: FrozenTrial, reason: str) -> None:
        """Write why a trial that nobody runs has ended."""
        set_trial_attribute(study, trial, _REASON, reason)

    @property
    def role(self) -> str | None:
        """`untuned`, `recipe: NAME` or `sampled`; None before it was begun."""
        role: str | None = self._get(_ROLE)
        return role

    @property
    def is_untuned(self) -> bool:
        """Whether it is the yardstick."""
        return self.role == ROLE_UNTUNED

    @property
    def meant_for(self) -> str | None:
        """The backbone a known recipe was enqueued for."""
        backbone: str | None = self._get(_FOR)
        return backbone

    @property
    def has_recipe(self) -> bool:
        """Whether it was begun: a trial killed while its recipe was asked for has none."""
        return _RECIPE in self._trial.user_attrs

    @property
    def settings(self) -> dict[str, Any]:
        """Its recipe as it was written; empty before it was begun."""
        settings: dict[str, Any] = self._get(_RECIPE, {})
        return settings

    @property
    def recipe(self) -> Recipe:
        """The recipe it is trained with.

        Raises:
            RunError: It has none, or one of another version of covertune.
        """
        try:
            return Recipe.model_validate(self._trial.user_attrs[_RECIPE])
        except (KeyError, ValidationError) as error:
            raise RunError(
                f"trial {self._trial.number} has no recipe this version of covertune can read; "
                "use the version that made the run"
            ) from error

    @property
    def history(self) -> list[ProgressMetrics]:
        """What each epoch measured, the first first."""
        return [progress_of(row) for row in self._get(_HISTORY, [])]

    def require_readable(self) -> None:
        """Read all of it but the recipe, which may be of another version.

        Raises:
            Exception: Anything, if it is not what was written.
        """
        for told in (self.role, self.meant_for, self.reason, self.node, self.device):
            if not isinstance(told, str | None):
                raise ValueError(f"trial {self._trial.number} has {told!r} where words belong")
        for epochs in (*self._get(_BEGUN_AT, []), *self._get(_LOST_AT, [])):
            int(epochs)
        _ = self.history, self.settings.keys()

    @property
    def last_metrics(self) -> dict[str, float]:
        """What its last epoch measured, by field of `models.Metrics`, as far as it is there."""
        measured: dict[str, float] = next(iter(self._get(_HISTORY, [])[-1:]), {})
        return {name: measured[name] for name in Metrics.titles() if measured.get(name) is not None}

    @property
    def seconds(self) -> float:
        """What its epochs took."""
        return float(sum(epoch["seconds"] for epoch in self._get(_HISTORY, [])))

    @property
    def halved_at(self) -> int | None:
        """The epoch at which successive halving stopped it."""
        epoch: int | None = self._get(_HALVED_AT)
        return epoch

    def times_begun_at(self, epochs: int) -> int:
        """Return how often it was begun or taken up again with so many epochs behind it."""
        return list(self._get(_BEGUN_AT, [])).count(epochs)

    @property
    def node(self) -> str | None:
        """The machine it runs on."""
        node: str | None = self._get(_NODE)
        return node

    @property
    def device(self) -> str | None:
        """What it computes on."""
        device: str | None = self._get(_DEVICE)
        return device

    @property
    def micro_batch(self) -> int | None:
        """Most covers trained at once, where memory ran out with the recipe's batch."""
        covers: int | None = self._get(_MICRO_BATCH)
        return covers

    @property
    def reason(self) -> str | None:
        """Why it was stopped or failed."""
        reason: str | None = self._get(_REASON)
        return reason

    @property
    def is_recipe_at_fault(self) -> bool:
        """Whether it failed because of its recipe, not of the machine."""
        return bool(self._get(_RECIPE_AT_FAULT))

    def begin(self, epochs: int) -> None:
        """Write that it is begun, or taken up again, with so many epochs behind it."""
        if self.halved_at is not None:
            self._set(_HALVED_AT, None)  # was not written to its end, and is judged anew
        self._set(_BEGUN_AT, [*self._get(_BEGUN_AT, []), epochs])

    def set_role(self, role: str) -> None:
        """Write where its recipe comes from."""
        self._set(_ROLE, role)

    def set_recipe(self, recipe: Recipe) -> None:
        """Write its recipe; what it was given, it keeps."""
        self._set(_RECIPE, recipe.model_dump(mode="json"))

    def set_history(self, history: list[ProgressMetrics]) -> None:
        """Write what it has measured."""
        self._set(_HISTORY, [progress.model_dump() for progress in history])

    def set_place(self, *, node: str, node_id: str, device: str) -> None:
        """Write where it runs, if that has changed."""
        for name, value in ((_NODE, node), (_NODE_ID, node_id), (_DEVICE, device)):
            if self._get(name) != value:
                self._set(name, value)

    def set_micro_batch(self, covers: int) -> None:
        """Write how many covers at a time fit into memory."""
        self._set(_MICRO_BATCH, covers)

    def count_lost_worker(self, epochs: int) -> int:
        """Write that a worker was lost; return how many were with so many epochs behind it."""
        lost_at = [*self._get(_LOST_AT, []), epochs]
        self._set(_LOST_AT, lost_at)
        return lost_at.count(epochs)

    def set_halved_at(self, epoch: int) -> None:
        """Write the epoch at which successive halving has stopped it."""
        self._set(_HALVED_AT, epoch)

    def set_end(self, reason: str, *, recipe_at_fault: bool | None = None) -> None:
        """Write why it is stopped or fails.

        Args:
            reason: In words.
            recipe_at_fault: Whether the recipe was; None: nobody knows.
        """
        if recipe_at_fault is not None:
            self._set(_RECIPE_AT_FAULT, recipe_at_fault)
        self._set(_REASON, reason)
