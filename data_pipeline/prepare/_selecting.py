"""Between the two passes: which of the normalised files become covers, and which belong together.

In this order: files without genre are refused, blank pictures, copies are found, placeholders are
refused, conflicting labels settled, what belongs together grouped, and what would leak into the
listing's own test split refused. Everything here works on columns, never on pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from covertune.data_pipeline.dedup import conflicts, placeholders
from covertune.data_pipeline.dedup.candidates import Candidates
from covertune.data_pipeline.dedup.conflicts import Kept, Labels, Refused, Rows, count_labels
from covertune.data_pipeline.dedup.groups import union_groups
from covertune.data_pipeline.dedup.near import find_near_copies
from covertune.data_pipeline.dedup.signature import Pictures, colours, dct_coefficients
from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.prepare._normalising import NormalisedSources
from covertune.data_pipeline.sources import Source
from covertune.data_pipeline.store.schema import PrepareSettings
from covertune.wording import few

__all__ = ["Selection", "select_covers"]

_NO_GENRE = ("no genre", "neither its folder nor its row in a table names one")
_UNREACHABLE = "address that cannot be asked"
_BLANK = ("nearly blank", "nothing can be seen on it")
_COLOURFUL = 3  # levels; compression gives grey pictures less
_PLACEHOLDER = "placeholder"
_TIED_TO_TEST = "belongs to a cover in the official test split"

Compare = Callable[[Candidates, np.ndarray], np.ndarray]
"""Looks at pairs of distinct pictures closely; the second argument gives the source of each."""


@dataclass(frozen=True)
class Selection:
    """What becomes of N covers that are kept, and of all others.

    Attributes:
        sources: Index of the source of each cover kept, ascending.
        genres: The K genre names of covers kept, sorted.
        labels: Primary genre of each, as an index into `genres`.
        all_genres: All genres of each, names sorted.
        groups: Name of the group of each.
        in_test: Whether each is in the listing's own test split.
        official_split: Whether the listing has one.
        refused: For each other source the reason, and what is particular to it.
        found: The labels as they were found, placeholders left out.
        kept_ceiling: `Labels.ceiling` of the labels as they are kept.
    """

    sources: np.ndarray
    genres: list[str]
    labels: np.ndarray
    all_genres: list[list[str]]
    groups: list[str]
    in_test: np.ndarray
    official_split: bool
    refused: Refused
    found: Labels
    kept_ceiling: float


def select_covers(
    sources: Sequence[Source],
    normalised: NormalisedSources,
    settings: PrepareSettings,
    compare: Compare,
) -> Selection:
    """Choose the covers.

    Args:
        sources: As found, in natural order.
        normalised: What became of them.
        settings: How.
        compare: Looks at pairs closely; asked only where `settings.near_copies`.

    Raises:
        SourceError: Some rows only have an official split.
    """
    official = _has_official_split(sources)
    refused = _refuse_unusable(sources, normalised)
    usable = np.array([row for row in range(len(sources)) if row not in refused], dtype=np.int64)
    rows, links_L2 = _find_copies(sources, normalised, usable, settings, compare)
    keys = [sources[row].keys for row in usable.tolist()]

    stand_ins = _refuse_placeholders(rows, keys)
    refused |= {int(usable[row]): why for row, why in stand_ins.items()}
    left = np.delete(np.arange(len(usable)), list(stand_ins))
    rows, usable, keys = rows.some(left), usable[left], [keys[row] for row in left.tolist()]

    kept, conflicting = conflicts.resolve(rows, settings.conflicts, settings.seed)
    refused |= {int(usable[row]): why for row, why in conflicting.items()}
    groups = _group(rows, kept, keys, links_L2)
    kept, tied = _keep_test_apart(rows, kept, groups)
    refused |= {int(usable[row]): why for row, why in tied.items()}
    return _selection(rows, kept, groups, usable, official, refused)


def _find_copies(
    sources: Sequence[Source],
    normalised: NormalisedSources,
    usable: np.ndarray,
    settings: PrepareSettings,
    compare: Compare,
) -> tuple[Rows, np.ndarray]:
    """Return usable sources as rows, those of the same picture tied; and all pairs of copies.

    Pictures are numbered in the order of their ids, whatever that of the sources.
    """
    ids = np.array(normalised.table["cover_id"].to_pylist(), dtype=str)[usable]
    distinct, first_row, pixels_R = np.unique(ids, return_index=True, return_inverse=True)
    shown_by = usable[first_row]
    rank = _rank(normalised, shown_by)
    centre, links_L2 = np.arange(len(distinct)), np.empty((0, 2), dtype=np.int64)
    if settings.near_copies and len(distinct) > 1:
        near = find_near_copies(
            Pictures(dct_coefficients(normalised.signatures_ND), shown_by),
            rank,
            lambda pairs: compare(pairs, shown_by),
        )
        centre, links_L2 = near.centre_N, near.links_L2
    listed = [sources[row] for row in usable.tolist()]
    genres = sorted({source.genre for source in listed})
    number_of = {genre: number for number, genre in enumerate(genres)}
    rows = Rows(
        genres=genres,
        genre_R=np.array([number_of[source.genre] for source in listed], dtype=np.int64),
        picture_R=centre[pixels_R],
        pixels_R=pixels_R,
        rank_R=rank[pixels_R],
        in_test_R=np.array([source.split == "test" for source in listed], dtype=bool),
        names=[source.source for source in listed],
        cover_ids=distinct[pixels_R].tolist(),
    )
    return rows, links_L2


def _refuse_placeholders(rows: Rows, keys: Sequence[tuple[str, ...]]) -> Refused:
    standing = placeholders.stand_for_many(rows.picture_R, rows.genre_R, keys)
    no_cover = np.flatnonzero(np.isin(rows.picture_R, list(standing)))
    return {row: (_PLACEHOLDER, standing[int(rows.picture_R[row])]) for row in no_cover.tolist()}


def _has_official_split(sources: Sequence[Source]) -> bool:
    without = [source.source for source in sources if source.split is None]
    if without and len(without) < len(sources):
        raise SourceError(
            f"either all rows name an official split or none does, {len(without)} of "
            f"{len(sources)} name none, such as {few(without[:1])}; fill the column or leave it out"
        )
    return not without


def _refuse_unusable(sources: Sequence[Source], normalised: NormalisedSources) -> Refused:
    blank = placeholders.blank(normalised.signatures_ND)
    refused: Refused = {}
    reasons = zip(
        normalised.table["reason"].to_pylist(), normalised.table["detail"].to_pylist(), strict=True
    )
    for row, (source, (reason, detail)) in enumerate(zip(sources, reasons, strict=True)):
        if source.problem:
            refused[row] = _UNREACHABLE, source.problem
        elif reason:
            refused[row] = reason, detail
        elif not source.genre:
            refused[row] = _NO_GENRE
        elif blank[row]:
            refused[row] = _BLANK
    return refused


def _rank(normalised: NormalisedSources, shown_by: np.ndarray) -> np.ndarray:
    """Rank distinct pictures: colour before grey, then the largest, then the most bytes."""
    grey = colours(normalised.signatures_ND[shown_by]) < _COLOURFUL
    width, height, length = (
        normalised.table[name].to_numpy()[shown_by] for name in ("width", "height", "length")
    )
    rank = np.empty(len(shown_by), dtype=np.int64)
    rank[np.lexsort((-length, -width * height, grey))] = np.arange(len(shown_by))
    return rank


def _group(
    rows: Rows, kept: Kept, keys: Sequence[tuple[str, ...]], links_L2: np.ndarray
) -> list[str]:
    """Name the group of each cover kept: by the least cover id in it."""
    shown = np.unique(rows.pixels_R[kept.rows])
    between_kept = links_L2[np.isin(links_L2, shown).all(axis=1)]
    pictures = int(max(rows.pixels_R.max(initial=0), links_L2.max(initial=0))) + 1
    centre_of = np.arange(pictures)
    centre_of[rows.pixels_R] = rows.picture_R
    group_of = union_groups(
        pictures, zip(rows.picture_R.tolist(), keys, strict=True), centre_of[between_kept]
    )
    of_kept = group_of[rows.picture_R[kept.rows]].tolist()
    least: dict[int, str] = {}
    for row, group in zip(kept.rows.tolist(), of_kept, strict=True):
        least[group] = min(least.get(group, rows.cover_ids[row]), rows.cover_ids[row])
    return [least[group] for group in of_kept]


def _keep_test_apart(rows: Rows, kept: Kept, groups: list[str]) -> tuple[Kept, Refused]:
    """Refuse what shares a group with a cover of the official test split and is not in it."""
    in_test = rows.in_test_R[kept.rows]
    first_in_test: dict[str, int] = {}
    for at in np.flatnonzero(in_test).tolist():
        first_in_test.setdefault(groups[at], int(kept.rows[at]))
    leaks = [at for at in np.flatnonzero(~in_test).tolist() if groups[at] in first_in_test]
    refused: Refused = {
        int(kept.rows[at]): (_TIED_TO_TEST, f"to {rows.names[first_in_test[groups[at]]]}")
        for at in leaks
    }
    stay = np.delete(np.arange(len(kept.rows)), leaks)
    groups[:] = [groups[at] for at in stay.tolist()]
    return Kept(kept.rows[stay], kept.genre_N[stay], kept.genres_of), refused


def _selection(
    rows: Rows,
    kept: Kept,
    groups: list[str],
    usable: np.ndarray,
    official: bool,
    refused: Refused,
) -> Selection:
    all_genres = list(_all_genres(kept))
    names = sorted({rows.genres[genre] for genre in kept.genre_N.tolist()})
    label_of = {name: label for label, name in enumerate(names)}
    pictures = np.repeat(rows.picture_R[kept.rows], [len(of_row) for of_row in all_genres])
    flat = np.array([genre for of_row in all_genres for genre in of_row], dtype=np.int64)
    return Selection(
        sources=usable[kept.rows],
        genres=names,
        labels=np.array([label_of[rows.genres[g]] for g in kept.genre_N.tolist()], dtype=np.int64),
        all_genres=[[rows.genres[genre] for genre in of_row] for of_row in all_genres],
        groups=groups,
        in_test=rows.in_test_R[kept.rows],
        official_split=official,
        refused=refused,
        found=count_labels(rows.picture_R, rows.genre_R),
        kept_ceiling=count_labels(pictures, flat).ceiling,
    )


def _all_genres(kept: Kept) -> Iterator[tuple[int, ...]]:
    for row, genre in zip(kept.rows.tolist(), kept.genre_N.tolist(), strict=True):
        yield kept.genres_of.get(row, (genre,))
