"""Which input sizes trials choose from, when the user does not say."""

from __future__ import annotations

from models import get_backbone
from search.config import SearchConfig

__all__ = ["choose_image_px"]

_CPU_PX = 128
_STEP_PX = 32


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
