"""Weights into a model, whatever file they come from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ["load_state"]


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load entries strictly, in place, as those of the layers' present versions.

    Only a state dict in memory knows the versions of layers; files of safetensors and averages do
    not. torchvision's MNASNet takes entries without a version for those of 2018 and raises.

    Raises:
        RuntimeError: Entries are missing, unknown or of another shape; torch's own words.
    """
    versioned = OrderedDict(state)
    versioned._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(versioned)
