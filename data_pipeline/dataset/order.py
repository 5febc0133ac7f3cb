"""In which order the covers of an epoch are delivered, and where its batches end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["batch_ends", "seeded", "windowed_order"]

_ORDER = int.from_bytes(b"ordr")  # a stream of random numbers of its own under the trial's seed


def seeded(seed: int, epoch: int) -> np.random.Generator:
    """Return the random numbers that decide the order of one epoch."""
    return np.random.default_rng([_ORDER, seed, epoch])


def batch_ends(covers: int, batch_size: int, *, lone_joins: bool) -> list[int]:
    """Return where in the order of an epoch each batch ends.

    Args:
        covers: In the epoch.
        batch_size: B.
        lone_joins: Whether a lone last cover joins the batch before it.
    """
    lone = lone_joins and covers > batch_size > 1 == covers % batch_size
    return [*range(batch_size, covers - lone, batch_size), covers]


def windowed_order(
    blocks: Sequence[np.ndarray], window: int, draws: np.random.Generator
) -> tuple[list[int], np.ndarray]:
    """Mix covers of which only some blocks are held at once.

    Blocks come in any order. A cover's rank is its place in that order and a draw from 0 to
    `window`; so what is read and not yet delivered stands less than a window behind what is
    delivered now: a window and a block are the most that has to be held. A store lies in the order
    of a hash, so that neighbours are not alike in the first place.

    Args:
        blocks: The covers of each, as places in the split.
        window: In covers.
        draws: Decide.

    Returns:
        The blocks in the order in which they are read; the covers in that of delivery.
    """
    blocks_in_order = draws.permutation(len(blocks)).tolist()
    covers = np.concatenate([blocks[index] for index in blocks_in_order])
    ranks = np.arange(len(covers)) + draws.random(len(covers)) * window
    return blocks_in_order, covers[np.argsort(ranks)]
