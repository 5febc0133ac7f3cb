"""Backbones of torchvision, with its newest ImageNet weights.

Source: https://docs.pytorch.org/vision/stable/models.html (code BSD-3-Clause). torchvision grants
its weights under the same terms where they carry none of their own; the SWAG ones are
non-commercial.

torchvision itself is imported when first asked for: it takes seconds, and a search on other
backbones does not need it.
"""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any

from torch import nn

from covertune.models.backbones._backbone import Backbone
from covertune.models.backbones._weights import HubFile, StateDict
from covertune.models.backbones.input_spec import InputSpec
from covertune.models.errors import ModelError

__all__ = ["names", "torchvision_backbone"]

_MAXVIT_STEP_PX = 224  # its 7 x 7 windows tile the feature maps at multiples of 32 * 7 only
_OLD_DENSENET = re.compile(
    r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$"
)


def names() -> list[str]:
    """List all classification models of the installed torchvision."""
    from torchvision import models as tv

    return list(tv.list_models(module=tv))


@functools.cache
def torchvision_backbone(name: str) -> Backbone:
    """Return the registry entry of one torchvision model, from the metadata of its weights."""
    from torchvision import models as tv

    weights = tv.get_model_weights(name).DEFAULT
    meta, transforms = weights.meta, weights.transforms()
    own_terms = meta.get("license")
    return Backbone(
        name=name,
        source="torchvision",
        input=InputSpec(
            image_px=transforms.crop_size[0],
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        ),
        weights=f"torchvision {weights.name}",
        licence=f"non-commercial, see {own_terms}" if own_terms else "BSD-3-Clause",
        parameters=meta["num_params"],
        gflops=meta["_ops"],
        pretrained=True,
        min_image_px=_min_image_px(name, meta),
        architecture=functools.partial(_architecture, name),
        library="torchvision",
        library_name=name,
        library_args=functools.partial(_constructor_args, name),
        default_weights=functools.partial(_fetch, name, weights.url),
        adapters=(_adapt,),
    )


def _min_image_px(name: str, meta: dict[str, Any]) -> int:
    if name.startswith(("vit_", "swin_")):
        return 32  # told for the native size only; tables are resized or windows padded
    return int(max(meta.get("min_size", (1, 1))))


def _architecture(name: str, image_px: int) -> nn.Module:
    from torchvision import models as tv

    model: nn.Module = tv.get_model(name, weights=None, **_constructor_args(name, image_px))
    return model


def _constructor_args(name: str, image_px: int) -> dict[str, Any]:
    """Return what the constructor has to be given for the same network.

    Raises:
        ModelError: The network does not take this size.
    """
    if name in ("googlenet", "inception_v3"):
        # Weights come with transform_input: they were trained with mean and std 0.5.
        return {"aux_logits": False, "transform_input": True, "init_weights": False}
    if name.startswith("vit_"):
        patch = int(name.rsplit("_", 1)[1])
        if image_px % patch:
            raise ModelError(f"{name} takes multiples of {patch} px, got {image_px}")
        return {"image_size": image_px}
    if name.startswith("maxvit"):
        if image_px % _MAXVIT_STEP_PX:
            raise ModelError(f"{name} takes multiples of {_MAXVIT_STEP_PX} px, got {image_px}")
        return {"input_size": [image_px, image_px]}
    return {}


def _fetch(name: str, url: str) -> Path:
    filename = url.rsplit("/", 1)[1]
    digits = re.search(r"-([a-f0-9]{8,})\.", filename)  # torch.hub's convention
    return HubFile(name, url, filename, digits.group(1) if digits else "").path()


def _adapt(state: StateDict, model: nn.Module) -> StateDict:
    """Mend old DenseNet names, leave auxiliary classifiers out, resize position tables."""
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

    renamed: StateDict = {}
    for name, tensor in state.items():
        if re.match(r"^(aux\d|AuxLogits)\.", name) and name not in model.state_dict():
            continue
        old = _OLD_DENSENET.match(name)
        renamed[old.group(1) + old.group(2) if old else name] = tensor
    if isinstance(model, VisionTransformer):
        side = math.isqrt(renamed["encoder.pos_embedding"].shape[1] - 1)
        if (side * model.patch_size) != model.image_size:
            return dict(interpolate_embeddings(model.image_size, model.patch_size, renamed))
    return renamed
