"""Which input sizes trials choose from, when the user does not say."""

from __future__ import annotations

from data_pipeline import CoverStore
from models import get_backbone
from search.config import SearchConfig

__all__ = ["choose_image_px"]

_CPU_PX = 128
_STEP_PX = 32


def choose_image_px(
    config: SearchConfig, store: CoverStore, *, on_gpu: bool
) -> dict[str, tuple[int, ...]]:
    """Input sizes by backbone.

    A backbone's own size is what its weights were trained at. Half of it or less loses detail but
    costs a quarter; on a CPU that is the only size a search of minutes can pay for, so it is what
    is used there, as far as the covers have that many pixels.

    Args:
        config: `image_px` set by the user is taken as it is.
        store: Covers, no larger than `store.manifest.max_px`.
        on_gpu: Whether trials hold a GPU.

    Raises:
        ModelError: A backbone is unknown.
    """
    sizes = {}
    for name in config.backbones:
        own_px = get_backbone(name).input.image_px
        if config.image_px is not None:
            sizes[name] = config.image_px
        elif on_gpu:
            small_px = max(own_px // 2 // _STEP_PX * _STEP_PX, _STEP_PX)
            sizes[name] = (small_px, own_px)
        else:
            sizes[name] = (min(own_px, _CPU_PX),)
    return sizes
