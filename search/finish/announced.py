"""Which trials the model of a run is made of, as the model folder itself tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from covertune.search.record.run_folder import RunFolder

__all__ = ["AnnouncedModel", "announced_model", "model_of"]


@dataclass(frozen=True)
class AnnouncedModel:
    """What RUN/model is.

    Attributes:
        in_words: Such as `trial 3`, or `the average of trial 3 (2 times), frozen probe`.
        trials: Numbers of the trials in it; none for averages of covertune 0.1, which did not
            write them down.
    """

    in_words: str
    trials: tuple[int, ...]


def announced_model(run: RunFolder) -> AnnouncedModel | None:
    """Return what RUN/model is; None where there is none, or none that can be read."""
    # Whoever looks at a table of trials does not wait for torch, as `read_config` would have them.
    try:
        content = json.loads((run.model / "config.json").read_text(encoding="utf-8"))
        ours = content.get("covertune", content)  # of covertune 0.1: all at the top
        origin: dict[str, Any] = dict(ours["provenance"])
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    return model_of(origin)


def model_of(origin: Mapping[str, Any]) -> AnnouncedModel | None:
    """Return what a model is, from where it comes; None if that does not tell.

    Args:
        origin: Its `trial`, or what it is the `average_of` and those `trials`.
    """
    if (number := origin.get("trial")) is not None:
        return AnnouncedModel(f"trial {number}", (number,))
    if (average := origin.get("average_of")) is not None:
        return AnnouncedModel(f"the average of {average}", tuple(origin.get("trials", ())))
    return None
