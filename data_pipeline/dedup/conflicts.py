"""Decides which rows become covers, where several show the same picture.

Within one genre a picture is kept once. Where it lies in several genres, its labels contradict
each other, and `PrepareSettings.conflicts` says what becomes of it. Sharing a key is no
contradiction: an author may write in many genres.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from covertune.vocabulary import Conflicts

__all__ = ["Kept", "Labels", "Refused", "Rows", "count_labels", "resolve"]

_COPY = "copy of another cover"
_NEAR_COPY = "near copy of another cover"
_SEVERAL_GENRES = "same picture in several genres"
_IN_TEST = "copy of a cover in the official test split"

Refused = dict[int, tuple[str, str]]
"""For each row refused the reason, and what is particular to it."""


@dataclass(frozen=True)
class Rows:
    """R rows with usable pictures, in natural order.

    Attributes:
        genres: The K genre names, sorted.
        genre_R: Index into `genres`.
        picture_R: Equal for rows whose pictures are copies of each other.
        pixels_R: Equal for rows with exactly the same pixels.
        rank_R: Of several copies the one of least rank is kept; a number for each `pixels_R`.
        in_test_R: bool, whether the listing puts the row into its own test split.
        names: Of each row, for people.
        cover_ids: Of each row.
    """

    genres: Sequence[str]
    genre_R: np.ndarray
    picture_R: np.ndarray
    pixels_R: np.ndarray
    rank_R: np.ndarray
    in_test_R: np.ndarray
    names: Sequence[str]
    cover_ids: Sequence[str]

    def some(self, left: np.ndarray) -> Rows:
        """Return the rows of these indices."""
        return Rows(
            genres=self.genres,
            genre_R=self.genre_R[left],
            picture_R=self.picture_R[left],
            pixels_R=self.pixels_R[left],
            rank_R=self.rank_R[left],
            in_test_R=self.in_test_R[left],
            names=[self.names[row] for row in left.tolist()],
            cover_ids=[self.cover_ids[row] for row in left.tolist()],
        )


@dataclass(frozen=True)
class Kept:
    """The rows that become covers.

    Attributes:
        rows: (N,) int64, ascending.
        genre_N: The primary genre of each.
        genres_of: For rows with several genres, all of them as sorted indices.
    """

    rows: np.ndarray
    genre_N: np.ndarray
    genres_of: dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class Labels:
    """How far labels contradict each other.

    Attributes:
        pictures: Distinct pictures.
        conflicting: Of these, pictures that lie in several genres.
        ceiling: See `count_labels`.
    """

    pictures: int
    conflicting: int
    ceiling: float


def count_labels(picture_R: np.ndarray, genre_R: np.ndarray) -> Labels:
    """Measure the noise of labels.

    A predictor sees only the picture, so it gives one answer for all rows of a picture. Let each
    pair of picture and genre count once, however often it is listed. Of the g pairs of one picture
    at best one is answered rightly, so over P pictures the best top-1 is P / (g_1 + ... + g_P).

    Args:
        picture_R: The picture of each row.
        genre_R: A genre of each row; a row with several is given as several.
    """
    pairs = np.unique(np.stack([picture_R, genre_R], axis=1), axis=0)
    _, genres_P = np.unique(pairs[:, 0], return_counts=True)
    return Labels(
        pictures=len(genres_P),
        conflicting=int((genres_P > 1).sum()),
        ceiling=len(genres_P) / len(pairs) if len(pairs) else 1.0,
    )


def resolve(rows: Rows, conflicts: Conflicts, seed: int) -> tuple[Kept, Refused]:
    """Choose the rows that become covers.

    A row whose picture is also in the listing's own test split goes first, whatever its genre, so
    that this split stays what it is. Of copies the best is kept: `Rows.rank_R`, then the first.

    Args:
        rows: What there is.
        conflicts: What becomes of a picture in several genres.
        seed: Draws the primary genres of `multi`.
    """
    refused = _refuse_what_is_in_test(rows)
    left = np.array([row for row in range(len(rows.names)) if row not in refused], dtype=np.int64)
    # Copies side by side: by picture, in it by genre, in that the best first.
    order = left[np.lexsort((left, rows.rank_R[left], rows.genre_R[left], rows.picture_R[left]))]
    alone, order = _split_off_single(order, rows.picture_R[order])
    genre_of = dict(zip(alone.tolist(), rows.genre_R[alone].tolist(), strict=True))
    genres_of: dict[int, tuple[int, ...]] = {}
    for of_picture in _runs(order, rows.picture_R[order]):
        found = _Copies.of(rows, of_picture)
        kept = _choose(found, rows, conflicts)
        if conflicts == "multi" and found.are_in_several_genres:
            (row,) = kept
            genres_of[row] = found.genres
            genre_of[row] = found.genres[_draw(len(found.genres), seed, rows.cover_ids[row])]
        else:
            genre_of |= {row: int(rows.genre_R[row]) for row in kept}
        refused |= _refuse_others(found, rows, kept, conflicts)
    chosen = np.array(sorted(genre_of), dtype=np.int64)
    genre_N = np.array([genre_of[row] for row in chosen.tolist()], dtype=np.int64)
    return Kept(chosen, genre_N, genres_of), refused


@dataclass(frozen=True)
class _Copies:
    """The rows of one picture, two at least.

    Attributes:
        rows: In the order of genres, in each the best copy first.
        genres: Of them, ascending.
        best: The best copy in each of the genres.
    """

    rows: list[int]
    genres: tuple[int, ...]
    best: list[int]

    @classmethod
    def of(cls, rows: Rows, of_picture: np.ndarray) -> _Copies:
        best = [int(of_genre[0]) for of_genre in _runs(of_picture, rows.genre_R[of_picture])]
        return cls(of_picture.tolist(), tuple(int(rows.genre_R[row]) for row in best), best)

    @property
    def are_in_several_genres(self) -> bool:
        return len(self.genres) > 1

    def best_in(self, genre: int) -> int:
        return self.best[self.genres.index(genre)]


def _choose(found: _Copies, rows: Rows, conflicts: Conflicts) -> list[int]:
    """Return which rows of a picture are kept."""
    if not found.are_in_several_genres or conflicts == "keep":
        return found.best
    if conflicts == "drop":
        return []
    if conflicts == "first":
        return [found.best_in(int(rows.genre_R[min(found.rows)]))]
    return [min(found.best, key=lambda row: (int(rows.rank_R[row]), row))]


def _refuse_others(
    found: _Copies, rows: Rows, kept: Sequence[int], conflicts: Conflicts
) -> Refused:
    """Refuse all rows of a picture but those kept, each with the reason that is nearest to it."""
    refused: Refused = {}
    in_kept_genre = {int(rows.genre_R[row]): row for row in kept}
    why = ", ".join(rows.genres[genre] for genre in found.genres)
    if conflicts == "first":
        why += "".join(f"; kept as {rows.names[row]}" for row in kept)
    for row in found.rows:
        genre = int(rows.genre_R[row])
        if row in kept:
            continue
        if genre in in_kept_genre or conflicts == "multi":
            refused[row] = _copy_of(rows, row, in_kept_genre.get(genre, kept[0]))
        else:  # `drop`, or `first` in another genre
            refused[row] = _SEVERAL_GENRES, why
    return refused


def _refuse_what_is_in_test(rows: Rows) -> Refused:
    in_test = np.flatnonzero(rows.in_test_R)
    pictures, firsts = np.unique(rows.picture_R[in_test], return_index=True)
    first_of = dict(zip(pictures.tolist(), in_test[firsts].tolist(), strict=True))
    leaks = np.flatnonzero(~rows.in_test_R & np.isin(rows.picture_R, pictures))
    return {
        row: (_IN_TEST, f"of {rows.names[first_of[int(rows.picture_R[row])]]}")
        for row in leaks.tolist()
    }


def _split_off_single(order: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return entries of `order` with values of their own, nearly all of them, and the others."""
    change = np.ones(len(order) + 1, dtype=bool)
    change[1:-1] = values[1:] != values[:-1]
    single = change[1:] & change[:-1]
    return order[single], order[~single]


def _runs(order: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Cut `order` where `values` change."""
    return np.split(order, np.flatnonzero(values[1:] != values[:-1]) + 1) if len(order) else []


def _copy_of(rows: Rows, row: int, kept: int) -> tuple[str, str]:
    same = rows.pixels_R[row] == rows.pixels_R[kept]
    return (_COPY if same else _NEAR_COPY), f"of {rows.names[kept]}"


def _draw(choices: int, seed: int, cover_id: str) -> int:
    """Draw by picture, so that no genre is favoured and nothing else matters."""
    digest = hashlib.blake2b(f"genre {seed} {cover_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % choices
