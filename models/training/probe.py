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
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from covertune.models.backbones.heads import HeadWeights, head_of
from covertune.models.backbones.input_spec import Batches, InputSpec
from covertune.models.errors import ModelError
from covertune.models.metrics import Metrics
from covertune.models.micro_batches import MicroBatches
from covertune.models.precision import choose_precision
from covertune.models.training.targets import targets_of

__all__ = ["L2_GRID", "Features", "ProbeResult", "extract_features", "fit_probe"]

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
        val_metrics: On validation covers.
        val_loss: Mean cross-entropy there.
        l2: The penalty chosen.
    """

    head: HeadWeights
    val_metrics: Metrics
    val_loss: float
    l2: float


class Features(NamedTuple):
    """What a head is given, beside what it should tell; on the CPU.

    Attributes:
        features_ND: float32.
        labels_N: int64, in [0, K).
        genres_NK: 1 for each genre of a cover, else 0; None where each cover has one genre.
    """

    features_ND: Tensor
    labels_N: Tensor
    genres_NK: Tensor | None = None

    @staticmethod
    def joined(parts: Sequence[Features]) -> Features:
        """Return the covers of several parts as one."""
        marks = [part.genres_NK for part in parts if part.genres_NK is not None]
        return Features(
            torch.cat([part.features_ND for part in parts]),
            torch.cat([part.labels_N for part in parts]),
            torch.cat(marks) if marks else None,
        )


def extract_features(
    model: nn.Module, batches: Batches, device: torch.device, *, input_spec: InputSpec
) -> Features:
    """Compute what the head would be given for every cover.

    Args:
        model: With a genre head; moved to the device and left in eval mode.
        batches: On the device.
        device: Where to compute.
        input_spec: Of the backbone.

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
            for images_BHWC, labels_B, genres_BK in batches:
                features.append(micro.run(len(labels_B), partial(features_of, images_BHWC)))
                labels.append(labels_B.cpu())
                if genres_BK is not None:
                    genres.append(genres_BK.cpu())
    finally:
        handle.remove()
    if not labels:
        raise ModelError("features need at least one cover, got none")
    features_ND = torch.cat(features)  # outside inference mode: an ordinary tensor, for autograd
    features.clear()
    return Features(features_ND, torch.cat(labels), torch.cat(genres) if genres else None)


def fit_probe(
    train: Features, val: Features, num_genres: int, *, l2_grid: Sequence[float] = L2_GRID
) -> ProbeResult:
    """Fit a linear classifier; the penalty with the best validation top-1 wins, then lower loss.

    Minimises mean cross-entropy + l2 / 2 * sum(weight^2) over standardised features. Where covers
    may have several genres, the cross-entropy is that against all of them in equal shares. The
    features given stay as they are; one copy is made.

    Args:
        train: Of N covers, D features each.
        val: Of others.
        num_genres: K.
        l2_grid: Penalties to try.

    Raises:
        ModelError: No training or no validation covers, features that are not finite, or no penalty
            with which the fit stays finite.
    """
    scale = _Standardisation.of(train, val)
    train_Z, val_Z = scale.apply(train.features_ND), scale.apply(val.features_ND)
    targets = targets_of(train.labels_N, train.genres_NK)
    weight_KD = torch.zeros(num_genres, train_Z.shape[1], requires_grad=True)
    bias_K = torch.zeros(num_genres, requires_grad=True)
    best: ProbeResult | None = None
    worse = 0
    for l2 in sorted(l2_grid, reverse=True):
        _minimise(weight_KD, bias_K, train_Z, targets, l2)
        with torch.no_grad():
            head, logits_NK = scale.unfold(weight_KD, bias_K), F.linear(val_Z, weight_KD, bias_K)
            found = _measured(head, logits_NK, val, l2)
            if not math.isfinite(found.val_loss):  # the next fit cannot start from there
                weight_KD.zero_()
                bias_K.zero_()
                continue
        if best is None or _rank(found) > _rank(best):
            best, worse = found, 0
            continue
        worse += 1
        if worse >= _PATIENCE and found.val_loss > best.val_loss:
            break
    if best is None:
        raise ModelError(
            f"a probe's loss must be finite, it is with none of the penalties {list(l2_grid)}; "
            "the backbone's features are too far apart, check its weights"
        )
    return best


@dataclass(frozen=True)
class _Standardisation:
    """Features of mean 0 and standard deviation 1."""

    mean_D: Tensor
    std_D: Tensor

    @classmethod
    def of(cls, train: Features, val: Features) -> _Standardisation:
        """Return that of the training covers.

        Raises:
            ModelError: No covers, or features that are not finite.
        """
        train_X, val_X = train.features_ND, val.features_ND
        if len(train_X) == 0 or len(val_X) == 0:
            raise ModelError(
                f"a probe needs training and validation covers, got {len(train_X)} and {len(val_X)}"
            )
        mean_D, std_D = train_X.mean(dim=0), train_X.std(dim=0, correction=0)
        if not all(bool(torch.isfinite(entries).all()) for entries in (mean_D, std_D, val_X)):
            raise ModelError("the backbone's features must be finite; check its weights")
        return cls(mean_D, torch.where(std_D > 1e-6, std_D, torch.ones_like(std_D)))

    def apply(self, features_ND: Tensor) -> Tensor:
        """Return them standardised, in memory of their own."""
        return (features_ND - self.mean_D).div_(self.std_D)

    def unfold(self, weight_KD: Tensor, bias_K: Tensor) -> HeadWeights:
        """Return the head that takes raw features, from one that takes standardised ones."""
        scaled_KD = weight_KD / self.std_D
        return HeadWeights(scaled_KD, bias_K - scaled_KD @ self.mean_D)


def _measured(head: HeadWeights, logits_NK: Tensor, val: Features, l2: float) -> ProbeResult:
    marks_NK = None if val.genres_NK is None else val.genres_NK.numpy()
    return ProbeResult(
        head=head,
        val_metrics=Metrics.of(logits_NK.numpy(), val.labels_N.numpy(), marks_NK),
        val_loss=float(F.cross_entropy(logits_NK, targets_of(val.labels_N, val.genres_NK))),
        l2=l2,
    )


def _rank(result: ProbeResult) -> tuple[float, float]:
    """Rank the better the higher."""
    return result.val_metrics.top1, -result.val_loss


def _minimise(weight: Tensor, bias: Tensor, Z: Tensor, targets: Tensor, l2: float) -> None:
    """Minimise by full-batch L-BFGS with a strong Wolfe line search, in place."""
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
