"""Which input sizes trials choose from, when the user does not say."""

from __future__ import annotations

from collections.abc import Mapping

from covertune.models import get_backbone
from covertune.search.config import SearchConfig

__all__ = ["affordable_image_px", "choose_image_px"]

_CPU_PX = 128
_STEP_PX = 32
_WHOLE_TRIALS = 7


def choose_image_px(config: SearchConfig, *, on_gpu: bool) -> dict[str, tuple[int, ...]]:
    """Input sizes by backbone.

    On a GPU a trial chooses between the size a backbone's weights were trained at and half of it,
    which loses detail but costs a quarter. On a CPU a search of minutes can pay for the small one
    only.

    Args:
        config: `image_px` set by the user is taken as it is.
        on_gpu: Whether trials hold a GPU.

    Raises:
        ModelError: A backbone is unknown.
    """
    sizes = {}
    for name in config.backbones:
        backbone = get_backbone(name)
        own_px = backbone.input.image_px
        if config.image_px is not None:
            sizes[name] = config.image_px
        elif on_gpu:
            small_px = max(own_px // 2 // _STEP_PX * _STEP_PX, _STEP_PX)
            sizes[name] = tuple(sorted({max(small_px, backbone.min_image_px), own_px}))
        else:
            sizes[name] = (max(min(own_px, _CPU_PX), backbone.min_image_px),)
    return sizes


def affordable_image_px(
    image_px: Mapping[str, tuple[int, ...]],
    config: SearchConfig,
    epoch_s: Mapping[tuple[str, int], float],
    slots: int,
) -> dict[str, tuple[int, ...]]:
    """Larger input sizes where the time budget of a search on a CPU pays for them.

    Each backbone gets the largest size at which the budget holds `_WHOLE_TRIALS` trials that are
    never stopped, taking seconds to grow with the pixels; at most the size its weights were trained
    at, at least the one it has.

    Args:
        image_px: Sizes by backbone that `choose_image_px` chose for a CPU.
        config: With a time budget and no sizes of the user's, or nothing changes.
        epoch_s: Seconds of an epoch by (backbone, image_px).
        slots: Trials side by side.
    """
    if config.time_budget_s is None or config.image_px is not None:
        return dict(image_px)
    affordable_s = config.time_budget_s * slots / (_WHOLE_TRIALS * config.epochs)
    grown: dict[str, tuple[int, ...]] = {}
    for name, (px,) in image_px.items():
        own_px = get_backbone(name).input.image_px
        largest = px * (affordable_s / epoch_s[name, px]) ** 0.5
        steps = [size for size in range(px, own_px + 1, _STEP_PX) if size <= largest]
        grown[name] = (max(steps, default=px),)
    return grown
