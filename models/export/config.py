"""config.json of a model folder: what timm and transformers read, and what covertune adds.

At the top stand the keys that timm (`local-dir:`) and transformers (`TimmWrapperConfig`) look for,
and no others: https://huggingface.co/docs/timm/hf_hub. Everything of ours is under `covertune`.
`architecture` is there only where timm was seen to give the same answers with these weights.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from covertune.models.backbones import Backbone
from covertune.models.backbones.input_spec import InputSpec
from covertune.models.errors import ModelFolderError
from covertune.models.evaluation.calibration import Calibration
from covertune.models.evaluation.measure import GenreMeasurement
from covertune.models.training.recipe import Recipe
from covertune.vocabulary import Fit
from covertune.wording import few, sentences

__all__ = [
    "CONFIG",
    "CardData",
    "CovertuneConfig",
    "Loading",
    "ModelFolderConfig",
    "OnnxNotes",
    "Preprocessing",
    "read_config",
    "timm_keys",
    "write_config",
]

CONFIG = "config.json"
FORMAT = 2
_FIRST_FORMAT = 1
_CROP_MODES = {"squash": "squash", "pad": "border", "crop": "center"}  # timm's words

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Preprocessing(BaseModel):
    """From a picture to `pixel_values`, in this order."""

    model_config = _FROZEN

    channels: Literal["RGB"] = Field(default="RGB", description="In this order.")
    transparency: Literal["on white"] = Field(
        default="on white", description="What lies behind it."
    )
    resize: Fit = Field(
        default="squash",
        description="To a square: squashed; whole in its own shape, centred between bars; or the "
        "largest square in the middle alone.",
    )
    bars: Literal["mean of the two edges they touch"] | None = Field(
        default=None, description="Colour of the bars; null unless covers are padded."
    )
    size: tuple[PositiveInt, PositiveInt] = Field(description="Height and width.")
    resample: Literal["bicubic"] = Field(default="bicubic", description="Pillow's, antialiased.")
    rescale: float = Field(default=1 / 255, description="Factor on uint8 pixels.")
    mean: tuple[float, float, float] = Field(description="Subtracted per channel.")
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        description="Divided by, per channel."
    )
    layout: Literal["NCHW"] = Field(default="NCHW", description="Batch, channels, height, width.")

    @classmethod
    def of(cls, input_spec: InputSpec, fit: Fit) -> Preprocessing:
        """Describe what `data_pipeline.load_square` and `InputSpec.normalise` do."""
        return cls(
            resize=fit,
            bars="mean of the two edges they touch" if fit == "pad" else None,
            size=(input_spec.image_px, input_spec.image_px),
            mean=input_spec.mean,
            std=input_spec.std,
        )


class OnnxNotes(BaseModel):
    """How to call model.onnx."""

    model_config = _FROZEN

    input: str = Field(description="Its name.")
    outputs: tuple[str, ...] = Field(description="Their names.")
    opset: int = Field(description="Version of ONNX's operators.")


class Loading(BaseModel):
    """Which library builds the network that the weights belong to."""

    model_config = _FROZEN

    library: Literal["timm", "torchvision", "covertune"] = Field(description="Its name.")
    model: str = Field(description="Name of the network in that library.")
    args: dict[str, Any] = Field(default={}, description="What its constructor is given.")
    how: str = Field(description="The way in, in words.")


class CardData(BaseModel):
    """What is known of a model beside its weights."""

    model_config = _FROZEN

    metrics: dict[str, Any] = Field(default={}, description="Measures by split.")
    by_genre: tuple[GenreMeasurement, ...] = Field(
        default=(), description="Measures of each genre on the test split."
    )
    calibration: Calibration | None = Field(
        default=None, description="The temperature in the weights."
    )
    uncalibrated_because: str | None = Field(
        default=None, description="Why there is no calibration, where somebody might expect one."
    )
    provenance: dict[str, Any] = Field(default={}, description="Run, data, versions.")


class CovertuneConfig(CardData):
    """The part of config.json that covertune itself reads."""

    format: Literal[2] = Field(default=2, description="Version of this document.")
    backbone: str = Field(description="As `covertune backbones` names it.")
    licence: str = Field(description="Of the backbone and the weights it started from.")
    loading: Loading = Field(description="How the network is built.")
    preprocessing: Preprocessing = Field(description="How a picture becomes its input.")
    onnx: OnnxNotes | None = Field(default=None, description="Null where there is no model.onnx.")
    no_onnx_because: str | None = Field(default=None, description="Why there is no model.onnx.")
    recipe: Recipe = Field(description="How it was fine-tuned.")

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        px = self.recipe.image_px
        if self.preprocessing.size != (px, px):
            raise ValueError(f"preprocessing.size must be that of the recipe, {px} x {px}")
        return self

    @property
    def card(self) -> CardData:
        """What is known of the model, without how to build it."""
        return CardData(**{name: getattr(self, name) for name in CardData.model_fields})


def _for_timm(description: str) -> Any:
    """Return a key that is left out where timm does not build the network."""
    return Field(default=None, exclude_if=lambda value: value is None, description=description)


class ModelFolderConfig(BaseModel):
    """config.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # other programs add keys of their own

    architecture: str | None = _for_timm("Name of the network in timm.")
    num_classes: int = Field(description="K, the number of genres.")
    num_features: int | None = _for_timm("Width of the features under the classifier.")
    label_names: list[str] = Field(description="Genres in the order of the logits.", min_length=2)
    model_args: dict[str, Any] | None = _for_timm("What timm's constructor is given beside it.")
    pretrained_cfg: dict[str, Any] | None = _for_timm("Input and classifier, in timm's words.")
    covertune: CovertuneConfig = Field(description="Everything of covertune's own.")

    @model_validator(mode="after")
    def _a_name_each(self) -> Self:
        if len(self.label_names) != self.num_classes:
            raise ValueError(
                f"label_names must name each of num_classes {self.num_classes}, "
                f"got {len(self.label_names)}"
            )
        return self


