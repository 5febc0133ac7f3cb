"""The classifier on top of a backbone: finding it, replacing it, reading its input.

Shapes: B batch, D features, K genres.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from covertune.models.errors import ModelError

__all__ = ["GenreHead", "HeadWeights", "head_of", "load_head", "replace_head"]


@dataclass(frozen=True)
class HeadWeights:
    """A linear classifier on the backbone's raw features: logits = features @ weight.T + bias.

    Attributes:
        weight_KD: float32.
        bias_K: float32.
    """

    weight_KD: Tensor
    bias_K: Tensor


class GenreHead(nn.Linear):
    """The last layer: dropout, then a linear map from D features to K logits.

    A `Linear` with a `drop_rate`, not a `Sequential`, so that the entries of the state dict keep
    the names the backbone's own library gives them.
    """

    def __init__(self, in_features: int, num_genres: int, *, drop_rate: float = 0.0) -> None:
        super().__init__(in_features, num_genres)
        self.drop_rate = drop_rate

    def forward(self, input: Tensor) -> Tensor:
        """Turn (B, D) features into (B, K) logits."""
        return super().forward(F.dropout(input, self.drop_rate, self.training))


def replace_head(backbone: nn.Module, num_genres: int, *, drop_rate: float = 0.0) -> nn.Module:
    """Swap the classifier for a fresh one, in place.

    The last `Linear` of the module is taken for the classifier; SqueezeNet, which has none, gets
    one on its pooled last feature map (its own ReLU on the logits is dropped: it kills gradients).
    A dropout layer directly before the classifier is switched off: `drop_rate` takes its place.

    Args:
        backbone: Takes (B, 3, H, W) float32 normalised as its `InputSpec` says.
        num_genres: K.
        drop_rate: Dropout before the head, in [0, 1).

    Returns:
        The same module; forward gives (B, K) logits.

    Raises:
        ModelError: The backbone has no classifier that can be found.
    """
    linears = [(name, m) for name, m in backbone.named_modules() if isinstance(m, nn.Linear)]
    if not linears:
        _pool_before_linear(backbone)
        linears = [(name, m) for name, m in backbone.named_modules() if isinstance(m, nn.Linear)]
    name, old = linears[-1]
    parent = backbone.get_submodule(name.rpartition(".")[0])
    _switch_off_dropout(backbone, parent, old)
    head = GenreHead(old.in_features, num_genres, drop_rate=drop_rate)
    nn.init.trunc_normal_(head.weight, std=old.in_features**-0.5)
    nn.init.zeros_(head.bias)
    setattr(parent, name.rpartition(".")[2], head.to(old.weight.device))
    return backbone


def head_of(model: nn.Module) -> GenreHead:
    """Return the classifier that `replace_head` put in.

    Raises:
        ModelError: The model has none.
    """
    for module in model.modules():
        if isinstance(module, GenreHead):
            return module
    raise ModelError(f"no genre head in {type(model).__name__}; build models with Backbone.build")


def load_head(model: nn.Module, head: HeadWeights) -> None:
    """Copy fitted weights into the classifier, in place.

    Raises:
        ModelError: Another number of features or genres.
    """
    target = head_of(model)
    came, wanted = tuple(head.weight_KD.shape), tuple(target.weight.shape)
    if came != wanted:
        raise ModelError(
            f"head weights must be (genres, features) = {wanted}, got {came}; "
            "fit the probe on the same backbone and genres"
        )
    with torch.no_grad():
        target.weight.copy_(head.weight_KD)
        target.bias.copy_(head.bias_K)


def _pool_before_linear(backbone: nn.Module) -> None:
    """Give a fully convolutional classifier (SqueezeNet) a linear head on pooled features."""
    classifier = getattr(backbone, "classifier", None)
    layers = classifier if isinstance(classifier, nn.Sequential) else ()
    convs = [m for m in layers if isinstance(m, nn.Conv2d)]
    if len(convs) != 1 or convs[0].kernel_size != (1, 1):
        raise ModelError(
            f"no linear classifier found in {type(backbone).__name__}; take another backbone"
        )
    conv = convs[0]
    linear = nn.Linear(conv.in_channels, conv.out_channels, device=conv.weight.device)
    backbone.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)


def _switch_off_dropout(backbone: nn.Module, parent: nn.Module, head: nn.Linear) -> None:
    """Zero the dropout directly before the head, wherever its library keeps it."""
    before: nn.Module | None = None
    for module in parent.children():
        if module is head:
            break
        before = module
    for dropout in (before, getattr(backbone, "dropout", None)):  # GoogLeNet, Inception: .dropout
        if isinstance(dropout, nn.Dropout):
            dropout.p = 0.0
