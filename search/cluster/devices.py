"""The device a trial really runs on."""

from __future__ import annotations

import ray
import torch

__all__ = ["describe_device", "this_device"]


def this_device() -> torch.device:
    """Return the device of the process that Ray runs this in.

    Returns:
        CUDA device 0 as Ray has arranged the visible devices, if Ray gave the process (a share of)
        a GPU; else the CPU.
    """
    if ray.get_gpu_ids() and torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("cpu")


def describe_device(device: torch.device) -> str:
    """Return a name people recognise, such as `NVIDIA H200` or `cpu`."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return device.type
