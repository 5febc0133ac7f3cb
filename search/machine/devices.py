"""The device a trial really runs on."""

from __future__ import annotations

import torch

__all__ = ["describe_device", "pick_device"]


def pick_device(*, wants_gpu: bool) -> torch.device:
    """The device of this process.

    Args:
        wants_gpu: Whether Ray gave this process (a share of) a GPU.

    Returns:
        CUDA device 0 as Ray has arranged the visible devices, or the CPU.
    """
    if wants_gpu and torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("cpu")


def describe_device(device: torch.device) -> str:
    """A name people recognise, such as `NVIDIA H200` or `cpu`."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return device.type
