"""Builds, fine-tunes, measures, saves and loads a classifier of covers. torch only.

Names are imported when first used: `from covertune.models import Recipe` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covertune.models.backbones import Backbone, get_backbone, list_backbones
    from covertune.models.backbones.heads import HeadWeights, load_head
    from covertune.models.backbones.input_spec import InputSpec
    from covertune.models.errors import (
        Collapse,
        GraphError,
        ModelError,
        ModelFolderError,
        NonFiniteLoss,
        OutOfMemory,
        TrainingFailure,
        WeightsError,
    )
    from covertune.models.evaluation.calibration import (
        Calibration,
        at_temperature,
        calibrate,
        calibrated,
        fit_temperature,
        fold_temperature,
        log_loss,
    )
    from covertune.models.evaluation.classifier import Classifier
    from covertune.models.evaluation.measure import (
        GenreMeasurement,
        Measurement,
        Predictions,
        inference_batch_size,
        measure_genres,
        measure_model,
        measure_probabilities,
        predict_probabilities,
    )
    from covertune.models.export import (
        CardData,
        ModelFolderSummary,
        load_model,
        save_model,
    )
    from covertune.models.metrics import Metrics
    from covertune.models.out_of_memory import free_memory
    from covertune.models.training.averaging import average_weights
    from covertune.models.training.checkpoint import model_from_checkpoint
    from covertune.models.training.finetune import FineTuner
    from covertune.models.training.probe import Features, ProbeResult, extract_features, fit_probe
    from covertune.models.training.progress import (
        EpochReport,
        ProgressMetrics,
        TrainingPass,
        ValidationPass,
    )
    from covertune.models.training.recipe import UNTUNED, Recipe

__all__ = [
    "UNTUNED",
    "Backbone",
    "Calibration",
    "CardData",
    "Classifier",
    "Collapse",
    "EpochReport",
    "Features",
    "FineTuner",
    "GenreMeasurement",
    "GraphError",
    "HeadWeights",
    "InputSpec",
    "Measurement",
    "Metrics",
    "ModelError",
    "ModelFolderError",
    "ModelFolderSummary",
    "NonFiniteLoss",
    "OutOfMemory",
    "Predictions",
    "ProbeResult",
    "ProgressMetrics",
    "Recipe",
    "TrainingFailure",
    "TrainingPass",
    "ValidationPass",
    "WeightsError",
    "at_temperature",
    "average_weights",
    "calibrate",
    "calibrated",
    "extract_features",
    "fit_probe",
    "fit_temperature",
    "fold_temperature",
    "free_memory",
    "get_backbone",
    "inference_batch_size",
    "list_backbones",
    "load_head",
    "load_model",
    "log_loss",
    "measure_genres",
    "measure_model",
    "measure_probabilities",
    "model_from_checkpoint",
    "predict_probabilities",
    "save_model",
]

_HOMES = {
    "covertune.models.training.averaging": ("average_weights",),
    "covertune.models.backbones": (
        "Backbone",
        "get_backbone",
        "list_backbones",
    ),
    "covertune.models.evaluation.calibration": (
        "Calibration",
        "at_temperature",
        "calibrate",
        "calibrated",
        "fit_temperature",
        "fold_temperature",
        "log_loss",
    ),
    "covertune.models.training.checkpoint": ("model_from_checkpoint",),
    "covertune.models.evaluation.classifier": ("Classifier",),
    "covertune.models.errors": (
        "Collapse",
        "GraphError",
        "ModelError",
        "ModelFolderError",
        "NonFiniteLoss",
        "OutOfMemory",
        "TrainingFailure",
        "WeightsError",
    ),
    "covertune.models.export": (
        "CardData",
        "ModelFolderSummary",
        "load_model",
        "save_model",
    ),
    "covertune.models.training.finetune": ("FineTuner",),
    "covertune.models.backbones.heads": (
        "HeadWeights",
        "load_head",
    ),
    "covertune.models.backbones.input_spec": ("InputSpec",),
    "covertune.models.evaluation.measure": (
        "GenreMeasurement",
        "Measurement",
        "Predictions",
        "inference_batch_size",
        "measure_genres",
        "measure_model",
        "measure_probabilities",
        "predict_probabilities",
    ),
    "covertune.models.out_of_memory": ("free_memory",),
    "covertune.models.metrics": ("Metrics",),
    "covertune.models.training.probe": (
        "Features",
        "ProbeResult",
        "extract_features",
        "fit_probe",
    ),
    "covertune.models.training.recipe": (
        "UNTUNED",
        "Recipe",
    ),
    "covertune.models.training.progress": (
        "EpochReport",
        "ProgressMetrics",
        "TrainingPass",
        "ValidationPass",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'covertune.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
