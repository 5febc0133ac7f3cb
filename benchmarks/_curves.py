"""Recorded learning curves, and what a recipe nobody trained would measure.

A table is a JSON-lines file. Its first line says where the curves come from, each other line is a
trial that was trained to its last epoch: its recipe, top-1 and seconds of each epoch, and the
reason if it failed. `record_curves.py` makes tables of runs.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import KFold, cross_val_predict

TABLES = Path(__file__).parent / "curves"


@dataclass(frozen=True)
class Curve:
    """What training one recipe gives.

    Attributes:
        top1_E: Validation top-1 after each epoch, as measured on so many covers.
        seconds_E: What each epoch costs.
        failure: Why it ended there, or None.
        expected_E: Top-1 without the luck of one measurement; None of a recorded curve.
    """

    top1_E: tuple[float, ...]
    seconds_E: tuple[float, ...]
    failure: str | None = None
    expected_E: tuple[float, ...] | None = None


class CurveTable:
    """A surrogate of training, as Eggensperger et al. 2015 propose for comparing searches.

    What a recipe is worth is the mean of a Gaussian process (Matern 5/2, a length for each setting)
    over the recorded trials, for each epoch. What it *measures* is that and an error: one trial's
    error is drawn from those of the recorded ones, all its epochs together, and scaled to the noise
    that the process finds in them. A recipe nearest to a failure fails as that did.
    """

    def __init__(self, facts, recipes, curves, untuned):
        self.facts = facts
        self.curves = curves
        self.untuned = untuned  # of the yardstick, which is like no other recipe
        points_ND = np.array([_point(recipe) for recipe in recipes])
        self._asked_D = np.ptp(points_ND, axis=0) > 0  # of a backbone from scratch, less is asked
        self._all_ND = points_ND[:, self._asked_D]
        self._points_ND = np.array(
            [p for p, c in zip(self._all_ND, curves, strict=True) if not c.failure]
        )
        self._top1_NE = np.array([curve.top1_E for curve in curves if not curve.failure])
        self._final_N = self._top1_NE[:, -3:].mean(axis=1)
        self._process = _process().fit(self._points_ND, self._final_N)
        self._epochs = GaussianProcessRegressor(
            self._process.kernel_, optimizer=None, normalize_y=True
        ).fit(self._points_ND, self._top1_NE)
        self._lengths_D = self._process.kernel_.k1.k2.length_scale
        self._errors_NE = self._left_out_errors()

    @classmethod
    @cache
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
    def chance(self):
        """Top-1 before anything was measured."""
        return 1.0 / self.facts["genres"]

    @property
    def whole_trial_s(self):
        """Mean seconds of a trial that nobody stops."""
        return float(np.mean([sum(c.seconds_E) for c in self.curves if c.failure is None]))

    @property
    def noise(self):
        """Standard deviation of what a trial measures at its end, for equal recipes."""
        return float(np.sqrt(self._process.kernel_.k2.noise_level) * self._final_N.std())

    def curve(self, recipe, seed=0):
        """What training a recipe would give; another seed has other luck."""
        point_D = _point(recipe)[self._asked_D]
        differences_ND = (self._all_ND - point_D) / self._lengths_D
        nearest = self.curves[int(np.argmin((differences_ND**2).sum(axis=1)))]
        if nearest.failure is not None:
            return nearest
        expected_E = self._epochs.predict(point_D[None])[0]
        rng = np.random.default_rng((seed, zlib.crc32(point_D.tobytes())))
        error_E = self._errors_NE[rng.integers(len(self._errors_NE))] * rng.choice((-1, 1))
        return Curve(
            tuple(np.clip(expected_E + error_E, 0, 1)),
            nearest.seconds_E,
            expected_E=tuple(expected_E),
        )

    def explained(self):
        """Share of the variance of final top-1 that is predicted for trials left out (10 folds)."""
        folds = KFold(10, shuffle=True, random_state=0)
        predicted_N = cross_val_predict(_process(), self._points_ND, self._final_N, cv=folds)
        return 1.0 - float(((predicted_N - self._final_N) ** 2).mean() / self._final_N.var())

    def _left_out_errors(self):
        """By trial and epoch: measured less predicted from the others, scaled to the noise.

        Left-out residuals of a Gaussian process: Rasmussen and Williams 2006, eq. 5.12.
        """
        inverse_NN = np.linalg.inv(self._epochs.kernel_(self._points_ND))
        centred_NE = self._top1_NE - self._top1_NE.mean(axis=0)
        errors_NE = (inverse_NN @ centred_NE) / np.diag(inverse_NN)[:, None]
        return errors_NE * self.noise / errors_NE[:, -3:].mean(axis=1).std()


def _process():
    lengths = Matern(np.ones(len(SETTINGS)), (0.3, 30.0), nu=2.5)
    return GaussianProcessRegressor(
        ConstantKernel(1.0, (0.05, 20.0)) * lengths + WhiteKernel(0.3, (0.05, 2.0)),
        normalize_y=True,
        random_state=0,
    )


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
