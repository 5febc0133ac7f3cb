"""Averages of weights of classifiers that were fine-tuned from the same start: model soups.

Wortsman et al. 2022 (arXiv:2203.05482): such classifiers lie in one basin of the loss, and so does
their mean, which errs less than each of them and costs no more than one. The classifier they
started from belongs to it too (arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from covertune.models.errors import ModelError

__all__ = ["average_weights"]


def average_weights(
    states: Sequence[Mapping[str, Tensor]], shares: Sequence[float]
) -> dict[str, Tensor]:
    """Return the weighted mean of state dicts, tensor by tensor, running statistics included.

    Args:
        states: Of one architecture.
        shares: One for each state, in any unit; not all 0.

    Returns:
        A state dict in the first one's dtypes. What is no floating-point number (counters) is the
        first one's.

    Raises:
        ModelError: Other shares than states, or states of different architectures.
    """
    if len(shares) != len(states) or sum(shares) <= 0:
        raise ModelError(
            f"an average needs a share for each of its models, got {len(states)} models "
            f"and shares {', '.join(map(str, shares)) or 'of none'}"
        )
    first = states[0]
    for state in states[1:]:
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in first.items()}:
            raise ModelError("an average needs models of one backbone and one number of genres")
    total = sum(shares)
    average = dict(first)
    for name, tensor in first.items():
        if tensor.is_floating_point():
            mean = torch.zeros_like(tensor, dtype=torch.float64)
            for state, share in zip(states, shares, strict=True):
                mean += state[name].double() * (share / total)
            average[name] = mean.to(tensor.dtype)
    return average
