"""The model folder: what leaves a search, and what anyone can load.

    model.safetensors   weights
    config.json         what timm, transformers and covertune need to build the network
    model.onnx          the same classifier without torch, where ONNX can express it
    predict.py          a program around model.onnx
    README.md           model card with code to copy
    SHA256SUMS          digests of weights, graph and config

Nothing in it is pickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from covertune.models.backbones import Backbone
from covertune.models.backbones.heads import head_of
from covertune.models.backbones.input_spec import InputSpec
from covertune.models.errors import GraphError, ModelError, ModelFolderError
from covertune.models.evaluation.classifier import Classifier
from covertune.models.export.card import licence_of, write_card, write_program
from covertune.models.export.checksums import check_sums, write_sums
from covertune.models.export.config import (
    CONFIG,
    CardData,
    CovertuneConfig,
    ModelFolderConfig,
    OnnxNotes,
    Preprocessing,
    read_config,
    write_config,
)
from covertune.models.export.loading import find_loading, only_covertune
from covertune.models.export.onnx_graph import INPUT, OUTPUTS, check_graph, write_graph
from covertune.models.export.weights import WEIGHTS, rebuild, state_of, to_safetensors
from covertune.models.training.recipe import Recipe
from covertune.whole import whole_folder
from covertune.wording import first_line, reason_of

__all__ = ["ModelFolderSummary", "load_model", "save_model"]

GRAPH, CARD, PROGRAM = "model.onnx", "README.md", "predict.py"


@dataclass(frozen=True)
class ModelFolderSummary:
    """What was written.

    Attributes:
        path: The folder.
        files: Name to bytes.
        config: Its config.json.
        onnx_difference: Largest difference of a probability between ONNX and torch; None without a
            graph.
    """

    path: Path
    files: dict[str, int]
    config: ModelFolderConfig
    onnx_difference: float | None


def save_model(
    out: Path,
    model: nn.Module,
    recipe: Recipe,
    backbone: Backbone,
    genres: Sequence[str],
    card: CardData,
    check_images_NHWC: npt.NDArray[np.uint8],
    *,
    replace: bool = False,
) -> ModelFolderSummary:
    """Write a model folder; it appears whole, every way into it tried, or not at all.

    Args:
        out: The folder to make.
        model: As trained by `recipe`.
        recipe: How it was trained.
        backbone: Its registry entry.
        genres: Names, in the order of the logits.
        card: What is known of it.
        check_images_NHWC: A few covers to compare the ways in on.
        replace: Whether a folder that lies there already gives way.

    Raises:
        ModelFolderError: `out` exists or cannot be written; model, recipe and genres do not fit
            each other.
    """
    names = list(genres)
    _require_savable(out, model, names, check_images_NHWC, replace=replace)
    state = state_of(model)
    loaded = _as_loaded(state, recipe, len(names))
    pixel_values = backbone.input.normalise(torch.tensor(check_images_NHWC)).contiguous()
    try:
        with whole_folder(out, replace=replace) as folder:
            (folder / WEIGHTS).write_bytes(to_safetensors(state, backbone.name, names))
            config = _config(recipe, backbone, names, card)
            config, difference = _write_graph(folder, config, loaded, pixel_values)
            config = find_loading(folder / WEIGHTS, config, backbone, loaded, pixel_values)
            _write_documents(folder, config, backbone)
            files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelFolderError(
            f"cannot write the model folder {out}: {reason_of(error)}"
        ) from error
    return ModelFolderSummary(out, files, config, difference)


def load_model(path: Path, device: torch.device | str = "cpu") -> Classifier:
    """Read a model folder.

    Args:
        path: The folder.
        device: Where the classifier is to compute.

    Raises:
        ModelFolderError: Missing, damaged, changed, or of another format version.
    """
    if not (path / CONFIG).is_file():
        read_config(path)  # says what a model folder is
    check_sums(path)
    config = read_config(path)
    ours, weights = config.covertune, path / WEIGHTS
    try:
        state = safetensors.torch.load_file(weights)
        model = rebuild(ours.recipe, config.num_classes, state)
    except (OSError, safetensors.SafetensorError, RuntimeError, ValueError, ModelError) as error:
        raise ModelFolderError(
            f"{weights} must hold the weights of {ours.backbone} with {config.num_classes} "
            f"genres ({first_line(error)}); export the model again"
        ) from error
    prepared = ours.preprocessing
    return Classifier(
        model=model,
        input_spec=InputSpec(prepared.size[0], prepared.mean, prepared.std),
        genres=config.label_names,
        recipe=ours.recipe,
        card=ours.card,
        device=device,
    )


def _require_savable(
    out: Path,
    model: nn.Module,
    genres: list[str],
    check_images_NHWC: npt.NDArray[np.uint8],
    *,
    replace: bool,
) -> None:
    if os.path.lexists(out) and not replace:
        raise ModelFolderError(
            f"a model folder must be new, {out} exists; remove it or choose another place"
        )
    if len(check_images_NHWC) == 0:
        raise ModelFolderError("comparing the ways into a model folder needs a cover, got none")
    if (logits := head_of(model).out_features) != len(genres):
        raise ModelFolderError(
            f"a model folder needs a name for each of the model's {logits} genres, "
            f"got {len(genres)}; give those of the store it was trained on"
        )


def _as_loaded(state: dict[str, Tensor], recipe: Recipe, num_genres: int) -> nn.Module:
    """Return the model as somebody gets it who loads the folder."""
    try:
        return rebuild(recipe, num_genres, state)
    except (RuntimeError, ValueError) as error:
        raise ModelFolderError(
            f"the model must be {recipe.backbone} at {recipe.image_px} px, as its recipe says, "
            f"it is not ({first_line(error)}); give the recipe it was trained by"
        ) from error


def _config(
    recipe: Recipe, backbone: Backbone, genres: list[str], card: CardData
) -> ModelFolderConfig:
    licence = licence_of(backbone, recipe)
    if recipe.weights not in ("default", "none"):  # a path on somebody's disk helps nobody else
        name = Path(recipe.weights).name
        of_file = f"./{name}" if name in ("default", "none") else name
        recipe = recipe.model_copy(update={"weights": of_file})
    return ModelFolderConfig(
        num_classes=len(genres),
        label_names=genres,
        covertune=CovertuneConfig(
            **dict(card),
            backbone=backbone.name,
            licence=licence,
            loading=only_covertune(backbone),
            preprocessing=Preprocessing.of(backbone.input.at(recipe.image_px), recipe.fit),
            recipe=recipe,
        ),
    )


def _write_graph(
    folder: Path, config: ModelFolderConfig, model: nn.Module, pixel_values: Tensor
) -> tuple[ModelFolderConfig, float | None]:
    """Write model.onnx and compare it; a network that ONNX cannot express goes without."""
    ours = config.covertune
    metadata = {
        "label_names": json.dumps(config.label_names, ensure_ascii=False),
        "preprocessing": ours.preprocessing.model_dump_json(),
        "backbone": ours.backbone,
        "covertune": version("covertune"),
    }
    found: dict[str, Any]
    difference: float | None = None
    try:
        opset = write_graph(model, ours.recipe.image_px, folder / GRAPH, metadata)
        difference = check_graph(folder / GRAPH, model, pixel_values)
        found = {"onnx": OnnxNotes(input=INPUT, outputs=OUTPUTS, opset=opset)}
    except GraphError as error:
        for partly in folder.glob(f"{GRAPH}*"):
            partly.unlink()
        found = {"no_onnx_because": str(error)}
    return config.model_copy(update={"covertune": ours.model_copy(update=found)}), difference


def _write_documents(folder: Path, config: ModelFolderConfig, backbone: Backbone) -> None:
    """Write config.json, the card, predict.py where there is a graph, and the digests."""
    write_config(config, folder)
    write_sums(folder, [file.name for file in folder.iterdir()])  # not of what people may edit
    (folder / CARD).write_text(write_card(config, backbone), encoding="utf-8")
    if config.covertune.onnx is not None:
        (folder / PROGRAM).write_text(write_program(config), encoding="utf-8")
