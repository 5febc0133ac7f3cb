"""Whether each backbone can be expressed in ONNX, found out while the search goes on.

To write a graph takes some ten seconds of a core and changes nothing about the search: a model that
ONNX cannot express leaves without its `model.onnx`. So nothing waits for the answer; a process of
low priority looks for it, and who wants a graph hears soon enough to take another backbone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch

from covertune.models import get_backbone
from covertune.models.export import why_no_graph
from covertune.search.cluster.background import BackgroundWork, WorkLostError

__all__ = ["GraphCheck"]

_log = logging.getLogger(__name__)
_COVERS = 2


class GraphCheck:
    """Writes a graph of each backbone, somewhere, and tells what cannot be written.

    Args:
        image_px: Input size by backbone.
        num_genres: K.
    """

    def __init__(self, image_px: Mapping[str, int], num_genres: int) -> None:
        self._work = BackgroundWork(_why_no_graphs, dict(image_px), num_genres)

    def warnings(self) -> list[str]:
        """Return what was found since the last call; does not wait."""
        try:
            reasons: dict[str, str] = self._work.result() or {}
        except WorkLostError as error:
            _log.warning("the trial run of the ONNX export did not end: %s", error)
            return []
        return [
            f"a model of {name} will have no model.onnx: {reason}"
            for name, reason in reasons.items()
        ]

    def cancel(self) -> None:
        """Give up what is not known yet."""
        self._work.cancel()


def _why_no_graphs(image_px: Mapping[str, int], num_genres: int) -> dict[str, str]:
    """Return what keeps backbones from having a graph; runs in a process of its own."""
    reasons = {}
    for name, px in image_px.items():
        backbone = get_backbone(name)
        model = backbone.build(num_genres, image_px=px, weights="none").eval()
        covers = torch.randint(0, 256, (_COVERS, px, px, 3), dtype=torch.uint8)
        reason = why_no_graph(model, px, backbone.input.normalise(covers))
        if reason is not None:
            reasons[name] = reason
    return reasons
