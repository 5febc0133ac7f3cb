"""A finished classifier: decoded covers in, genre probabilities out.

Shapes: N covers, H = W = `image_px`, K genres.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from covertune.models.backbones.input_spec import InputSpec
from covertune.models.errors import ModelError
from covertune.models.precision import without_tf32
from covertune.models.training.recipe import Recipe
from covertune.vocabulary import Fit

if TYPE_CHECKING:
    from covertune.models.export.config import CardData

__all__ = ["Classifier"]

_BATCH = 64


class Classifier:
    """A model with all one needs to use it.

    Args:
        model: Gives (B, K) logits.
        input_spec: What it takes.
        genres: Names, in the order of the logits.
        recipe: How it was trained.
        card: What is known of it, as in the model folder.
        device: Where to compute.
    """

    def __init__(
        self,
        model: nn.Module,
        input_spec: InputSpec,
        genres: Sequence[str],
        recipe: Recipe,
        card: CardData,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).to(memory_format=torch.channels_last).eval()
        self.input_spec = input_spec
        self.genres = list(genres)
        self.recipe = recipe
        self.card = card

    @property
    def image_px(self) -> int:
        """Height and width of the covers it takes."""
        return self.input_spec.image_px

    @property
    def fit(self) -> Fit:
        """How a cover that is no square becomes one."""
        return self.recipe.fit

    def probabilities(self, images_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Tell how likely each genre is for each cover.

        Args:
            images_NHWC: RGB covers, brought to (image_px, image_px) as `fit` says.

        Returns:
            (N, K); rows sum to 1.

        Raises:
            ModelError: Another shape or type.
        """
        px = self.image_px
        if images_NHWC.dtype != np.uint8 or images_NHWC.shape[1:] != (px, px, 3):
            raise ModelError(
                f"covers must be uint8 of shape (N, {px}, {px}, 3), "
                f"got {images_NHWC.dtype} {images_NHWC.shape}"
            )
        told = np.empty((len(images_NHWC), len(self.genres)))
        with torch.inference_mode(), without_tf32():
            for start in range(0, len(images_NHWC), _BATCH):
                part = slice(start, start + _BATCH)
                covers = torch.tensor(images_NHWC[part], device=self.device)
                logits_BK = self.model(self.input_spec.normalise(covers))
                told[part] = torch.softmax(logits_BK.double(), dim=1).cpu().numpy()
        return told
