"""The passes of a prepare, one after the other."""

from __future__ import annotations

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from pydantic import Field

from covertune.data_pipeline import filesystems
from covertune.data_pipeline.compat import prints_to
from covertune.data_pipeline.dedup.candidates import Candidates
from covertune.data_pipeline.downloads import DownloadCounts, DownloadSettings, download_all
from covertune.data_pipeline.errors import SourceError, StoreError
from covertune.data_pipeline.filesystems import redact_credentials
from covertune.data_pipeline.local_ray import start_local_ray
from covertune.data_pipeline.prepare import _writing
from covertune.data_pipeline.prepare._comparing import PLACE, compare_in_spool
from covertune.data_pipeline.prepare._normalising import NormalisedSources, normalise_sources
from covertune.data_pipeline.prepare._selecting import Selection, select_covers
from covertune.data_pipeline.prepare._splits import assign_splits
from covertune.data_pipeline.prepare._writing import Rejected
from covertune.data_pipeline.sources import FoundSources, Source, find_sources
from covertune.data_pipeline.store.schema import (
    SCHEMA_VERSION,
    PartInfo,
    PrepareSettings,
    StoreManifest,
    StoreSummary,
)
from covertune.vocabulary import SPLITS, Conflicts, Split
from covertune.wording import few

__all__ = ["PrepareSummary", "prepare_store"]

_log = logging.getLogger(__name__)


class PrepareSummary(StoreSummary):
    """What a prepare did."""

    path: Path = Field(description="The new store.")
    kept: int = Field(description="Covers in the store.")
    conflicts: Conflicts = Field(description="What was done with pictures in several genres.")
    kept_ceiling: float = Field(description="The noise ceiling of the labels as they were kept.")
    downloads: DownloadCounts | None = Field(
        default=None, description="What became of web addresses; nothing if there were none."
    )
    notes: tuple[str, ...] = Field(
        default=(), description="What was left out before any file was looked at, in words."
    )

    @classmethod
    def of(
        cls,
        manifest: StoreManifest,
        path: Path,
        downloads: DownloadCounts | None,
        notes: tuple[str, ...] = (),
    ) -> Self:
        """Sum up what a manifest tells of the prepare that wrote it."""
        return cls(
            **manifest.summary(),
            path=path,
            kept=manifest.kept,
            conflicts=manifest.settings.conflicts,
            kept_ceiling=manifest.kept_ceiling,
            downloads=downloads,
            notes=notes,
        )


def prepare_store(
    source: str | Path,
    out: Path,
    *,
    settings: PrepareSettings | None = None,
    image_column: str | None = None,
    genre_column: str | None = None,
    split_column: str | None = None,
    key_columns: Sequence[str] = (),
    encoding: str | None = None,
    downloads: DownloadSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
    download_progress: Callable[[int, int], None] | None = None,
) -> PrepareSummary:
    """Make a cover store.

    The same covers and settings give a store of the same fingerprint, wherever the covers lie and
    on however many CPUs it is made. A file that is no usable picture never stops it.

    Args:
        source: A folder per genre, a table or a listing, see `sources.find_sources`.
        out: The store's folder; must not exist yet.
        settings: How; the defaults if not given.
        image_column: The table's column with image paths; found by its name if not given.
        genre_column: The table's column with genres; found by its name if not given.
        split_column: The table's column with the official split.
        key_columns: Columns whose equal values tell that covers belong together.
        encoding: Of a text table.
        downloads: How web addresses are downloaded; the defaults if not given.
        progress: Called with (done, total) files.
        download_progress: Called with (done, total) web addresses before that, if there are any.

    Raises:
        SourceError: There are no covers of two genres, or a genre has too few.
        StoreError: `out` exists, cannot be written, or lies inside the folder `source`.
        CapacityError: Ray has no CPU free.
        DataError: Ray cannot be started.
    """
    settings, out = settings or PrepareSettings(), Path(out)
    _require_outside(source, out)
    _writing.require_new(out)
    found = find_sources(
        source,
        image_column=image_column,
        genre_column=genre_column,
        split_column=split_column,
        key_columns=key_columns,
        encoding=encoding,
    )
    start_local_ray()
    with _writing.new_store_folder(out) as folder, prints_to(_log.info):
        counts = _download(found.sources, out, downloads or DownloadSettings(), download_progress)
        kept_downloads = counts.folder if counts else None
        shown = redact_credentials(str(source))
        manifest = _write_store(folder, found, shown, settings, kept_downloads, progress)
    return PrepareSummary.of(manifest, out, counts, found.notes)


