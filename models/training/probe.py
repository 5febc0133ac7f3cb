"""The linear probe: a classifier fitted on features of the frozen backbone, in seconds.

Multinomial logistic regression with an L2 penalty on standardised features, minimised with L-BFGS
(Liu and Nocedal 1989). It is the number to beat for fine-tuning, and a better start for the head
than random weights (Kumar et al. 2022, arXiv:2202.10054).

Shapes: N covers, D features, K genres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from covertune.models.backbones.heads import HeadWeights, head_of
from covertune.models.backbones.input_spec import Batches, InputSpec
from covertune.models.errors import ModelError
from covertune.models.metrics import any_top1, top_k
from covertune.models.micro_batches import MicroBatches
from covertune.models.precision import choose_precision
from covertune.models.training.targets import targets_of

__all__ = ["L2_GRID", "ProbeResult", "extract_features", "fit_probe"]

L2_GRID = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Strong to weak: each fit starts from the one before."""

_ITERATIONS = 60
_HISTORY = 10
_PATIENCE = 2  # penalties without a better probe before weaker ones are given up
_TOLERANCE = 1e-4  # on the largest gradient entry; the loss is of the order of log K


@dataclass(frozen=True)
class ProbeResult:
    """A fitted probe.

    Attributes:
        head: Takes raw features: the standardisation is folded into it.
        val_top1: Share of validation covers given their true genre, the primary one of several.
        val_top3: Share with it among the best three.
        val_loss: Mean cross-entropy.
        l2: The penalty chosen.
        val_any_top1: Share given any of their genres; None where each cover has one.
    """

    head: HeadWeights
    val_top1: float
    val_top3: float
    val_loss: float
    l2: float
    val_any_top1: float | None = None


def extract_features(
    model: nn.Module, batches: Batches, device: torch.device, *, input_spec: InputSpec
) -> tuple[Tensor, ...]:
    """What the head would be given for every cover.

    Args:
        model: With a genre head; moved to the device and left in eval mode.
        batches: On the device.
        device: Where to compute.
        input_spec: Of the backbone.

    Returns:
        features_ND float32 and labels_N int64, on the CPU; also genres_NK where the batches have
        them.

    Raises:
        OutOfMemory: Not even one cover at a time fits.
        ModelError: No covers at all.
    """
    model.to(device).to(memory_format=torch.channels_last).eval()
    micro = MicroBatches(device)
    features: list[Tensor] = []
    kept: list[Tensor] = []

    def keep(head: nn.Module, args: tuple[Tensor, ...]) -> None:
        kept.append(args[0].float().cpu())

    def features_of(images_BHWC: Tensor, parts: Sequence[slice]) -> Tensor:
        kept.clear()
        for part in parts:
            model(input_spec.normalise(images_BHWC[part]))
        return torch.cat(kept)

    labels, genres = [], []
    handle = head_of(model).register_forward_pre_hook(keep)
    precision = choose_precision("auto", device)
    try:
        with torch.inference_mode(), precision.autocast_inference():
            for images_BHWC, labels_B, *marks in batches:
                features.append(micro.run(len(labels_B), partial(features_of, images_BHWC)))
                labels.append(labels_B.cpu())
                genres += [genres_BK.cpu() for genres_BK in marks]
    finally:
        handle.remove()
    if not labels:
        raise ModelError("features need at least one cover, got none")
    features_ND = torch.cat(features)  # outside inference mode: an ordinary tensor, for autograd
    features.clear()
    labels_N = torch.cat(labels)
    return (features_ND, labels_N, torch.cat(genres)) if genres else (features_ND, labels_N)


def fit_probe(
    train_X: Tensor,
    train_y: Tensor,
    val_X: Tensor,
    val_y: Tensor,
    num_genres: int,
    *,
    train_genres: Tensor | None = None,
    val_genres: Tensor | None = None,
    l2_grid: Sequence[float] = L2_GRID,
) -> ProbeResult:
    """Fit a linear classifier; the penalty with the best validation top-1 wins, then lower loss.

    Minimises mean cross-entropy + l2 / 2 * sum(weight^2) over standardised features. Where covers
    may have several genres, the cross-entropy is that against all of them in equal shares.

    Args:
        train_X: (N, D) float32.
        train_y: (N,) int64, in [0, K).
        val_X: (N', D) float32.
        val_y: (N',) int64.
        num_genres: K.
        train_genres: (N, K) marks, where covers may have several genres.
        val_genres: (N', K).
        l2_grid: Penalties to try.

    Raises:
        ModelError: No training or no validation covers, features that are not finite, or no penalty
            with which the fit stays finite.
    """
    if len(train_X) == 0 or len(val_X) == 0:
        raise ModelError(
            f"a probe needs training and validation covers, got {len(train_X)} and {len(val_X)}"
        )
    mean_D, std_D = train_X.mean(dim=0), train_X.std(dim=0, correction=0)
    if not all(bool(torch.isfinite(entries).all()) for entries in (mean_D, std_D, val_X)):
        raise ModelError("the backbone's features must be finite; check its weights")
    std_D = torch.where(std_D > 1e-6, std_D, torch.ones_like(std_D))
    # One copy of the features, the caller's own stay as they are.
    train_Z, val_Z = (train_X - mean_D).div_(std_D), (val_X - mean_D).div_(std_D)
    weight_KD = torch.zeros(num_genres, train_X.shape[1], requires_grad=True)
    bias_K = torch.zeros(num_genres, requires_grad=True)
    train_targets, val_targets = targets_of(train_y, train_genres), targets_of(val_y, val_genres)
    best: ProbeResult | None = None
    worse = 0
    for l2 in sorted(l2_grid, reverse=True):
        _minimise(weight_KD, bias_K, train_Z, train_targets, l2)
        with torch.no_grad():
            logits = F.linear(val_Z, weight_KD, bias_K)
            scale_KD = weight_KD / std_D
            found = ProbeResult(
                head=HeadWeights(scale_KD, bias_K - scale_KD @ mean_D),
                val_top1=top_k(logits.numpy(), val_y.numpy(), 1),
                val_top3=top_k(logits.numpy(), val_y.numpy(), 3),
                val_loss=float(F.cross_entropy(logits, val_targets)),
                l2=l2,
                val_any_top1=(
                    None if val_genres is None else any_top1(logits.numpy(), val_genres.numpy())
                ),
            )
        if not math.isfinite(found.val_loss):
            with torch.no_grad():  # the next fit cannot start from there
                weight_KD.zero_()
                bias_K.zero_()
            continue
        if best is None or (found.val_top1, -found.val_loss) > (best.val_top1, -best.val_loss):
            best, worse = found, 0
        else:
            worse += 1
            if worse >= _PATIENCE and found.val_loss > best.val_loss:
                break
    if best is None:
        raise ModelError(
            f"a probe's loss must be finite, it is with none of the penalties {list(l2_grid)}; "
            "the backbone's features are too far apart, check its weights"
        )
    return best


def _minimise(weight: Tensor, bias: Tensor, Z: Tensor, targets: Tensor, l2: float) -> None:
    """Full-batch L-BFGS with a strong Wolfe line search, in place."""
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        history_size=_HISTORY,
        tolerance_grad=_TOLERANCE,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        entropy = F.cross_entropy(F.linear(Z, weight, bias), targets)
        loss = entropy + l2 / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
