"""What a trial's checkpoint says of the epoch it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from covertune.models.training.checkpoint import read_state

__all__ = ["RESULT", "checkpoint_result"]

RESULT: Final = "result"
"""Of the checkpoint's epoch, inside the checkpoint."""


def checkpoint_result(checkpoint: Path) -> dict[str, Any]:
    """Return the result of the epoch a checkpoint holds.

    Raises:
        ModelError: No checkpoint, or a damaged one.
    """
    result: dict[str, Any] = read_state(checkpoint)[RESULT]
    return result
