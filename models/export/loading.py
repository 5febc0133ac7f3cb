"""Which library can load a model folder: found by loading it and comparing the answers.

Names and shapes of tensors prove nothing: timm's `efficientnet_lite0` takes the tensors of
`tf_efficientnet_lite0` and gives other answers, for it pads otherwise.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from covertune.models.backbones import Backbone
from covertune.models.export.answers import logits_of, same_answers
from covertune.models.export.config import Loading, ModelFolderConfig, timm_keys, write_config
from covertune.models.state import load_state

__all__ = ["find_loading", "only_covertune"]

_TIMM = "timm.create_model('local-dir:FOLDER', pretrained=True), transformers.pipeline, covertune"
_TORCHVISION = (
    "torchvision.models.get_model(model, num_classes=K, **args) and load_state_dict, covertune"
)


def only_covertune(backbone: Backbone) -> Loading:
    """Return the way in where no other library knows the network."""
    return Loading(library="covertune", model=backbone.name, how="covertune; or model.onnx")


def find_loading(
    weights: Path,
    config: ModelFolderConfig,
    backbone: Backbone,
    model: nn.Module,
    pixel_values: Tensor,
) -> ModelFolderConfig:
    """Return the config.json under which other libraries give the same answers.

    Args:
        weights: The file of the weights.
        config: As it is where covertune alone loads the folder.
        backbone: What was fine-tuned.
        model: As trained, on the CPU, in eval mode.
        pixel_values: (B, 3, px, px) float32, normalised covers to compare on.

    Returns:
        With `architecture` only where timm was seen to answer alike, both from the folder and
        built as transformers builds it.
    """
    recipe, num_genres = config.covertune.recipe, config.num_classes
    state, wanted_BK = model.state_dict(), logits_of(model, pixel_values)

    def alike(build: Callable[[], nn.Module]) -> nn.Module | None:
        """Return the network that a library builds, if it answers as it should."""
        try:
            built = build().eval()
            return built if same_answers(logits_of(built, pixel_values), wanted_BK) else None
        except Exception:  # other libraries raise anything over what is not theirs
            return None

    for name, args in _timm_candidates(backbone, recipe.image_px):
        if (
            timm_model := alike(partial(_build, _create_timm, name, num_genres, args, state))
        ) is None:
            continue
        keys = timm_keys(timm_model, backbone, recipe, args)
        loading = Loading(library="timm", model=name, args=args, how=_TIMM)
        found = _with_loading(config, loading, architecture=name, **keys)
        if alike(partial(_create_from_folder, weights, found)) is not None:
            return found
    if backbone.library == "torchvision":
        name, args = backbone.library_name, backbone.library_args(recipe.image_px)
        if alike(partial(_build, _create_torchvision, name, num_genres, args, state)) is not None:
            loading = Loading(library="torchvision", model=name, args=args, how=_TORCHVISION)
            return _with_loading(config, loading)
    return config


def _timm_candidates(backbone: Backbone, image_px: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names in timm, and arguments, under which the weights may be at home."""
    import timm

    name = backbone.library_name
    if backbone.library == "timm":
        if args := backbone.library_args(image_px):
            yield name, args
        yield name, {}
    elif backbone.library == "torchvision" and timm.is_model(name):
        yield name, {}


def _create_timm(name: str, **options: Any) -> nn.Module:
    import timm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of deprecated names
        model: nn.Module = timm.create_model(name, **options)
    return model


def _create_from_folder(weights: Path, config: ModelFolderConfig) -> nn.Module:
    """Create it as timm does from a folder that holds these two and nothing else.

    In a place of its own: timm once cut a path at `#` or `?`, as if it were an address.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / weights.name).symlink_to(weights.absolute())
        write_config(config, folder)
        return _create_timm(f"local-dir:{folder}", pretrained=True)


def _create_torchvision(name: str, **options: Any) -> nn.Module:
    from torchvision import models as tv

    model: nn.Module = tv.get_model(name, weights=None, **options)
    return model


def _build(
    create: Callable[..., nn.Module],
    name: str,
    num_genres: int,
    args: Mapping[str, Any],
    state: Mapping[str, Tensor],
) -> nn.Module:
    """Build a library's own network with the weights in it."""
    model = create(name, num_classes=num_genres, **args)
    load_state(model, state)
    return model


def _with_loading(config: ModelFolderConfig, loading: Loading, **keys: Any) -> ModelFolderConfig:
    ours = config.covertune.model_copy(update={"loading": loading})
    return config.model_copy(update={"covertune": ours, **keys})
