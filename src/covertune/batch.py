"""What a trial trains on, a batch at a time; the data pipeline makes it, the models take it.

Shapes: B batch, H, W image size, K genres.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Batch"]


class Batch(NamedTuple):
    """Decoded covers on the device that computes, the receiver's own to change.

    Attributes:
        images_BHWC: uint8, RGB.
        labels_B: int64, the genre of each cover, the primary one of several.
        genres_BK: uint8, 1 for each genre of a cover, else 0; None where each cover has one genre.
    """

    images_BHWC: Tensor
    labels_B: Tensor
    genres_BK: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with each of its tensors changed."""
        return Batch(*(change(tensor) for tensor in self if tensor is not None))

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; a copy from pinned memory is not waited for."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))
