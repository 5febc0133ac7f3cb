"""Turns a pile of covers into a cover store.

Two passes. In the first, Ray Data reads, checks and normalises every file (`_normalising`). The
driver then decides on names, labels and sizes alone: copies are kept once, a picture that lies in
several genres is refused, splits are drawn. The second pass writes the parts (`_writing`).
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from data_pipeline import _ray, _writing
from data_pipeline._normalising import Outcome, normalise_sources
from data_pipeline._writing import Cover, Rejected
from data_pipeline.errors import SourceError
from data_pipeline.schema import SCHEMA_VERSION, SPLITS, PrepareSettings, Split, StoreManifest
from data_pipeline.sources import Source, find_sources
from data_pipeline.splits import assign_splits

__all__ = ["PrepareSummary", "prepare_store"]

_COPY = "copy of another cover"
_SEVERAL_GENRES = "same picture in several genres"
_NO_GENRE = "no genre"


class PrepareSummary(BaseModel):
    """What a prepare did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="The new store.")
    fingerprint: str = Field(description="SHA-256 of the store's content.")
    found: int = Field(description="Image files or table rows that were looked at.")
    kept: int = Field(description="Covers in the store.")
    rejected: int = Field(description="Files or rows refused; found = kept + rejected.")
    ignored: int = Field(description="Files that are no images by their name; not looked at.")
    reasons: dict[str, int] = Field(description="How many were refused, by reason, most first.")
    pictures: int = Field(description="Distinct pictures found; copies count once.")
    conflicting: int = Field(description="Of these, pictures that lay in several genres.")
    noise_ceiling: float = Field(
        description="Best top-1 any predictor could reach on the labels as found."
    )
    groups: int = Field(description="Groups of covers kept; a group never crosses splits.")
    official_split: bool = Field(description="Whether the listing itself named the test covers.")
    counts: dict[str, dict[Split, int]] = Field(description="Covers per genre and split.")


