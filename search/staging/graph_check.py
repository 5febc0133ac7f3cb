"""Whether each backbone can be expressed in ONNX, found out while the search goes on.

To write a graph takes some ten seconds of a core and changes nothing about the search: a model that
ONNX cannot express leaves without its `model.onnx`. So nothing waits for the answer; a process of
low priority looks for it, and who wants a graph hears soon enough to take another backbone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from covertune.models import get_backbone
from covertune.models.export import why_no_graph

__all__ = ["GraphCheck"]

_log = logging.getLogger("ray.tune.covertune")
_LOWEST_PRIORITY = 19
_COVERS = 2


class GraphCheck:
    """Writes a graph of each backbone, somewhere, and tells what cannot be written.

    Args:
        image_px: Input size by backbone.
        num_genres: K.
    """

    def __init__(self, image_px: Mapping[str, int], num_genres: int) -> None:
        # A process of its own: one that is of low priority stays so.
        task = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(_why_no_graphs)
        self._pending: list[Any] = [task.remote(dict(image_px), num_genres)]

    def warnings(self) -> list[str]:
        """What was found since the last call; does not wait."""
        done, self._pending = ray.wait(self._pending, timeout=0) if self._pending else ([], [])
        told = []
        for future in done:
            try:
                reasons: dict[str, str] = ray.get(future)
            except RayError as error:
                _log.warning("the trial run of the ONNX export did not end: %s", error)
                continue
            told += [
                f"a model of {name} will have no model.onnx: {reason}"
                for name, reason in reasons.items()
            ]
        return told

    def cancel(self) -> None:
        """Give up what is not known yet."""
        for future in self._pending:
            ray.cancel(future, force=True)
        self._pending = []


def _why_no_graphs(image_px: Mapping[str, int], num_genres: int) -> dict[str, str]:
    """Runs in a process of its own: what keeps backbones from having a graph."""
    os.nice(_LOWEST_PRIORITY)
    torch.set_num_threads(1)
    reasons = {}
    for name, px in image_px.items():
        backbone = get_backbone(name)
        model = backbone.build(num_genres, image_px=px, weights="none").eval()
        covers = torch.randint(0, 256, (_COVERS, px, px, 3), dtype=torch.uint8)
        reason = why_no_graph(model, px, backbone.input.normalise(covers))
        if reason is not None:
            reasons[name] = reason
    return reasons
