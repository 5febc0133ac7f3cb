"""What a configuration comes to: small values, resolved once, of which each room takes its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from covertune.vocabulary import Fit

__all__ = [
    "Baseline",
    "HalvingPlan",
    "InputVariant",
    "Slots",
    "TrainedBefore",
    "TrialPlan",
    "TrialResources",
]


class _TakesSquares(Protocol):
    @property
    def backbone(self) -> str: ...
    @property
    def image_px(self) -> int: ...
    @property
    def fit(self) -> Fit: ...


@dataclass(frozen=True, order=True)
class InputVariant:
    """Covers as one backbone takes them.

    Attributes:
        backbone: Which one.
        height: Of what it is given, in pixels.
        width: Of what it is given, in pixels.
        fit: How covers come to have that shape.
    """

    backbone: str
    height: int
    width: int
    fit: Fit

    @classmethod
    def of(cls, model: _TakesSquares) -> InputVariant:
        """Return what a recipe or a probe takes."""
        return cls.square(model.backbone, model.image_px, model.fit)

    @classmethod
    def square(cls, backbone: str, image_px: int, fit: Fit) -> InputVariant:
        """Return the variant of squares."""
        return cls(backbone, image_px, image_px, fit)


@dataclass(frozen=True)
class TrialResources:
    """What the user wants trials to hold.

    Attributes:
        cpus: Of a trial.
        gpus: Of a trial, may be a fraction; None: one where there is one.
        at_once: Trials side by side at most; None: as many as there is room for.
    """

    cpus: int = 1
    gpus: float | None = None
    at_once: int | None = None


@dataclass(frozen=True)
class Slots:
    """How many trials run side by side, and what each holds."""

    count: int
    cpus_per_trial: int
    gpus_per_trial: float
    cpus: int
    gpus: int
    nodes: int

    @property
    def decoding_threads(self) -> int:
        """Threads of a trial that decodes its own covers: its share of the CPUs."""
        return max(self.cpus_per_trial, self.cpus // self.count)


@dataclass(frozen=True)
class TrialPlan:
    """What all trials of a search have in common.

    Attributes:
        epochs: Of a trial that is never stopped.
        seed: Of the first trial; each further one has the next.
        weights: `default`, `none` or a file, by backbone; `default` where it is not named.
    """

    epochs: int
    seed: int = 0
    weights: Mapping[str, str] = field(default_factory=dict)

    def weights_of(self, backbone: str) -> str:
        """Return `default`, `none` or a file."""
        return self.weights.get(backbone, "default")


@dataclass(frozen=True)
class HalvingPlan:
    """Where successive halving judges trials (`search.schedule.halving`).

    Attributes:
        grace_epochs: r, the first rung.
        epochs: R; no rung lies at or beyond it.
        eta: One in eta goes on.
        brackets: Trials are dealt into so many in turn, by number. Those of the first are judged
            from the first rung on, those of the second from the second, and so on; all are at the
            last.
    """

    grace_epochs: int
    epochs: int
    eta: int
    brackets: int = 1

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs of the rungs: r, r * eta, r * eta^2, … below R."""
        at = (self.grace_epochs * self.eta**power for power in itertools.count())
        return tuple(itertools.takewhile(lambda epoch: epoch < self.epochs, at))


@dataclass(frozen=True)
class Baseline:
    """A top-1 that a search is compared with.

    Attributes:
        name: Whose it is.
        top1: None: it is not known.
        is_measured: Whether it was measured on the same covers; else it is somebody's word.
    """

    name: str
    top1: float | None
    is_measured: bool = False


@dataclass(frozen=True)
class TrainedBefore:
    """What a trial of an earlier process has taken.

    Attributes:
        backbone: Its backbone.
        image_px: Its input size.
        epochs: It measured.
        seconds: They took.
    """

    backbone: str
    image_px: int
    epochs: float
    seconds: float
