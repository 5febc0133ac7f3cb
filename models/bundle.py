"""The model folder: what leaves a search, and what anyone can load.

    model.safetensors   weights
    config.json         format, genres, preprocessing, recipe, metrics, provenance
    model.onnx          the same classifier without torch
    README.md           model card with code to copy

Nothing in it is pickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from models.backbones import Backbone, get_backbone
from models.classifier import Classifier
from models.errors import BundleError, ModelError, first_line
from models.heads import head_of
from models.input_spec import InputSpec
from models.model_card import licence_of, write_card
from models.onnx_graph import INPUT, OUTPUTS, check_graph, write_graph
from models.recipe import Recipe
from models.whole_files import whole_folder

__all__ = ["FORMAT", "BundleSummary", "load_bundle", "write_bundle"]

FORMAT = 1
WEIGHTS, CONFIG, GRAPH, CARD = "model.safetensors", "config.json", "model.onnx", "README.md"


@dataclass(frozen=True)
class BundleSummary:
    """What was written.

    Attributes:
        path: The folder.
        files: Name to bytes.
        onnx_difference: Largest difference of a probability between ONNX and torch.
    """

    path: Path
    files: dict[str, int]
    onnx_difference: float


class Preprocessing(BaseModel):
    """From a picture to `pixel_values`, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal["RGB"] = "RGB"
    transparency: Literal["on white"] = "on white"
    resize: Literal["squash", "pad", "crop"] = Field(
        default="squash",
        description="To a square: squashed; whole in its own shape, centred between bars; or the "
        "largest square in the middle alone.",
    )
    bars: Literal["mean of the two edges they touch"] | None = Field(
        default=None, description="Colour of the bars; null unless covers are padded."
    )
    size: tuple[int, int] = Field(description="Height and width.")
    resample: Literal["bicubic"] = Field(default="bicubic", description="Pillow's, antialiased.")
    rescale: float = Field(default=1 / 255, description="Factor on uint8 pixels.")
    mean: tuple[float, float, float] = Field(description="Subtracted per channel.")
    std: tuple[float, float, float] = Field(description="Divided by, per channel.")
    layout: Literal["NCHW"] = "NCHW"


class OnnxNotes(BaseModel):
    """How to call model.onnx."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str = INPUT
    outputs: tuple[str, ...] = OUTPUTS
    opset: int


class BundleConfig(BaseModel):
    """config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    backbone: str
    licence: str = Field(description="Of the backbone and the weights it started from.")
    image_px: int
    preprocessing: Preprocessing
    genres: list[str] = Field(description="In the order of the logits.", min_length=2)
    id2label: dict[str, str]
    label2id: dict[str, int]
    onnx: OnnxNotes
    recipe: Recipe
    metrics: dict[str, Any] = {}
    provenance: dict[str, Any] = {}


