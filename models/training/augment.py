"""Augmentation of whole batches, on the trial's device.

What suits covers: they are designed flat, with text, and colour tells much about the genre (Iwana
et al. 2016, arXiv:1610.09204). So crops stay large, hue moves little, and mirroring, which
nobody's cover survives with its title readable, comes only at strengths above one half.

Geometry is one `grid_sample`, all of colour and normalisation one 3 x 3 matrix per cover.
Every draw comes from (seed, step) alone: what a step sees does not depend on the steps before it.

Shapes: B batch, H = W image size, K genres.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from covertune.models.backbones.input_spec import InputSpec

__all__ = ["Augment", "Mixing", "step_generator"]

MIN_AREA = 0.35  # all at strength 1, shrinking linearly to nothing at 0
MAX_ASPECT = 4 / 3
MAX_TURN_DEG = 8.0
MAX_BRIGHTNESS = 0.4
MAX_CONTRAST = 0.4
MAX_SATURATION = 0.5
MAX_HUE_DEG = 15.0
LATE = 0.5  # mirroring and erasing begin here and reach one half at strength 1
ERASED_AREA = (0.05, 0.25)

_AUGMENT = int.from_bytes(b"augm")  # a stream of random numbers of its own under the seed

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)


def step_generator(seed: int, step: int) -> np.random.Generator:
    """Return the random numbers of one optimiser step: augmentation, then mixing."""
    return np.random.default_rng((_AUGMENT, seed, step))


class Augment:
    """Turns decoded covers into normalised, augmented input.

    Args:
        strength: 0 (normalise only) to 1.
        input_spec: Of the backbone.
    """

    def __init__(self, strength: float, input_spec: InputSpec) -> None:
        self.strength = strength
        self.input_spec = input_spec

    def __call__(self, images_BHWC: Tensor, rng: np.random.Generator) -> Tensor:
        """Augment and normalise one batch.

        Args:
            images_BHWC: uint8, RGB.
            rng: The step's random numbers.

        Returns:
            (B, 3, H, W) float32 in channels_last memory.
        """
        if self.strength == 0:
            return self.input_spec.normalise(images_BHWC)
        B, H, W, _ = images_BHWC.shape
        device = images_BHWC.device
        pixels = images_BHWC.permute(0, 3, 1, 2).contiguous().to(torch.float32)
        theta_B23 = torch.from_numpy(self._geometry(B, rng)).to(device)
        grid = F.affine_grid(theta_B23, [B, 3, H, W], align_corners=False)
        moved = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
        coloured = self._recolour(moved.view(B, 3, H * W), rng).view(B, 3, H, W)
        self._erase(coloured, rng)
        return coloured.contiguous(memory_format=torch.channels_last)

    def _geometry(self, B: int, rng: np.random.Generator) -> np.ndarray:
        """Return (B, 2, 3) float32: where in the cover each output pixel is taken from."""
        s = self.strength
        area = rng.uniform(1 - s * (1 - MIN_AREA), 1, B)
        aspect = np.exp(rng.uniform(-1, 1, B) * s * math.log(MAX_ASPECT))
        width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
        width, height = np.minimum(width, 1), np.minimum(height, 1)
        turn = np.radians(rng.uniform(-1, 1, B) * s * MAX_TURN_DEG)
        mirror = np.where(rng.random(B) < self._late(), -1.0, 1.0)
        theta = np.empty((B, 2, 3), dtype=np.float32)
        theta[:, 0, 0] = width * np.cos(turn) * mirror
        theta[:, 0, 1] = -width * np.sin(turn)
        theta[:, 1, 0] = height * np.sin(turn) * mirror
        theta[:, 1, 1] = height * np.cos(turn)
        theta[:, 0, 2] = rng.uniform(-1, 1, B) * (1 - width)
        theta[:, 1, 2] = rng.uniform(-1, 1, B) * (1 - height)
        return theta

    def _recolour(self, pixels_B3P: Tensor, rng: np.random.Generator) -> Tensor:
        """Change brightness, contrast, saturation and hue, and normalise, in one product."""
        s, (B, _, _), device = self.strength, pixels_B3P.shape, pixels_B3P.device
        brightness = 1 + rng.uniform(-1, 1, B) * s * MAX_BRIGHTNESS
        contrast = 1 + rng.uniform(-1, 1, B) * s * MAX_CONTRAST
        saturation = 1 + rng.uniform(-1, 1, B) * s * MAX_SATURATION
        hue = np.radians(rng.uniform(-1, 1, B) * s * MAX_HUE_DEG)
        turn = np.zeros((B, 3, 3))
        turn[:, 0, 0] = 1
        turn[:, 1, 1] = turn[:, 2, 2] = saturation * np.cos(hue)
        turn[:, 2, 1] = saturation * np.sin(hue)
        turn[:, 1, 2] = -turn[:, 2, 1]
        matrix = (brightness * contrast)[:, None, None] * (_RGB @ turn @ _YIQ)
        matrix_B33 = torch.from_numpy(matrix.astype(np.float32)).to(device)
        luma = torch.tensor(_LUMA, dtype=torch.float32, device=device)
        grey_B = pixels_B3P.mean(dim=2) @ luma  # contrast moves away from the mean grey
        pull_B = torch.from_numpy((brightness * (1 - contrast)).astype(np.float32)).to(device)
        scale, shift = self.input_spec.scale_and_shift(device)
        offset_B31 = ((grey_B * pull_B)[:, None] * scale + shift)[:, :, None]
        changed = torch.baddbmm(offset_B31, matrix_B33 * scale[:, None], pixels_B3P)
        black, white = shift[:, None], (255 * scale + shift)[:, None]
        return torch.clamp_(changed, black, white)

    def _erase(self, images_BCHW: Tensor, rng: np.random.Generator) -> None:
        """Erase at random (Zhong et al. 2017, arXiv:1708.04896) with the mean colour, in place."""
        B, _, H, W = images_BCHW.shape
        chosen = np.flatnonzero(rng.random(B) < self._late())
        for cover in chosen:
            area, aspect = rng.uniform(*ERASED_AREA), math.exp(rng.uniform(-0.7, 0.7))
            height = min(H, round(math.sqrt(area * aspect) * H))
            width = min(W, round(math.sqrt(area / aspect) * W))
            top, left = rng.integers(0, H - height + 1), rng.integers(0, W - width + 1)
            images_BCHW[cover, :, top : top + height, left : left + width] = 0.0

    def _late(self) -> float:
        """Return the share of covers mirrored or erased."""
        return max(0.0, self.strength - LATE)


class Mixing:
    """Mixup (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899).

    With both on, each batch gets one of them, with equal chances. lambda is drawn per batch.

    Args:
        mixup_alpha: Of Beta(alpha, alpha); 0 is off.
        cutmix_alpha: Of Beta(alpha, alpha); 0 is off.
        num_genres: K.
    """

    def __init__(self, mixup_alpha: float, cutmix_alpha: float, num_genres: int) -> None:
        self.alphas = {"mixup": mixup_alpha, "cutmix": cutmix_alpha}
        self.num_genres = num_genres

    def __call__(
        self, images_BCHW: Tensor, targets: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix each cover of a batch with another one.

        Args:
            images_BCHW: Normalised.
            targets: labels_B int64, or soft targets (B, K) float32.
            rng: The step's random numbers.

        Returns:
            The covers, and the targets: as they came where both are off, else soft targets (B, K)
            float32.
        """
        kinds = [kind for kind, alpha in self.alphas.items() if alpha > 0]
        if not kinds:
            return images_BCHW, targets
        kind = kinds[int(rng.integers(len(kinds)))]
        lam = float(rng.beta(self.alphas[kind], self.alphas[kind]))
        order = torch.from_numpy(rng.permutation(len(targets))).to(targets.device)
        if kind == "mixup":
            mixed = torch.lerp(images_BCHW[order], images_BCHW, lam)
        else:
            mixed, lam = _cutmix(images_BCHW, order, lam, rng)
        own_BK = targets
        if targets.dim() == 1:
            own_BK = F.one_hot(targets, self.num_genres).to(torch.float32)
        return mixed, torch.lerp(own_BK[order], own_BK, lam)


def _cutmix(
    images_BCHW: Tensor, order: Tensor, lam: float, rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Paste one rectangle of area 1 - lambda; lambda is corrected for what the edge cuts off."""
    H, W = images_BCHW.shape[2:]
    side = math.sqrt(1 - lam)
    y, x = rng.integers(H), rng.integers(W)
    top, bottom = (int(np.clip(y + sign * side * H / 2, 0, H)) for sign in (-1, 1))
    left, right = (int(np.clip(x + sign * side * W / 2, 0, W)) for sign in (-1, 1))
    mixed = images_BCHW.clone()
    mixed[:, :, top:bottom, left:right] = images_BCHW[order, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (H * W)
