"""The registry of backbones: what can be fine-tuned, by name.

Three sources: torchvision (plain names), timm (`timm/NAME`), and two built in.
"""

from __future__ import annotations

import difflib
import fnmatch

from covertune.models.backbones import _timm, _torchvision
from covertune.models.backbones._backbone import Backbone
from covertune.models.backbones._efficientnet_lite0 import efficientnet_lite0
from covertune.models.backbones._small_cnn import small_cnn
from covertune.models.errors import ModelError
from covertune.wording import named

__all__ = ["get_backbone", "list_backbones"]

_BUILT_IN = {"efficientnet_lite0": efficientnet_lite0, "small_cnn": small_cnn}
_SUGGESTIONS = 4


def get_backbone(name: str) -> Backbone:
    """Look a backbone up; cheap, nothing is built or fetched.

    Raises:
        ModelError: Unknown; the message names close matches.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    if name.startswith(_timm.PREFIX):
        found = _timm.timm_backbone(name)
        if found is not None:
            return found
        known = _timm.names()
    elif name in _torchvision.names():
        return _torchvision.torchvision_backbone(name)
    else:
        known = [*_BUILT_IN, *_torchvision.names()]
    close = difflib.get_close_matches(name, known, n=_SUGGESTIONS, cutoff=0.5)
    shown = close or known[:_SUGGESTIONS]
    raise ModelError(
        f"unknown backbone {named(name)}; known: {', '.join(shown)}, … (see `covertune backbones`)"
    )


def list_backbones(pattern: str | None = None) -> list[Backbone]:
    """Return backbones by name, built-in ones first.

    Args:
        pattern: Part of a name, or a shell pattern (`resnet*`). timm's many models are listed
            only for patterns that start with `timm/`.
    """
    if pattern is not None and pattern.startswith(_timm.PREFIX):
        bare = pattern.removeprefix(_timm.PREFIX)
        found = (_timm.timm_backbone(name) for name in _timm.names(_widen(bare)))
        return [backbone for backbone in found if backbone is not None]
    wanted = _widen(pattern or "")
    built_in = [make() for name, make in _BUILT_IN.items() if fnmatch.fnmatch(name, wanted)]
    torchvision = fnmatch.filter(_torchvision.names(), wanted)
    return built_in + [_torchvision.torchvision_backbone(name) for name in torchvision]


def _widen(pattern: str) -> str:
    return pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
