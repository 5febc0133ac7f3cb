"""A backbone as an ordered list of stages, from the stem to the last block before the head.

Freezing and layer-wise learning rates are told in stages. They are found from the module tree, in
the order of registration (which in torchvision and timm is that of execution, but for parallel
branches): containers are opened until at least four parts carry weights and none is a mere list, a
normalisation joins the layer before it, and what is more than enough is merged evenly. Most
backbones get 4 to 9 stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from covertune.models.backbones.heads import head_of
from covertune.models.errors import ModelError

__all__ = ["Stage", "check_frozen_stages", "freeze", "is_batch_norm", "stages"]

MAX_STAGES = 9
MIN_PARTS = 4
_SMALL = 0.001  # a part with a smaller share of the weights does not count as one of the four


@dataclass
class Stage:
    """Consecutive modules of a backbone.

    Attributes:
        name: Names of its first and last module in the model.
        modules: In the order of registration; disjoint. Lists and dictionaries of modules, which
            no model can call, are opened and not among them.
        loose: Parameters that belong to no module of any stage (a class token, say).
    """

    name: str
    modules: list[nn.Module]
    loose: list[nn.Parameter] = field(default_factory=list)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield all its parameters, without the head's."""
        for module in self.modules:
            yield from module.parameters()
        yield from self.loose


def stages(model: nn.Module) -> list[Stage]:
    """Cut a model into stages; every parameter but the head's is in exactly one.

    Raises:
        ModelError: The model has no genre head.
    """
    head = head_of(model)
    head_ids = {id(p) for p in head.parameters()}
    parts = _open_containers(model, head, head_ids)
    groups: list[list[tuple[str, nn.Module]]] = []
    for name, module in parts:
        if groups and _is_norm(module):
            groups[-1].append((name, module))
        else:
            groups.append([(name, module)])
    groups = _merge(groups)
    found = [Stage(name=_span(group), modules=[module for _, module in group]) for group in groups]
    if not found:
        return []
    owned = {id(p) for stage in found for p in stage.parameters()} | head_ids
    found[0].loose = [p for p in model.parameters() if id(p) not in owned]
    return found


def check_frozen_stages(model: nn.Module, frozen_stages: int) -> list[Stage]:
    """Return the model's stages, if that many can be frozen.

    Raises:
        ModelError: More than there are.
    """
    found = stages(model)
    if not 0 <= frozen_stages <= len(found):
        raise ModelError(
            f"frozen_stages must be 0 to {len(found)} for this backbone, got {frozen_stages}; "
            f"its stages are {', '.join(stage.name for stage in found)}"
        )
    return found


def freeze(model: nn.Module, frozen_stages: int) -> list[Stage]:
    """Take the first stages out of training; all of them leaves a linear probe.

    Frozen parameters ask for no gradient. The caller keeps the frozen modules in eval mode
    (`model.train()` would wake their batch normalisation).

    Returns:
        The frozen stages.

    Raises:
        ModelError: More than there are.
    """
    found = check_frozen_stages(model, frozen_stages)
    for number, stage in enumerate(found):
        for parameter in stage.parameters():
            parameter.requires_grad_(number >= frozen_stages)
    return found[:frozen_stages]


def is_batch_norm(module: nn.Module) -> bool:
    """Tell whether the module keeps running statistics of its input."""
    return isinstance(module, _BatchNorm)


def _is_norm(module: nn.Module) -> bool:
    return is_batch_norm(module) or isinstance(module, nn.LayerNorm | nn.GroupNorm)


def _weight_of(module: nn.Module, head_ids: set[int]) -> int:
    return sum(p.numel() for p in module.parameters() if id(p) not in head_ids)


def _open_containers(
    model: nn.Module, head: nn.Module, head_ids: set[int]
) -> list[tuple[str, nn.Module]]:
    """Return modules that carry weights, in order; none holds the head, none is a mere list."""
    total = max(_weight_of(model, head_ids), 1)
    parts = [("", model)]
    while True:
        weights = [_weight_of(module, head_ids) for _, module in parts]
        must = [
            i
            for i, (_, m) in enumerate(parts)
            if isinstance(m, nn.ModuleList | nn.ModuleDict) or any(c is head for c in m.modules())
        ]
        if must:
            target = must[0]
        elif sum(weight >= _SMALL * total for weight in weights) < MIN_PARTS:
            openable = [i for i, (_, m) in enumerate(parts) if _can_open(m)]
            if not openable:
                return parts
            target = max(openable, key=lambda i: weights[i])
        else:
            return parts
        name, module = parts[target]
        prefix = f"{name}." if name else ""
        parts[target : target + 1] = [
            (prefix + child_name, child)
            for child_name, child in module.named_children()
            if child is not head and _weight_of(child, head_ids) > 0
        ]


def _can_open(module: nn.Module) -> bool:
    """Tell whether a module has parts of its own; parameters it holds directly become `loose`."""
    return any(True for _ in module.children())


def _merge(groups: list[list[tuple[str, nn.Module]]]) -> list[list[tuple[str, nn.Module]]]:
    """Join into at most `MAX_STAGES`: the first stays alone, the others in equal numbers."""
    if len(groups) <= MAX_STAGES:
        return groups
    size = -(-(len(groups) - 1) // (MAX_STAGES - 1))
    rest = groups[1:]
    joined = [rest[i : i + size] for i in range(0, len(rest), size)]
    return [groups[0], *([part for group in chunk for part in group] for chunk in joined)]


def _span(group: list[tuple[str, nn.Module]]) -> str:
    first, last = group[0][0], group[-1][0]
    return first if first == last else f"{first}..{last}"