def _require_outside(source: str | Path, out: Path) -> None:
    """Make sure that a store does not become part of what it is made of.

    Raises:
        StoreError: It would.
    """
    location = str(source)
    if filesystems.is_uri(location):
        if not location.lower().startswith("file:///"):
            return
        location = unquote(location[len("file://") :].partition("?")[0])
    try:
        covers, store = Path(location).resolve(), out.resolve()
        inside = covers.is_dir() and store.is_relative_to(covers) and not out.exists()
    except (OSError, RuntimeError, ValueError):  # such as a link to itself; told where it is read
        return
    if inside:
        raise StoreError(
            f"a store must lie outside of the folder it is made of, {out} is inside "
            f"{covers}; choose another place for it"
        )


def _download(
    sources: Sequence[Source],
    out: Path,
    settings: DownloadSettings,
    progress: Callable[[int, int], None] | None,
) -> DownloadCounts | None:
    """Bring what lies at web addresses; nothing is made or said if there is nothing."""
    urls = [entry.path for entry in sources if filesystems.is_web_address(entry.path)]
    if not urls:
        return None
    folder = settings.folder or out.absolute().parent / ".covertune-downloads"
    return download_all(urls, folder, settings, progress)


def _write_store(
    folder: Path,
    found: FoundSources,
    shown: str,
    settings: PrepareSettings,
    downloads: Path | None,
    progress: Callable[[int, int], None] | None,
) -> StoreManifest:
    """Write a store into a folder; `shown` is what it is made of, for people.

    Normalised pictures wait in `spool/`, a folder of the store to be, until it is known which of
    them become covers of which split.
    """
    spool = (folder / "spool").absolute()
    spool.mkdir()
    normalised = normalise_sources(
        found.sources, spool, settings.max_px, progress=progress, downloads=downloads
    )

    def compare(pairs: Candidates, shown_by: np.ndarray) -> np.ndarray:
        return compare_in_spool(pairs, normalised.table.select(PLACE).take(shown_by), spool)

    chosen = select_covers(found.sources, normalised, settings, compare)
    rejected = rejected_rows(found.sources, chosen)
    _require_enough(found.sources, chosen, rejected, settings.min_covers)
    covers = _writing.order_in_store(_covers(found.sources, normalised, chosen, settings))
    parts = _writing.write_parts(folder, covers, spool)
    _writing.write_rejected(folder, rejected)
    shutil.rmtree(spool)
    manifest = make_manifest(found, shown, settings, chosen, covers, rejected, parts)
    _writing.write_manifest(folder, manifest)
    return manifest


def rejected_rows(sources: Sequence[Source], chosen: Selection) -> list[Rejected]:
    """Return the rows of `rejected.parquet`, in the order of the sources."""
    return [
        Rejected(sources[row].source, sources[row].genre, *why)
        for row, why in sorted(chosen.refused.items())
    ]


def make_manifest(
    found: FoundSources,
    shown: str,
    settings: PrepareSettings,
    chosen: Selection,
    covers: pa.Table,
    rejected: Sequence[Rejected],
    parts: list[PartInfo],
) -> StoreManifest:
    """Sum up what a prepare found, kept and refused; arguments as in `_write_store`."""
    return StoreManifest(
        schema_version=SCHEMA_VERSION,
        fingerprint=_writing.fingerprint(covers, settings),
        source=shown,
        genres=chosen.genres,
        counts=_count(covers),
        found=len(found.sources),
        kept=len(covers),
        rejected=len(rejected),
        ignored=found.ignored,
        reasons=_most_first(row.reason for row in rejected),
        pictures=chosen.found.pictures,
        conflicting=chosen.found.conflicting,
        noise_ceiling=chosen.found.ceiling,
        kept_ceiling=chosen.kept_ceiling,
        groups=len(set(chosen.groups)),
        official_split=chosen.official_split,
        settings=settings,
        parts=parts,
    )