def timm_keys(
    timm_model: Any, backbone: Backbone, recipe: Recipe, model_args: dict[str, Any]
) -> dict[str, Any]:
    """Return the keys timm and transformers read, for weights that timm's own network takes.

    Args:
        timm_model: As timm builds it; knows what its parts are called.
        backbone: What was fine-tuned.
        recipe: How.
        model_args: What timm's constructor is to be given: `img_size` or nothing. timm's own
            `save_for_hf` puts more there, which transformers passes twice.
    """
    own = timm_model.pretrained_cfg
    px = recipe.image_px
    # Only what is listed: the source's label_offset would cut the first genre, its test_input_size
    # and crop_pct would show covers otherwise than in training, its url would fetch other weights.
    pretrained_cfg = {
        "input_size": [3, px, px],
        "fixed_input_size": bool(own.get("fixed_input_size", False)),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": _CROP_MODES[recipe.fit],
        "mean": list(backbone.input.mean),
        "std": list(backbone.input.std),
        "num_classes": timm_model.num_classes,
        "first_conv": own.get("first_conv"),
        "classifier": own.get("classifier"),
    }
    keys = {"num_features": timm_model.num_features, "pretrained_cfg": pretrained_cfg}
    return keys | ({"model_args": model_args} if model_args else {})


def write_config(config: ModelFolderConfig, folder: Path) -> None:
    """Write config.json; JSON knows neither NaN nor infinity, which become null."""
    document = json.dumps(_finite(config.model_dump(mode="json")), indent=2, ensure_ascii=False)
    (folder / CONFIG).write_text(document + "\n", encoding="utf-8")


def read_config(folder: Path) -> ModelFolderConfig:
    """Read the config.json of a model folder, also of one that covertune 0.1 wrote.

    Raises:
        ModelFolderError: Missing, damaged, or of a format this version does not know.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise ModelFolderError(
            f"no model folder at {folder}: it has no {CONFIG}; make one with `covertune export`"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFolderError(f"{file} is damaged ({error}); export the model again") from error
    came = _format_of(content)
    if came not in (_FIRST_FORMAT, FORMAT):
        raise ModelFolderError(
            f"a model folder must have format {_FIRST_FORMAT} or {FORMAT}, {file} has {came!r}; "
            "use the covertune version that wrote it, or export the model again"
        )
    try:
        return ModelFolderConfig.model_validate(
            content if came == FORMAT else _from_first_format(content)
        )
    except (ValidationError, KeyError, TypeError) as error:
        raise ModelFolderError(
            f"{file} is damaged: {_problems(error)}; export the model again"
        ) from error


def _format_of(content: Any) -> Any:
    if not isinstance(content, dict):
        return None
    if "format" in content:  # where the first format had it
        return content["format"]
    ours = content.get("covertune")
    return ours.get("format") if isinstance(ours, dict) else None


def _from_first_format(content: dict[str, Any]) -> dict[str, Any]:
    """Convert what covertune 0.1 wrote: all keys at the top, and no other library could load it."""
    genres, recipe = content["genres"], content["recipe"]
    return {
        "num_classes": len(genres),
        "label_names": genres,
        "covertune": {
            **{key: content[key] for key in ("backbone", "licence", "preprocessing", "onnx")},
            "metrics": content.get("metrics", {}),
            "provenance": content.get("provenance", {}),
            "recipe": recipe,
            "loading": {
                "library": "covertune",
                "model": content["backbone"],
                "how": "covertune; export the model again, and other libraries may load it too",
            },
        },
    }


def _problems(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return few(sentences(error), separator="; ")
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, list) else value
