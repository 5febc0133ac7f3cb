"""Workers that have their libraries loaded before they are needed.

A worker process takes seconds to import torch and timm. Where that happens one after the other (a
worker for the preflight, the next for the probes), they add up before the first trial; here the
workers of all slots do it at once, and the driver reads the store meanwhile.
"""

from __future__ import annotations

import ray

from search.machine.cluster import Slots

__all__ = ["warm_workers"]


def warm_workers(slots: Slots) -> None:
    """Begin to load libraries in as many workers as trials run side by side; does not wait."""
    load = ray.remote(num_cpus=slots.cpus_per_trial, num_gpus=slots.gpus_per_trial)(_load)
    for _ in range(slots.count):
        load.remote()


def _load() -> None:
    """Runs in a worker."""
    import timm  # noqa: F401  # brings torch and torchvision

    import models.finetune  # noqa: F401