def prepare_store(
    source: Path,
    out: Path,
    *,
    settings: PrepareSettings | None = None,
    image_column: str | None = None,
    genre_column: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PrepareSummary:
    """Make a cover store.

    The same covers and settings give a store of the same fingerprint, wherever the covers lie and
    on however many CPUs it is made. A file that is no usable picture never stops it.

    Args:
        source: A folder per genre or a table, see `sources.find_sources`.
        out: The store's folder; must not exist yet.
        settings: How; the defaults if not given.
        image_column: The table's column with image paths; found by its name if not given.
        genre_column: The table's column with genres; found by its name if not given.
        progress: Called with (done, total) files.

    Raises:
        SourceError: There are no covers of two genres, or a genre has too few.
        StoreError: `out` exists or cannot be written.
        CapacityError: Ray has no CPU free.
        DataError: Ray cannot be started.
    """
    settings = settings or PrepareSettings()
    source, out = Path(source), Path(out)
    with _writing.new_store_folder(out) as folder:
        found = find_sources(source, image_column=image_column, genre_column=genre_column)
        _ray.ensure_ray()
        spool = folder / "spool"
        spool.mkdir()
        outcomes = normalise_sources(
            found.sources, spool.absolute(), settings.max_px, progress=progress
        )
        kept, rejected = _sift(found.sources, outcomes)
        _require_enough(found.sources, kept, rejected, settings.min_covers)
        covers = _writing.order_in_store(_with_splits(kept, settings))
        parts = _writing.write_parts(folder, covers, spool)
        _writing.write_rejected(folder, rejected)
        manifest = StoreManifest(
            schema_version=SCHEMA_VERSION,
            fingerprint=_writing.fingerprint(covers, settings),
            source=str(source),
            genres=sorted({cover.genre for cover in covers}),
            counts=_count(covers),
            found=len(found.sources),
            kept=len(covers),
            rejected=len(rejected),
            ignored=found.ignored,
            reasons=_most_first(row.reason for row in rejected),
            **_noise(found.sources, outcomes),
            groups=len({cover.group for cover in covers}),
            official_split=False,
            settings=settings,
            parts=parts,
        )
        _writing.write_manifest(folder, manifest)
        shutil.rmtree(spool)
    return PrepareSummary(
        path=out,
        **{name: getattr(manifest, name) for name in PrepareSummary.model_fields if name != "path"},
    )


_Kept = list[tuple[Source, Outcome]]


def _sift(sources: Sequence[Source], outcomes: Sequence[Outcome]) -> tuple[_Kept, list[Rejected]]:
    """Keep each picture once, and none that lies in several genres."""
    first_of: dict[str, Source] = {}
    genres_of: dict[str, set[str]] = defaultdict(set)
    for source, outcome in zip(sources, outcomes, strict=True):
        if not outcome.reason and source.genre:
            first_of.setdefault(outcome.cover_id, source)
            genres_of[outcome.cover_id].add(source.genre)
    kept: _Kept = []
    rejected: list[Rejected] = []
    for source, outcome in zip(sources, outcomes, strict=True):
        reason, detail = outcome.reason, outcome.detail
        if not reason and not source.genre:
            reason, detail = _NO_GENRE, "the table's row names no genre"
        elif not reason and len(genres_of[outcome.cover_id]) > 1:
            reason, detail = _SEVERAL_GENRES, ", ".join(sorted(genres_of[outcome.cover_id]))
        elif not reason and first_of[outcome.cover_id] is not source:
            reason, detail = _COPY, f"of {first_of[outcome.cover_id].source}"
        if reason:
            rejected.append(Rejected(source.source, source.genre, reason, detail))
        else:
            kept.append((source, outcome))
    return kept, rejected


def _noise(sources: Sequence[Source], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How far the labels as found contradict each other."""
    genres_of: dict[str, set[str]] = defaultdict(set)
    for source, outcome in zip(sources, outcomes, strict=True):
        if not outcome.reason and source.genre:
            genres_of[outcome.cover_id].add(source.genre)
    labels = sum(map(len, genres_of.values()))
    return {
        "pictures": len(genres_of),
        "conflicting": sum(len(genres) > 1 for genres in genres_of.values()),
        "noise_ceiling": len(genres_of) / labels,
    }


def _require_enough(
    sources: Sequence[Source], kept: _Kept, rejected: Sequence[Rejected], min_covers: int
) -> None:
    left = Counter(source.genre for source, _ in kept)
    poor = []
    for genre in sorted({source.genre for source in sources} - {""}):
        if left[genre] < min_covers:
            reasons = _most_first(row.reason for row in rejected if row.genre == genre)
            refused = "; ".join(f"{number} {reason}" for reason, number in reasons.items())
            poor.append(
                f"{genre} has {left[genre]}" + (f" (refused: {refused})" if refused else "")
            )
    if poor:
        raise SourceError(
            f"a genre needs at least {min_covers} covers of its own, so that each of "
            f"{', '.join(SPLITS)} gets one; {', '.join(poor)}; add covers or leave the genre out"
        )


def _with_splits(kept: _Kept, settings: PrepareSettings) -> list[Cover]:
    genres = sorted({source.genre for source, _ in kept})
    label_of = {genre: label for label, genre in enumerate(genres)}
    groups = [outcome.cover_id for _, outcome in kept]
    splits = assign_splits(
        [source.genre for source, _ in kept],
        groups,
        val_share=settings.val_share,
        test_share=settings.test_share,
        seed=settings.seed,
    )
    return [
        Cover(
            source.genre,
            (source.genre,),
            label_of[source.genre],
            split,
            group,
            source.source,
            outcome,
        )
        for (source, outcome), group, split in zip(kept, groups, splits, strict=True)
    ]


def _count(covers: Sequence[Cover]) -> dict[str, dict[Split, int]]:
    numbers = Counter((cover.genre, cover.split) for cover in covers)
    genres = sorted({cover.genre for cover in covers})
    return {genre: {split: numbers[genre, split] for split in SPLITS} for genre in genres}


def _most_first(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items(), key=lambda item: (-item[1], item[0])))