def write_bundle(
    out: Path,
    model: nn.Module,
    recipe: Recipe,
    backbone: Backbone,
    genres: Sequence[str],
    facts: Mapping[str, Any],
    check_images_NHWC: npt.NDArray[np.uint8],
    *,
    replace: bool = False,
) -> BundleSummary:
    """Write a model folder; it appears whole, with its graph checked, or not at all.

    Args:
        out: The folder to make.
        model: As trained by `recipe`.
        recipe: How it was trained.
        backbone: Its registry entry.
        genres: Names, in the order of the logits.
        facts: `metrics` (by split) and `provenance`: plain values.
        check_images_NHWC: A few covers to compare ONNX and torch on.
        replace: Whether a folder that lies there already gives way.

    Raises:
        BundleError: `out` exists or cannot be written; model, recipe and genres do not fit each
            other; the ONNX graph disagrees with torch.
    """
    names = list(genres)
    input_spec = backbone.input.at(recipe.image_px)
    if out.exists() and not replace:
        raise BundleError(
            f"a model folder must be new, {out} exists; remove it or choose another place"
        )
    if len(check_images_NHWC) == 0:
        raise BundleError("the ONNX check needs at least one cover, got none")
    if (logits := head_of(model).out_features) != len(names):
        raise BundleError(
            f"a model folder needs a name for each of the model's {logits} genres, "
            f"got {len(names)}; give those of the store it was trained on"
        )
    local = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    try:
        fresh = _rebuild(recipe, len(names), local)
    except RuntimeError as error:
        raise BundleError(
            f"the model must be {recipe.backbone} at {recipe.image_px} px, as its recipe says, "
            f"it is not ({first_line(error)}); give the recipe it was trained by"
        ) from error
    try:
        with whole_folder(out, replace=replace) as folder:
            safetensors.torch.save_file(_unshared(local), folder / WEIGHTS, {"format": "pt"})
            opset = write_graph(fresh, recipe.image_px, folder / GRAPH)
            pixels = input_spec.normalise(torch.tensor(check_images_NHWC))
            difference = check_graph(folder / GRAPH, fresh, pixels)
            config = _config(recipe, backbone, input_spec, names, facts, opset)
            text = json.dumps(_finite(config.model_dump(mode="json")), indent=2, ensure_ascii=False)
            (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
            card = write_card(backbone, input_spec, names, config.recipe, facts)
            (folder / CARD).write_text(card, encoding="utf-8")
            files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    except (OSError, safetensors.SafetensorError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
        raise BundleError(f"cannot write the model folder {out}: {reason}") from error
    return BundleSummary(path=out, files=files, onnx_difference=difference)


def load_bundle(path: Path, device: torch.device | str = "cpu") -> Classifier:
    """Read a model folder.

    Args:
        path: The folder.
        device: Where the classifier is to compute.

    Raises:
        BundleError: Missing, damaged, or of another format version.
    """
    config = _read_config(path)
    weights = path / WEIGHTS
    try:
        state = safetensors.torch.load_file(weights)
        model = _rebuild(config.recipe, len(config.genres), state)
    except (OSError, safetensors.SafetensorError, RuntimeError, ModelError) as error:
        raise BundleError(
            f"{weights} must hold the weights of {config.backbone} with {len(config.genres)} "
            f"genres ({first_line(error)}); export the model again"
        ) from error
    prepared = config.preprocessing
    return Classifier(
        model=model,
        input_spec=InputSpec(config.image_px, prepared.mean, prepared.std),
        genres=config.genres,
        recipe=config.recipe,
        facts={"metrics": config.metrics, "provenance": config.provenance},
        device=device,
    )


def _rebuild(recipe: Recipe, num_genres: int, state: Mapping[str, Tensor]) -> nn.Module:
    """The classifier from its entries, on the CPU: what a loader will see."""
    backbone = get_backbone(recipe.backbone)
    model = backbone.build(num_genres, image_px=recipe.image_px, weights="none")
    model.load_state_dict(state)
    return model.eval()


def _unshared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Safetensors refuses entries that share memory (tied weights); give each its own."""
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in state.items():
        address = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone() if address in seen else tensor
        seen.add(address)
    return own


def _config(
    recipe: Recipe,
    backbone: Backbone,
    input_spec: InputSpec,
    genres: list[str],
    facts: Mapping[str, Any],
    opset: int,
) -> BundleConfig:
    px = input_spec.image_px
    if recipe.weights not in ("default", "none"):  # a path on somebody's disk helps nobody else
        recipe = recipe.model_copy(update={"weights": Path(recipe.weights).name})
    return BundleConfig(
        backbone=backbone.name,
        licence=licence_of(backbone, recipe),
        image_px=px,
        preprocessing=Preprocessing(
            resize=recipe.fit,
            bars="mean of the two edges they touch" if recipe.fit == "pad" else None,
            size=(px, px),
            mean=input_spec.mean,
            std=input_spec.std,
        ),
        genres=genres,
        id2label={str(index): genre for index, genre in enumerate(genres)},
        label2id={genre: index for index, genre in enumerate(genres)},
        onnx=OnnxNotes(opset=opset),
        recipe=recipe,
        metrics=dict(facts.get("metrics", {})),
        provenance=dict(facts.get("provenance", {})),
    )


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, list) else value


def _read_config(path: Path) -> BundleConfig:
    file = path / CONFIG
    if not file.is_file():
        raise BundleError(
            f"no model folder at {path}: it has no {CONFIG}; make one with `covertune export`"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} is damaged ({error}); export the model again") from error
    came = content.get("format") if isinstance(content, dict) else None
    if came != FORMAT:
        raise BundleError(
            f"a model folder must have format {FORMAT}, {file} has {came!r}; "
            "use the covertune version that wrote it, or export the model again"
        )
    try:
        return BundleConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{file} is damaged: {where}: {first['msg']}") from error