def _require_enough(
    sources: Sequence[Source], chosen: Selection, rejected: Sequence[Rejected], min_covers: int
) -> None:
    """Make sure that each genre has a group for each split."""
    groups: dict[str, set[str]] = defaultdict(set)
    in_test: dict[str, set[str]] = defaultdict(set)
    for label, group, tests in zip(chosen.labels, chosen.groups, chosen.in_test, strict=True):
        groups[chosen.genres[label]].add(group)
        if tests:
            in_test[chosen.genres[label]].add(group)
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rejected:
        reasons[row.genre].append(row.reason)
    poor, untested = [], []
    for genre in sorted({source.genre for source in sources} - {""}):
        if len(groups[genre]) < min_covers:
            refused = _most_first(reasons[genre]).items()
            why = few((f"{number:,} with {reason!r}" for reason, number in refused), separator="; ")
            shown = few([genre])
            poor.append(f"{shown} has {len(groups[genre])}" + (f" (refused: {why})" if why else ""))
        elif chosen.official_split and not 0 < len(in_test[genre]) <= len(groups[genre]) - 2:
            untested.append(
                f"{few([genre])} has {len(in_test[genre])} of {len(groups[genre])} groups in `test`"
            )
    if poor:
        raise SourceError(
            f"a genre needs at least {min_covers} groups of covers, so that each of "
            f"{', '.join(SPLITS)} gets one; {few(poor, item_chars=None)}; add covers or leave the "
            "genre out"
        )
    if untested:
        raise SourceError(
            "with an official split a genre needs a group of covers in `test`, and two outside for "
            f"`train` and `val`; {few(untested, item_chars=None)}; leave the genre or the split "
            "column out"
        )


def _covers(
    sources: Sequence[Source],
    normalised: NormalisedSources,
    chosen: Selection,
    settings: PrepareSettings,
) -> pa.Table:
    """Return the covers as `_writing.write_parts` wants them, in the order of the sources."""
    of_outcome = normalised.table.select(["cover_id", "width", "height", *PLACE])
    columns = {name: of_outcome[name].take(chosen.sources) for name in of_outcome.column_names}
    columns["genre"] = pa.array([chosen.genres[label] for label in chosen.labels], pa.string())
    columns["genres"] = pa.array(chosen.all_genres, pa.list_(pa.string()))
    columns["label"] = pa.array(chosen.labels)
    columns["split"] = pa.array(_splits(chosen, settings), pa.string())
    columns["group"] = pa.array(chosen.groups, pa.string())
    columns["source"] = pa.array([sources[row].source for row in chosen.sources.tolist()])
    return pa.table(columns)


def _splits(chosen: Selection, settings: PrepareSettings) -> list[Split]:
    """Draw the splits; the covers of an official test split stay in it."""
    shares: dict[Split, float] = {"train": 1.0 - settings.val_share, "val": settings.val_share}
    if not chosen.official_split:
        shares["train"] -= settings.test_share
        shares["test"] = settings.test_share
    splits: list[Split] = ["test"] * len(chosen.groups)
    drawn = np.flatnonzero(~chosen.in_test).tolist()
    choices = assign_splits(
        [chosen.all_genres[at] for at in drawn],
        [chosen.groups[at] for at in drawn],
        shares=shares,
        seed=settings.seed,
    )
    for at, split in zip(drawn, choices, strict=True):
        splits[at] = split
    return splits


def _count(covers: pa.Table) -> dict[str, dict[Split, int]]:
    numbers = Counter(zip(covers["genre"].to_pylist(), covers["split"].to_pylist(), strict=True))
    genres = sorted({genre for genre, _ in numbers})
    return {genre: {split: numbers[genre, split] for split in SPLITS} for genre in genres}


def _most_first(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items(), key=lambda item: (-item[1], item[0])))
