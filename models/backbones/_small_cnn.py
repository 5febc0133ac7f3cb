"""A small convolutional network trained from scratch: the yardstick for pretrained backbones.

A residual network in the manner of He et al. 2015 (arXiv:1512.03385) with pre-activation (He et
al. 2016, arXiv:1603.05027): 3 x 3 convolutions, widths doubling as the map halves, global average
pooling. No weights, hence no licence but the program's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from covertune.models.backbones._backbone import Backbone
from covertune.models.backbones.input_spec import InputSpec

__all__ = ["NAME", "SmallCNN", "small_cnn"]

NAME = "small_cnn"
_WIDTHS = (32, 64, 128, 256)


class SmallCNN(nn.Module):
    """Stem (stride 2), four residual blocks (stride 2 each but the first), pooling, classifier."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _WIDTHS[0], 3, stride=2, padding=1, bias=False)
        inputs = (_WIDTHS[0], *_WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(
                _Block(c_in, c_out, stride=1 if number == 0 else 2)
                for number, (c_in, c_out) in enumerate(zip(inputs, _WIDTHS, strict=True))
            )
        )
        self.norm = nn.BatchNorm2d(_WIDTHS[-1])
        self.classifier = nn.Linear(_WIDTHS[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Turn (B, 3, H, W) into (B, K) logits."""
        maps_BCHW = F.relu(self.norm(self.blocks(self.stem(pixel_values))))
        logits: Tensor = self.classifier(maps_BCHW.mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    """Two pre-activated convolutions beside a shortcut."""

    def __init__(self, c_in: int, c_out: int, *, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and c_in == c_out
            else nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False)
        )

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        active = F.relu(self.norm1(maps_BCHW))
        residual = self.conv2(F.relu(self.norm2(self.conv1(active))))
        shortcut: Tensor = self.shortcut(active)
        total: Tensor = shortcut + residual
        return total


def small_cnn() -> Backbone:
    """Return the registry entry."""
    return Backbone(
        name=NAME,
        source="built-in",
        input=InputSpec(image_px=128),
        weights="none, trained from scratch",
        licence="Apache-2.0",
        parameters=1_228_074,
        gflops=0.255,
        pretrained=False,
        from_scratch=True,
        min_image_px=16,
        architecture=_architecture,
    )


def _architecture(image_px: int) -> nn.Module:
    return SmallCNN()
