"""Recorded learning curves, and how a recipe nobody trained gets one of them.

A table is a JSON-lines file. Its first line says where the curves come from, each other line is a
trial that was trained to its last epoch: its recipe, top-1 and seconds of each epoch, and the
reason if it failed. `record_curves.py` makes tables of runs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

TABLES = Path(__file__).parent / "curves"


@dataclass(frozen=True)
class Curve:
    """What training one recipe gave.

    Attributes:
        top1_E: Validation top-1 after each epoch.
        seconds_E: What each epoch cost.
        failure: Why it ended there, or None.
    """

    top1_E: tuple[float, ...]
    seconds_E: tuple[float, ...]
    failure: str | None = None


class CurveTable:
    """Curves by recipe; a recipe that is not in the table gets the curve of the most similar one.

    How much each setting counts for similarity is learnt from the table: weights that best predict
    each recorded trial's final top-1 from its nearest neighbours among the others.
    """

    def __init__(self, facts, recipes, curves, untuned):
        self.facts = facts
        self.curves = curves
        self.untuned = untuned  # of the yardstick, which is like no other recipe
        self._points_ND = np.array([_point(recipe) for recipe in recipes])
        self._final_N = np.array([max(curve.top1_E, default=0.0) for curve in curves])

    @classmethod
    def load(cls, name):
        first, *rest = (TABLES / f"{name}.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(row) for row in rest]
        untuned = next(_curve(row) for row in rows if row["untuned"])
        rows = [row for row in rows if not row["untuned"]]
        recipes = [row["recipe"] for row in rows]
        return cls(json.loads(first), recipes, [_curve(row) for row in rows], untuned)

    def __len__(self):
        return len(self.curves)

    @property
    def epochs(self):
        """R, of a trial that nobody stops."""
        return self.facts["epochs"]

    @property
    def best(self):
        """The highest top-1 of any epoch: what a perfect search would find at once."""
        return float(self._final_N.max())

    @property
    def chance(self):
        """Top-1 before anything was measured."""
        return 1.0 / self.facts["genres"]

    @property
    def whole_trial_s(self):
        """Mean seconds of a trial that nobody stops."""
        return float(np.mean([sum(c.seconds_E) for c in self.curves if c.failure is None]))

    def nearest(self, recipe):
        """The curve of the recorded trial most like a recipe."""
        difference_ND = self._points_ND - _point(recipe)
        return self.curves[int(np.argmin(np.abs(difference_ND) @ self.weights))]

    @cached_property
    def weights(self):
        """How much a difference in each of `SETTINGS` counts."""
        weights_D = np.ones(len(SETTINGS))
        distances_NND = np.abs(self._points_ND[:, None] - self._points_ND[None])
        least = self._left_out_error(distances_NND @ weights_D)
        for _ in range(3):
            for at in range(len(weights_D)):
                for weight in (0.05, 0.25, 0.5, 1.0, 2.0, 4.0):
                    tried_D = weights_D.copy()
                    tried_D[at] = weight
                    error = self._left_out_error(distances_NND @ tried_D)
                    if error < least:
                        least, weights_D = error, tried_D
        return weights_D

    def explained(self):
        """Share of the variance of final top-1 that neighbours predict, each trial left out."""
        distances_NN = np.abs(self._points_ND[:, None] - self._points_ND[None]) @ self.weights
        return 1.0 - self._left_out_error(distances_NN) / float(self._final_N.var())

    def _left_out_error(self, distances_NN):
        distances_NN = distances_NN + np.diag(np.full(len(distances_NN), np.inf))
        nearest_N3 = np.argsort(distances_NN, axis=1)[:, :3]
        return float(np.mean((self._final_N[nearest_N3].mean(axis=1) - self._final_N) ** 2))


# Setting, and how its values become a number between about 0 and 1.
SETTINGS = {
    "lr_head": lambda value: (math.log10(value) + 5) / 3,
    "lr_backbone": lambda value: (math.log10(value) + 5) / 2.5 if value else -1.0,
    "layer_decay": lambda value: 2 * (value - 0.5),
    "frozen_stages": lambda value: value / 8,
    "head_init": lambda value: float(value == "probe"),
    "batch_norm": lambda value: float(value == "frozen"),
    "batch_size": lambda value: (math.log2(value) - 4) / 2,
    "weight_decay": lambda value: (math.log10(value or 1e-6) + 6) / 5.5,
    "warmup_epochs": lambda value: value,
    "label_smoothing": lambda value: 5 * value,
    "augment_strength": lambda value: value,
    "drop_rate": lambda value: 2 * value,
    "mixup_alpha": lambda value: value,
    "cutmix_alpha": lambda value: value,
    "ema_decay": lambda value: 0.0 if value is None else 1.0 + 5 * (value - 0.9),
}


def _curve(row):
    return Curve(tuple(row["top1"]), tuple(row["seconds"]), row.get("failure"))


def _point(recipe):
    return np.array([scale(recipe[setting]) for setting, scale in SETTINGS.items()])
