"""Where bfloat16 is faster than float32, and where it is not.

Measured on a CPU with AVX512-BF16 (EfficientNet-Lite0, 128 px, one core, channels last, covers/s):
inference 132 in float32 and 317 in bfloat16; training 39.5 and 27.7. Hence bfloat16 there for what
carries no gradient only. CPUs without bfloat16 instructions emulate it slowly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

__all__ = ["Precision", "choose_precision", "without_tf32"]

_CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


@dataclass(frozen=True)
class Precision:
    """What to compute in; None is float32.

    Attributes:
        device: Where.
        training: Forward passes with gradients.
        inference: Forward passes without.
    """

    device: torch.device
    training: torch.dtype | None
    inference: torch.dtype | None

    def autocast_training(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass with gradients."""
        return _autocast(self.device, self.training)

    def autocast_inference(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass without gradients."""
        return _autocast(self.device, self.inference)


def choose_precision(
    wanted: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> Precision:
    """Resolve a recipe's precision for a device."""
    if wanted == "float32":
        return Precision(device, None, None)
    if wanted == "bfloat16":
        return Precision(device, torch.bfloat16, torch.bfloat16)
    if device.type == "cuda":
        fast = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
        return Precision(device, fast, fast)
    return Precision(device, None, torch.bfloat16 if _cpu_has_bfloat16(device) else None)


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Have cuDNN compute convolutions of float32 in float32, while it lasts.

    By default they are computed in TF32, with 10 bits of mantissa instead of 23. Matrix products
    are float32 by default. No effect on other devices. (`torch.backends.cudnn.flags` would also
    set the flags it is not asked to set.)
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _cpu_has_bfloat16(device: torch.device) -> bool:
    if device.type != "cpu":
        return False
    tell: Callable[[], dict[str, object]] | None = getattr(torch.cpu, "get_capabilities", None)
    return tell is not None and any(bool(tell().get(flag)) for flag in _CPU_FLAGS)


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)
