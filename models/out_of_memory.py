"""Telling that memory ran out, and giving back what is no longer used."""

from __future__ import annotations

import gc

import torch

__all__ = ["free_memory", "is_out_of_memory"]

_TOLD_AS_RUNTIME_ERROR = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # All that oneDNN says when it finds no room for a convolution on a CPU. It says the same of one
    # it cannot compute; that one will not go with fewer covers either, and ends as failed.
    "could not create a primitive",
    "could not execute a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or the process, has no memory left.

    An `AcceleratorError` never counts, whatever it tells: after it a process may not be able to use
    its GPU any more.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, torch.AcceleratorError) or not isinstance(error, RuntimeError):
        return False
    return any(words in str(error) for words in _TOLD_AS_RUNTIME_ERROR)


def free_memory(device: torch.device) -> None:
    """Give the device's cached memory back, after what used it was dropped."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
