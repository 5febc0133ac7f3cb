"""Recorded learning curves, and what a recipe nobody trained would measure.

A table is a JSON-lines file. Its first line says where the curves come from, each other line is a
trial that was trained to its last epoch: its recipe, top-1, loss and seconds of each epoch, and
the reason if it failed. `record_curves.py` makes tables of runs.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold, cross_val_predict

from covertune.models.metrics import standard_error

TABLES = Path(__file__).parent / "curves"

# What one measurement errs by, as far as it errs otherwise than those of other trials on the same
# covers, which find the same ones hard: of top-1 as a share of its standard error, and of the
# logarithm of the loss on 636 covers. From 29 trials on covers5 at 64 px, measured on the
# validation and on the test split: the spread of the difference, by the root of two.
_OWN_SHARE = 0.68
_LOG_LOSS_ERROR = 0.0154
_LOG_LOSS_COVERS = 636

# What an epoch's work depends on; a step of 32 px is further than any number of stages.
_WORK = ("image_px", "frozen_stages")


@dataclass(frozen=True)
class Curve:
    """What training one recipe gives.

    Attributes:
        top1_E: Validation top-1 after each epoch, as measured on so many covers.
        loss_E: Validation loss, as measured.
        seconds_E: What each epoch costs.
        failure: Why it ended there, or None.
        expected_E: Top-1 without the luck of one measurement; None of a recorded curve.
    """

    top1_E: tuple[float, ...]
    loss_E: tuple[float, ...]
    seconds_E: tuple[float, ...]
    failure: str | None = None
    expected_E: tuple[float, ...] | None = None


class CurveTable:
    """A surrogate of training, as Eggensperger et al. 2015 propose for comparing searches.

    What a recipe is worth is what a forest of extremely randomised trees over the recorded trials
    says, for each epoch. What it *measures* is that and an error: one trial's error is drawn from
    the residuals of the recorded ones (each predicted by the trees that have not seen it), top-1
    and loss of all its epochs together, scaled to what measurements err by where they are larger,
    because a forest errs too. A recipe nearest to a failure fails as that did. An epoch takes as
    long as those of the recorded trials of its size that froze as many stages, or nearly as many.
    """

    def __init__(self, facts, recipes, curves, untuned):
        self.facts = facts
        self.curves = curves
        self.untuned = untuned  # of the yardstick, which is like no other recipe
        self._all_ND = np.array([_point(recipe) for recipe in recipes], dtype=np.float32)
        is_whole = [not curve.failure for curve in curves]
        whole = [curve for curve in curves if not curve.failure]
        self._seconds_NE = np.array([curve.seconds_E for curve in whole])
        self._work_NW = np.array([_work(recipe) for recipe in recipes])[is_whole]
        self._points_ND = self._all_ND[is_whole]
        self._top1_NE = np.array([curve.top1_E for curve in whole])
        log_loss_NE = np.log([curve.loss_E for curve in whole])
        measured_NM = np.hstack([self._top1_NE, log_loss_NE])  # M = 2 E
        self._forest = _forest(oob_score=True).fit(self._points_ND, measured_NM)
        self._trees = [tree.tree_ for tree in self._forest.estimators_]
        top1_errors_NE, loss_errors_NE = np.hsplit(measured_NM - self._forest.oob_prediction_, 2)
        val = facts["covers"]["val"]
        self.noise = _OWN_SHARE * standard_error(self._top1_NE[:, -1].mean(), val)
        log_loss_noise = _LOG_LOSS_ERROR * math.sqrt(_LOG_LOSS_COVERS / val)
        self._errors_NM = np.hstack(
            [_at_most(self.noise, top1_errors_NE), _at_most(log_loss_noise, loss_errors_NE)]
        )

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

    def curve(self, recipe, seed=0):
        """Return what training a recipe would give; another seed has other luck."""
        point_D = _point(recipe).astype(np.float32)
        nearest = self._nearest(point_D)
        if nearest.failure is not None:
            return nearest
        # Tree by tree: the forest's own `predict` takes ten times as long for a single point.
        expected_M = np.mean([tree.predict(point_D[None])[0, :, 0] for tree in self._trees], axis=0)
        rng = np.random.default_rng((seed, zlib.crc32(point_D.tobytes())))
        error_M = self._errors_NM[rng.integers(len(self._errors_NM))]
        top1_E, log_loss_E = np.split(expected_M + error_M, 2)
        return Curve(
            tuple(np.clip(top1_E, 0, 1)),
            tuple(np.exp(log_loss_E)),
            self._seconds_of(recipe),
            expected_E=tuple(expected_M[: self.epochs]),
        )

    def _seconds_of(self, recipe):
        """Return what epochs cost: a mean over the trials that had as much to compute."""
        distance_N = np.abs(self._work_NW - _work(recipe)).sum(axis=1)
        return tuple(self._seconds_NE[distance_N == distance_N.min()].mean(axis=0))

    def _nearest(self, point_D):
        """Return the recorded trial most like a recipe, failed ones included."""
        return self.curves[int(np.argmin(np.abs(self._all_ND - point_D).sum(axis=1)))]

    def best_of(self, recipes):
        """Return the most that any epoch of any of the recipes is worth."""
        points_RD = np.array([_point(recipe) for recipe in recipes], dtype=np.float32)
        goes_well_R = [self._nearest(point_D).failure is None for point_D in points_RD]
        return float(self._forest.predict(points_RD[goes_well_R])[:, : self.epochs].max())

    def explained(self):
        """Return the share of variance of final top-1 predicted for trials left out (10 folds)."""
        folds = KFold(10, shuffle=True, random_state=0)
        final_N = self._top1_NE[:, -1]
        predicted_N = cross_val_predict(_forest(), self._points_ND, final_N, cv=folds)
        return 1.0 - float(((predicted_N - final_N) ** 2).mean() / final_N.var())


def _at_most(error, errors_NE):
    """Scale errors down until those of the last epoch have this spread, if it is larger."""
    return errors_NE * min(1.0, error / errors_NE[:, -1].std())


def _forest(**settings):
    return ExtraTreesRegressor(
        200, min_samples_leaf=2, max_features=0.7, bootstrap=True, random_state=0, **settings
    )


# Setting, and how its values become a number between about 0 and 1.
SETTINGS = {
    # So far apart that whoever is nearest to a recipe is of its size.
    "image_px": lambda value: 20 * math.log2(value / 32),
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
    return Curve(tuple(row["top1"]), tuple(row["loss"]), tuple(row["seconds"]), row.get("failure"))


def _work(recipe):
    return np.array([recipe[setting] for setting in _WORK])


def _point(recipe):
    return np.array([scale(recipe[setting]) for setting, scale in SETTINGS.items()])
