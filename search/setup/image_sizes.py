"""Which input sizes trials choose from, when the user does not say."""

from __future__ import annotations

from collections.abc import Sequence

from covertune.models import get_backbone
from covertune.search.events import BackboneCheck

__all__ = ["affordable_image_px", "choose_image_px"]

_CPU_PX = 128
_STEP_PX = 32
_WHOLE_TRIALS = 7


def choose_image_px(
    backbones: Sequence[str], given: tuple[int, ...] | None, *, on_gpu: bool
) -> dict[str, tuple[int, ...]]:
    """Return input sizes by backbone.

    On a GPU a trial chooses between the size a backbone's weights were trained at and half of it,
    which loses detail but costs a quarter. On a CPU a search of minutes can pay for the small one
    only.

    Args:
        backbones: Of the search.
        given: By the user, taken as they are; None: chosen here.
        on_gpu: Whether trials hold a GPU.

    Raises:
        ModelError: A backbone is unknown.
    """
    sizes = {}
    for name in backbones:
        backbone = get_backbone(name)
        own_px = backbone.input.image_px
        if given is not None:
            sizes[name] = given
        elif on_gpu:
            small_px = max(own_px // 2 // _STEP_PX * _STEP_PX, _STEP_PX)
            sizes[name] = tuple(sorted({max(small_px, backbone.min_image_px), own_px}))
        else:
            sizes[name] = (max(min(own_px, _CPU_PX), backbone.min_image_px),)
    return sizes


def affordable_image_px(
    checks: Sequence[BackboneCheck], trial_s: float, *, times_larger: float = 1.0
) -> dict[str, tuple[int, ...]]:
    """Return larger input sizes by backbone, where the time budget of a search on a CPU pays.

    Each backbone gets the largest size at which the budget holds `_WHOLE_TRIALS` trials that are
    never stopped, taking seconds to grow with the pixels; at most the size its weights were trained
    at, at least the one it was checked at.

    Args:
        checks: Of each backbone at the size that `choose_image_px` chose for a CPU.
        trial_s: Seconds of the budget, of all slots, for each epoch of a trial.
        times_larger: How many times the covers of the checks the search has; a rehearsal takes the
            size that the whole search would take.
    """
    grown: dict[str, tuple[int, ...]] = {}
    for check in checks:
        px, own_px = check.image_px, get_backbone(check.backbone).input.image_px
        largest = px * (trial_s / _WHOLE_TRIALS / (check.epoch_s * times_larger)) ** 0.5
        steps = [size for size in range(px, own_px + 1, _STEP_PX) if size <= largest]
        grown[check.backbone] = (max(steps, default=px),)
    return grown
