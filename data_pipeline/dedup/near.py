"""Sorts pictures so that copies come together: each picture gets the one it is a copy of.

Copies are gathered as stars: the best picture that is left becomes a centre, and takes all that
were found to be copies of itself. So a chain of pictures, each a little different from the one
before, is broken where its links no longer match the centre, and no two centres match: if only
centres are kept, none of those kept is a copy of another.

Where very many pictures look alike, not all pairs are compared, but for each picture those that are
most alike. What was merged then makes room for others, so this goes on in rounds among the centres
until nothing changes. What ends up with a centre by way of another is compared with it in the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from covertune.data_pipeline.dedup.candidates import Candidates, find_candidates, likeliest_cuts
from covertune.data_pipeline.dedup.signature import Pictures

__all__ = ["NearCopies", "find_near_copies"]

_MOST_EACH = 24  # comparisons that a picture can ask for in a round
_MOST_ROUNDS = 8

Compare = Callable[[Candidates], np.ndarray]
"""Tells for each pair whether the two are copies: (P,) bool."""


@dataclass(frozen=True)
class NearCopies:
    """Which of N pictures are copies of which.

    Attributes:
        centre_N: For each picture the one it is a copy of; its own index if of none.
        links_L2: All pairs that were found to be copies.
        compared: How many pairs were looked at closely.
    """

    centre_N: np.ndarray
    links_L2: np.ndarray
    compared: int


def find_near_copies(pictures: Pictures, rank_N: np.ndarray, compare: Compare) -> NearCopies:
    """Find near copies among distinct pictures.

    Args:
        pictures: N of them.
        rank_N: Distinct numbers; of several copies the one of least rank becomes the centre.
        compare: Looks at pairs closely.
    """
    centre_N = np.arange(len(pictures))
    links = np.empty((0, 2), dtype=np.int64)
    seen = np.empty(0, dtype=np.int64)
    left = np.arange(len(pictures))
    for _ in range(_MOST_ROUNDS):
        pairs = find_candidates(pictures.some(left)).of(left)
        pairs, crowded = _most_alike(pairs)
        pairs = pairs.take(~np.isin(pairs.keys(len(pictures)), seen))
        if not len(pairs):
            break
        seen = np.concatenate([seen, pairs.keys(len(pictures))])
        copies = pairs.take(compare(pairs))
        links = np.concatenate([links, np.stack([copies.inner_P, copies.outer_P], axis=1)])
        between_centres = links[(centre_N[links] == links).all(axis=1)]
        taken = _stars(between_centres, rank_N)
        centre_N[list(taken)] = list(taken.values())
        # Only who had more look-alikes than were compared, and lost some, has others to meet.
        left = crowded[centre_N[crowded] == crowded]
        if not taken or len(left) < 2:
            break
    compared = len(seen) + _hold_to_centres(pictures, centre_N, links, rank_N, compare)
    return NearCopies(centre_N, links, compared)


def _most_alike(pairs: Candidates) -> tuple[Candidates, np.ndarray]:
    """Keep the pairs that one of the two has among its most alike; and who has more than those."""
    ends = np.concatenate([pairs.inner_P, pairs.outer_P])
    pair = np.tile(np.arange(len(pairs)), 2)
    order = np.lexsort((pair, -pairs.cosine_P[pair], ends))
    _, firsts, counts = np.unique(ends[order], return_index=True, return_counts=True)
    place = np.arange(len(ends)) - np.repeat(firsts, counts)
    wanted = np.unique(pair[order[place < _MOST_EACH]])
    return pairs.take(wanted), ends[order[firsts[counts > _MOST_EACH]]]


def _stars(links_L2: np.ndarray, rank_N: np.ndarray) -> dict[int, int]:
    """For each picture that a centre takes, that centre."""
    linked: dict[int, list[int]] = defaultdict(list)
    for a, b in links_L2.tolist():
        linked[a].append(b)
        linked[b].append(a)
    taken: dict[int, int] = {}
    for picture in sorted(linked, key=lambda number: int(rank_N[number])):
        if picture not in taken:
            centres = (other for other in linked[picture] if other not in taken)
            taken |= dict.fromkeys(centres, picture)
    return taken


def _hold_to_centres(
    pictures: Pictures,
    centre_N: np.ndarray,
    links_L2: np.ndarray,
    rank_N: np.ndarray,
    compare: Compare,
) -> int:
    """Compare with its centre whoever came to it by way of another; gives how many pairs."""
    while (centre_N[centre_N] != centre_N).any():
        centre_N[:] = centre_N[centre_N]
    known = {frozenset(pair) for pair in links_L2.tolist()}
    indirect = np.array(_indirect(centre_N, known), dtype=np.int64)
    if not len(indirect):
        return 0
    same = compare(likeliest_cuts(pictures, indirect, centre_N[indirect]))
    strangers = indirect[~same]
    centre_N[strangers] = strangers
    among = links_L2[np.isin(links_L2, strangers).all(axis=1)]
    taken = _stars(among, rank_N)
    centre_N[list(taken)] = list(taken.values())
    return len(indirect)


def _indirect(centre_N: np.ndarray, known: set[frozenset[int]]) -> Iterable[int]:
    moved = np.flatnonzero(centre_N != np.arange(len(centre_N)))
    return [int(n) for n in moved if frozenset((int(n), int(centre_N[n]))) not in known]
