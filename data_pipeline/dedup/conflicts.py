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
    order = left[np.lexsort((left, rows.rank_R[left], rows.genre_R[left], rows.picture_R[left]))]
    genres_of: dict[int, tuple[int, ...]] = {}
    alone, order = _split_off_single(order, rows.picture_R[order])
    kept = dict(zip(alone.tolist(), rows.genre_R[alone].tolist(), strict=True))
    for of_picture in _runs(order, rows.picture_R[order]):
        by_genre = _runs(of_picture, rows.genre_R[of_picture])
        best = [int(of_genre[0]) for of_genre in by_genre]
        genres = tuple(int(rows.genre_R[row]) for row in best)
        if len(genres) > 1 and conflicts in ("drop", "first"):
            winner = _first_winner(of_picture, by_genre) if conflicts == "first" else None
            refused |= _refuse_conflicting(rows, of_picture, genres, winner)
            best = [winner] if winner is not None else []
        elif len(genres) > 1 and conflicts == "multi":
            best = [min(best, key=lambda row: (int(rows.rank_R[row]), row))]
            genres_of[best[0]] = genres
            kept[best[0]] = genres[_draw(len(genres), seed, rows.cover_ids[best[0]])]
        for row in best:
            kept.setdefault(row, int(rows.genre_R[row]))
        for row in of_picture.tolist():
            if row not in kept and row not in refused:
                same_genre = [other for other in best if rows.genre_R[other] == rows.genre_R[row]]
                refused[row] = _copy_of(rows, row, (same_genre or best)[0])
    chosen = np.array(sorted(kept), dtype=np.int64)
    genre_N = np.array([kept[row] for row in chosen.tolist()], dtype=np.int64)
    return Kept(chosen, genre_N, genres_of), refused


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
    """Entries of `order` with values of their own, nearly all of them, and the others."""
    change = np.ones(len(order) + 1, dtype=bool)
    change[1:-1] = values[1:] != values[:-1]
    single = change[1:] & change[:-1]
    return order[single], order[~single]


def _runs(order: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Cut `order` where `values` change."""
    return np.split(order, np.flatnonzero(values[1:] != values[:-1]) + 1) if len(order) else []


def _first_winner(of_picture: np.ndarray, by_genre: list[np.ndarray]) -> int:
    """The best copy in the genre of the first row."""
    return next(int(rows[0]) for rows in by_genre if of_picture.min() in rows)


def _refuse_conflicting(
    rows: Rows, of_picture: np.ndarray, genres: tuple[int, ...], winner: int | None
) -> Refused:
    """Refuse a picture in several genres, but in the genre of the winner, if there is one."""
    why = ", ".join(rows.genres[genre] for genre in genres)
    if winner is None:
        return dict.fromkeys(of_picture.tolist(), (_SEVERAL_GENRES, why))
    others = of_picture[rows.genre_R[of_picture] != rows.genre_R[winner]]
    why += f"; kept as {rows.names[winner]}"
    return dict.fromkeys(others.tolist(), (_SEVERAL_GENRES, why))


def _copy_of(rows: Rows, row: int, kept: int) -> tuple[str, str]:
    same = rows.pixels_R[row] == rows.pixels_R[kept]
    return (_COPY if same else _NEAR_COPY), f"of {rows.names[kept]}"


def _draw(choices: int, seed: int, cover_id: str) -> int:
    """Draw by picture, so that no genre is favoured and nothing else matters."""
    digest = hashlib.blake2b(f"genre {seed} {cover_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % choices
