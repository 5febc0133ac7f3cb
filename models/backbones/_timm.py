"""Backbones of timm, by `timm/NAME` or `timm/NAME.TAG`.

Source: https://github.com/huggingface/pytorch-image-models (code Apache-2.0); the licence of the
weights is told per model.
"""

from __future__ import annotations

import functools
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from covertune.models.backbones._backbone import Backbone
from covertune.models.backbones._weights import HubFile, StateDict, hf_endpoint
from covertune.models.backbones.input_spec import InputSpec
from covertune.models.errors import ModelError
from covertune.wording import first_line

__all__ = ["PREFIX", "names", "timm_backbone"]

PREFIX = "timm/"
_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "pretrained_filter_fn")  # timm's own conversions


def names(pattern: str = "*") -> list[str]:
    """List models of the installed timm matching a shell pattern, with the prefix."""
    import timm

    return [PREFIX + name for name in timm.list_models(pattern)]


@functools.cache
def timm_backbone(name: str) -> Backbone | None:
    """Return the registry entry of one timm model; None if timm has none of that name."""
    import timm

    bare = name.removeprefix(PREFIX)
    if not timm.is_model(bare.partition(".")[0]):
        return None
    try:
        cfg = timm.get_pretrained_cfg(bare, allow_unregistered=False)
    except RuntimeError:  # no such tag
        return None
    if cfg is None:
        return None
    pretrained = bool(cfg.hf_hub_id or cfg.url)
    return Backbone(
        name=name,
        source="timm",
        input=InputSpec(image_px=cfg.input_size[-1], mean=_three(cfg.mean), std=_three(cfg.std)),
        weights=f"timm {cfg.hf_hub_id or cfg.url}" if pretrained else "none",
        licence=cfg.license or "not stated by timm",
        parameters=None,
        gflops=None,
        pretrained=pretrained,
        architecture=functools.partial(_architecture, bare, cfg),
        library="timm",
        library_name=bare.partition(".")[0],
        library_args=functools.partial(_size_args, cfg.fixed_input_size),
        hub_id=cfg.hf_hub_id,
        default_weights=functools.partial(_fetch, name, cfg) if pretrained else None,
        adapters=tuple(functools.partial(_convert, which) for which in _FILTERS),
    )


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = values
    return (red, green, blue)


def _architecture(bare: str, cfg: Any, image_px: int) -> nn.Module:
    import timm

    options: dict[str, Any] = {"pretrained": False}
    if image_px != cfg.input_size[-1]:
        options |= _size_args(cfg.fixed_input_size, image_px)
    try:
        with warnings.catch_warnings():
            # timm maps deprecated names to new ones with a warning; the name was the user's.
            warnings.simplefilter("ignore", UserWarning)
            model: nn.Module = timm.create_model(bare, **options)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"timm cannot build {bare} for {image_px} px ({first_line(error)}); "
            f"its own size is {cfg.input_size[-1]} px"
        ) from error
    classifier = model.get_classifier()  # type: ignore[operator]
    if not isinstance(classifier, nn.Linear):
        raise ModelError(
            f"{PREFIX}{bare} must have one linear classifier, it has "
            f"{type(classifier).__name__}; take another backbone"
        )
    return model


def _size_args(is_fixed: bool, image_px: int) -> dict[str, Any]:
    """Tell networks the size of the image, where their tables depend on it."""
    return {"img_size": [image_px, image_px]} if is_fixed else {}


def _fetch(name: str, cfg: Any) -> Path:
    if not cfg.hf_hub_id:
        filename = cfg.url.rsplit("/", 1)[1]
        return HubFile(name, cfg.url, filename).path()
    remote = cfg.hf_hub_filename or "model.safetensors"
    from huggingface_hub import try_to_load_from_cache

    known = try_to_load_from_cache(cfg.hf_hub_id, remote)
    if isinstance(known, str):
        return Path(known)
    url = f"{hf_endpoint()}/{cfg.hf_hub_id}/resolve/main/{remote}"
    local = f"{cfg.hf_hub_id.replace('/', '--')}{Path(remote).suffix}"
    return HubFile(name, url, local).path()


def _convert(which: str, state: StateDict, model: nn.Module) -> StateDict:
    """Apply timm's own conversion for this family: position tables at another size, older names."""
    convert = getattr(sys.modules[type(model).__module__], which)
    with torch.no_grad():
        return dict(convert(state, model))
