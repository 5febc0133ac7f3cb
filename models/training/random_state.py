"""The random numbers that training draws, kept apart from those of the host program."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

__all__ = ["dropout_seed", "forked_random_state", "random_state", "set_random_state"]

_DROPOUT = int.from_bytes(b"drop")  # a stream of random numbers of its own under the seed


def forked_random_state(device: torch.device) -> AbstractContextManager[None]:
    """Put the random state of the CPU and of the device back at the end."""
    devices = [device.index or 0] if device.type == "cuda" else []
    return torch.random.fork_rng(devices=devices)


def random_state(device: torch.device) -> tuple[Tensor, ...]:
    """Return what dropout draws from: the CPU's generator and, if it is one, the GPU's."""
    gpu = (torch.cuda.get_rng_state(device),) if device.type == "cuda" else ()
    return torch.get_rng_state(), *gpu


def set_random_state(state: tuple[Tensor, ...], device: torch.device) -> None:
    """Take back to what `random_state` returned."""
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)


def dropout_seed(seed: int, epoch: int) -> int:
    """Return the seed of the dropout masks of one epoch."""
    return int(np.random.SeedSequence((_DROPOUT, seed, epoch)).generate_state(1)[0])
