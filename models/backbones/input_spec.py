"""What a backbone takes: image size and the mean and standard deviation of its pixels.

Shapes: B batch, H = W = `image_px`, K genres.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from covertune.batch import Batch

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Batches", "InputSpec"]

Batches = Iterable[Batch]
"""Decoded covers, batch after batch, on the device that computes."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputSpec:
    """The input contract of a backbone: RGB, NCHW, (x / 255 - mean) / std.

    Attributes:
        image_px: Height and width.
        mean: Per channel, of pixels in [0, 1].
        std: Per channel, of pixels in [0, 1].
    """

    image_px: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def at(self, image_px: int) -> InputSpec:
        """Return the same contract at another image size."""
        return replace(self, image_px=image_px)

    def scale_and_shift(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return (3,) factors and (3,) offsets: normalised = uint8 * scale + shift."""
        mean = torch.tensor(self.mean, dtype=torch.float32, device=device)
        std = torch.tensor(self.std, dtype=torch.float32, device=device)
        return 1.0 / (255.0 * std), -mean / std

    def normalise(self, images_BHWC: Tensor) -> Tensor:
        """Turn decoded covers into what the backbone takes.

        Args:
            images_BHWC: uint8, RGB.

        Returns:
            (B, 3, H, W) float32 on the same device, in channels_last memory: an NHWC batch seen
            as NCHW is that already, so nothing is reordered.
        """
        scale, shift = self.scale_and_shift(images_BHWC.device)
        pixels_BHWC = images_BHWC.to(torch.float32)
        return pixels_BHWC.mul_(scale).add_(shift).permute(0, 3, 1, 2)
