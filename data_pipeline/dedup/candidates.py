"""Finds pairs of pictures that may be copies, without looking at all pairs.

A picture's 63 DCT coefficients (`signature`) give 63 signs. Copies differ in few of them, so they
agree on some whole stretch of signs: the signs are cut into blocks, each two blocks make a key, and
pictures are sorted by key, one key after the other (multi-index hashing, Norouzi et al. 2012,
arXiv:1307.2982). With seven blocks, pictures that differ in up to five signs share a key for
certain, others most likely.

What it costs: sorting, and at most `_WINDOW` neighbours for each picture, cut and key. Where more
share a key, which happens to thousands of nearly equal pictures, only those next to each other in
the order of all signs are paired. `near` makes up for it by looking again at what is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from covertune.data_pipeline.dedup.signature import COEFFICIENTS, CUTS, Pictures

__all__ = ["Candidates", "find_candidates", "likeliest_cuts"]

_BLOCKS = 7
_MAX_SIGNS_APART = 12
_MIN_COSINE = 0.92
_WINDOW = 32
_AT_ONCE = 200_000  # pairs; bounds the memory


@dataclass(frozen=True)
class Candidates:
    """P pairs of pictures that may be copies; each pair once.

    Attributes:
        inner_P: The picture whose whole is compared.
        outer_P: The picture of which a cut is compared.
        cut_P: Index of that cut in `signature.CUTS`.
        cosine_P: How alike their coefficients are, up to 1.
    """

    inner_P: np.ndarray
    outer_P: np.ndarray
    cut_P: np.ndarray
    cosine_P: np.ndarray

    def __len__(self) -> int:
        return len(self.inner_P)

    def keys(self, pictures: int) -> np.ndarray:
        """Return (P,) int64: a number for the two of each pair, whichever is inner."""
        low, high = np.minimum(self.inner_P, self.outer_P), np.maximum(self.inner_P, self.outer_P)
        return np.asarray(low * pictures + high)

    def of(self, pictures: np.ndarray) -> Candidates:
        """Return the same pairs, found among some pictures, by their numbers among all."""
        return replace(self, inner_P=pictures[self.inner_P], outer_P=pictures[self.outer_P])

    def take(self, which: np.ndarray) -> Candidates:
        """Take some of the pairs, by mask or by index."""
        return Candidates(
            self.inner_P[which], self.outer_P[which], self.cut_P[which], self.cosine_P[which]
        )


def find_candidates(pictures: Pictures) -> Candidates:
    """Find pairs that may be copies.

    Returns:
        Pairs in no particular order, each with the cut under which it is most alike.
    """
    whole_N = _signs(pictures.dct_coefficients(0))
    best = Candidates(*(np.empty(0, dtype) for dtype in (np.int64, np.int64, np.int8, np.float32)))
    for cut in range(len(CUTS)):
        cut_N = _signs(pictures.dct_coefficients(cut))
        found = [best]
        for blocks in combinations(range(_BLOCKS), 2):
            for inner, outer in _neighbours(_led_by(blocks, whole_N), _led_by(blocks, cut_N)):
                apart = np.bitwise_count(whole_N[inner] ^ cut_N[outer])
                near = (apart <= _MAX_SIGNS_APART) & (inner != outer)
                found.append(_alike(pictures, inner[near], outer[near], cut))
        best = _each_pair_once(found, len(whole_N))
    return best


def likeliest_cuts(pictures: Pictures, one_P: np.ndarray, other_P: np.ndarray) -> Candidates:
    """Pair pictures that need not be alike; each pair with the cut under which it is most so."""
    tries = [
        _pairs_by_cosine(pictures, inner, outer, cut)
        for inner, outer in ((one_P, other_P), (other_P, one_P))
        for cut in range(len(CUTS))
    ]
    best = np.stack([pairs.cosine_P for pairs in tries]).argmax(axis=0)
    each = np.arange(len(one_P))
    return Candidates(
        np.stack([pairs.inner_P for pairs in tries])[best, each],
        np.stack([pairs.outer_P for pairs in tries])[best, each],
        np.stack([pairs.cut_P for pairs in tries])[best, each],
        np.stack([pairs.cosine_P for pairs in tries])[best, each],
    )


def _signs(waves_NW: np.ndarray) -> np.ndarray:
    """Return (N,) uint64: a bit for each wave, the slowest in the highest bits."""
    bits = np.zeros((len(waves_NW), 64), dtype=np.uint8)
    bits[:, 64 - COEFFICIENTS :] = waves_NW[:, _SLOWEST_FIRST] > 0
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def _led_by(blocks: tuple[int, ...], signs_N: np.ndarray) -> np.ndarray:
    """Reorder the signs so that some blocks come first, as a key; the rest follows."""
    others = [block for block in range(_BLOCKS) if block not in blocks]
    reordered = np.zeros_like(signs_N)
    for place, block in enumerate([*blocks, *others]):
        shift = np.uint64(_BLOCK_BITS * (_BLOCKS - 1 - block))
        to = np.uint64(_BLOCK_BITS * (_BLOCKS - 1 - place))
        reordered |= ((signs_N >> shift) & _BLOCK_MASK) << to
    return reordered


def _neighbours(whole_N: np.ndarray, cut_N: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs (inner, outer) that share a key, no more than `_WINDOW` for each outer one."""
    inner_order = np.argsort(whole_N, kind="stable")
    outer_order = np.argsort(cut_N, kind="stable")  # neighbouring look-ups are quick ones
    there, wanted = whole_N[inner_order], cut_N[outer_order]
    place = np.searchsorted(there, wanted)
    first = np.searchsorted(there, wanted & ~_BEHIND_KEY)
    end = np.searchsorted(there, wanted | _BEHIND_KEY, side="right")
    first = np.maximum(first, place - _WINDOW // 2)
    counts = np.maximum(0, np.minimum(end, place + _WINDOW // 2) - first)
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        here = counts[start:stop]
        within = np.arange(here.sum()) - np.repeat(np.cumsum(here) - here, here)
        inner = inner_order[np.repeat(first[start:stop], here) + within]
        yield inner, np.repeat(outer_order[start:stop], here)
        start = stop


def _alike(pictures: Pictures, inner: np.ndarray, outer: np.ndarray, cut: int) -> Candidates:
    """Return, of some pairs, those whose coefficients are alike."""
    pairs = _pairs_by_cosine(pictures, inner, outer, cut)
    return pairs.take(pairs.cosine_P >= _MIN_COSINE)


def _pairs_by_cosine(
    pictures: Pictures, inner: np.ndarray, outer: np.ndarray, cut: int
) -> Candidates:
    a = pictures.dct_coefficients(0, inner).astype(np.float32)
    b = pictures.dct_coefficients(cut, outer).astype(np.float32)
    strength = np.maximum(1.0, np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    cosine = np.einsum("pw,pw->p", a, b) / strength
    return Candidates(inner, outer, np.full(len(inner), cut, np.int8), cosine)


def _each_pair_once(found: list[Candidates], pictures: int) -> Candidates:
    """Keep the pair that is most alike of the same two pictures; which is inner does not matter."""
    together = Candidates(
        np.concatenate([pairs.inner_P for pairs in found]),
        np.concatenate([pairs.outer_P for pairs in found]),
        np.concatenate([pairs.cut_P for pairs in found]),
        np.concatenate([pairs.cosine_P for pairs in found]),
    )
    pair = together.keys(pictures)
    order = np.lexsort((together.inner_P, together.cut_P, -together.cosine_P, pair))
    _, firsts = np.unique(pair[order], return_index=True)
    return together.take(order[firsts])


_BLOCK_BITS = COEFFICIENTS // _BLOCKS
_BLOCK_MASK = np.uint64(2**_BLOCK_BITS - 1)
_BEHIND_KEY = np.uint64(2 ** (_BLOCK_BITS * (_BLOCKS - 2)) - 1)
_SIDE = math.isqrt(COEFFICIENTS + 1)
_SLOWEST_FIRST = np.argsort(np.hypot(*np.indices((_SIDE, _SIDE))).ravel()[1:], kind="stable")
