"""Running the frozen part of a backbone at the price of inference.

Autograd records nothing below the first trainable stage by itself, since neither the covers nor
the frozen weights ask for gradients. What is left to gain is precision: on a CPU the frozen stages
run in bfloat16, the trainable ones in float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from covertune.models.backbones.stages import Stage
from covertune.models.precision import Precision

__all__ = ["frozen_prefix"]


@contextlib.contextmanager
def frozen_prefix(
    stages: Sequence[Stage], frozen: int, head: nn.Module, precision: Precision
) -> Iterator[None]:
    """Have frozen stages compute in the precision of inference, while it lasts.

    Hooks are put on the modules of the stages and taken off at the end, so that a copy or an
    export of the model never sees them.

    Args:
        stages: All stages of the model.
        frozen: How many of them, from the first, are frozen.
        head: The classifier.
        precision: Of training and of inference.
    """
    if frozen == 0 or precision.training == precision.inference:
        yield
        return
    frozen_modules = [module for stage in stages[:frozen] for module in stage.modules]
    trained_modules = [module for stage in stages[frozen:] for module in stage.modules]
    open_contexts: list[Any] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        context = precision.autocast_inference()
        context.__enter__()
        open_contexts.append(context)

    def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        open_contexts.pop().__exit__(None, None, None)

    def to_float32(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return (
            tuple(_float32(value) for value in args),
            {name: _float32(value) for name, value in kwargs.items()},
        )

    with contextlib.ExitStack() as hooks:
        for module in frozen_modules:
            handle = module.register_forward_pre_hook(enter, with_kwargs=True)
            hooks.callback(handle.remove)
            handle = module.register_forward_hook(leave, with_kwargs=True, always_call=True)
            hooks.callback(handle.remove)
        for module in [*trained_modules, head]:
            handle = module.register_forward_pre_hook(to_float32, with_kwargs=True)
            hooks.callback(handle.remove)
        try:
            yield
        finally:
            while open_contexts:  # a forward pass that was interrupted
                open_contexts.pop().__exit__(None, None, None)


def _float32(value: Any) -> Any:
    """Turn tensors into float32, those inside lists and tuples (HRNet's branches) too."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if type(value) in (list, tuple):
        return type(value)(_float32(entry) for entry in value)
    return value
