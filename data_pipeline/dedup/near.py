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
    stars = _Stars(pictures, rank_N, compare)
    left = np.arange(len(pictures))
    for _ in range(_MOST_ROUNDS):
        pairs, crowded = _most_alike(find_candidates(pictures.some(left)).of(left))
        if not stars.gather(pairs):
            break
        # Only who had more look-alikes than were compared, and lost some, has others to meet.
        left = crowded[stars.centre_N[crowded] == crowded]
        if len(left) < 2:
            break
    stars.hold_to_centres()
    return NearCopies(stars.centre_N, stars.links_L2, stars.compared)


class _Stars:
    """Centres with the copies they have taken, while pairs are compared.

    Attributes:
        centre_N, links_L2, compared: As of `NearCopies`; a picture that was taken may still stand
            with a centre that was taken itself.
    """

    def __init__(self, pictures: Pictures, rank_N: np.ndarray, compare: Compare) -> None:
        self.centre_N = np.arange(len(pictures))
        self.links_L2 = np.empty((0, 2), dtype=np.int64)
        self.compared = 0
        self._pictures, self._rank_N, self._compare = pictures, rank_N, compare
        self._seen = np.empty(0, dtype=np.int64)  # keys of the pairs compared

    def gather(self, pairs: Candidates) -> bool:
        """Compare pairs that were not yet, and let centres take copies; whether any did."""
        keys = pairs.keys(len(self._pictures))
        pairs = pairs.take(~np.isin(keys, self._seen))
        if not len(pairs):
            return False
        self._seen = np.concatenate([self._seen, pairs.keys(len(self._pictures))])
        self.compared += len(pairs)
        copies = pairs.take(self._compare(pairs))
        links_P2 = np.stack([copies.inner_P, copies.outer_P], axis=1)
        self.links_L2 = np.concatenate([self.links_L2, links_P2])
        are_centres_L2 = self.centre_N[self.links_L2] == self.links_L2
        return self._take(self.links_L2[are_centres_L2.all(axis=1)])

    def hold_to_centres(self) -> None:
        """Compare with its centre whoever came to it by way of another; strangers leave it."""
        while (self.centre_N[self.centre_N] != self.centre_N).any():
            self.centre_N = self.centre_N[self.centre_N]
        known = {frozenset(pair) for pair in self.links_L2.tolist()}
        indirect = np.array(_indirect(self.centre_N, known), dtype=np.int64)
        if not len(indirect):
            return
        self.compared += len(indirect)
        cuts = likeliest_cuts(self._pictures, indirect, self.centre_N[indirect])
        strangers = indirect[~self._compare(cuts)]
        self.centre_N[strangers] = strangers
        self._take(self.links_L2[np.isin(self.links_L2, strangers).all(axis=1)])

    def _take(self, links_L2: np.ndarray) -> bool:
        """Let the best of linked pictures, that is left, take all linked to it, until none is."""
        taken = _taken(links_L2, self._rank_N)
        self.centre_N[list(taken)] = list(taken.values())
        return bool(taken)


def _most_alike(pairs: Candidates) -> tuple[Candidates, np.ndarray]:
    """Keep the pairs that one of the two has among its most alike; and who has more than those."""
    ends = np.concatenate([pairs.inner_P, pairs.outer_P])
    pair = np.tile(np.arange(len(pairs)), 2)
    order = np.lexsort((pair, -pairs.cosine_P[pair], ends))
    _, firsts, counts = np.unique(ends[order], return_index=True, return_counts=True)
    place = np.arange(len(ends)) - np.repeat(firsts, counts)
    wanted = np.unique(pair[order[place < _MOST_EACH]])
    return pairs.take(wanted), ends[order[firsts[counts > _MOST_EACH]]]


def _taken(links_L2: np.ndarray, rank_N: np.ndarray) -> dict[int, int]:
    """Return, for each picture that a centre takes, that centre."""
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


def _indirect(centre_N: np.ndarray, known: set[frozenset[int]]) -> Iterable[int]:
    moved = np.flatnonzero(centre_N != np.arange(len(centre_N)))
    return [int(n) for n in moved if frozenset((int(n), int(centre_N[n]))) not in known]
