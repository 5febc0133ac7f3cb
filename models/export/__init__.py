"""The model folder: a trained classifier on its way out, and back in.

In: a model, its recipe, what is known of it. Out: a folder that covertune, timm, transformers,
torchvision and onnxruntime load, each as far as it knows the network; or a `Classifier` from one.
"""

from covertune.models.export.config import CardData, ModelFolderConfig
from covertune.models.export.folder import (
    ModelFolderSummary,
    load_model,
    save_model,
)
from covertune.models.export.trial_run import require_weights_return, why_no_graph

__all__ = [
    "CardData",
    "ModelFolderConfig",
    "ModelFolderSummary",
    "load_model",
    "require_weights_return",
    "save_model",
    "why_no_graph",
]
