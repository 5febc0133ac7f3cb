"""A store as one HTML file that carries everything inside itself.

The markup lies in `page.html.j2` beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup

from covertune.data_pipeline.errors import StoreError
from covertune.data_pipeline.inspect.report import StoreReport, inspect_store
from covertune.data_pipeline.inspect.similar import similar_across_genres
from covertune.data_pipeline.inspect.thumbnails import data_uri, decode_small, images_at, montage
from covertune.data_pipeline.store.cover_store import CoverStore
from covertune.data_pipeline.store.schema import REJECTED_NAME
from covertune.vocabulary import SPLITS
from covertune.whole import write_whole
from covertune.wording import escaped, first_line, reason_of

__all__ = ["write_page"]

_COVERS_A_GENRE = 24
_COLUMNS = 12
_SHEET_PX = 110
_PAIR_PX = 200
_PAIRS = 12
_EXAMPLES = 8
_TEXT_CHARS = 300
_LARGEST_GROUPS = 8
_BINS = 24


@dataclass(frozen=True)
class _Cover:
    """A cover on the page."""

    picture: str
    genre: str
    split: str
    source: str
    group: str


@dataclass(frozen=True)
class _Refusal:
    reason: str
    count: int
    examples: list[tuple[str, ...]]
    """Source and detail of the first few."""


@dataclass(frozen=True)
class _Bar:
    """A bar of a histogram: `share` of the tallest one."""

    label: str
    count: int
    share: float


def write_page(path: Path, out: Path) -> StoreReport:
    """Write a page about a store.

    Contact sheets show training covers; the other splits are only counted, but for pairs that are
    suspiciously alike.

    Args:
        path: The store.
        out: The HTML file to write; one that exists is replaced.

    Returns:
        The figures on the page.

    Raises:
        StoreError: There is no store, it is damaged, or `out` cannot be written.
    """
    report = inspect_store(path)
    store = CoverStore.open(path)
    covers = store.read_columns(["genre", "split", "source", "group", "width", "height"])
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("covertune.data_pipeline", "inspect"),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        report=report,
        splits=SPLITS,
        most_in_a_genre=max(sum(by_split.values()) for by_split in report.counts.values()),
        widths=_histogram(covers["width"].to_numpy()),
        heights=_histogram(covers["height"].to_numpy()),
        aspects=_histogram(covers["height"].to_numpy() / covers["width"].to_numpy(), digits=2),
        groups=_largest_groups(covers),
        refusals=_refusals(store),
        sheets=_contact_sheets(store, covers),
        pairs=_similar_pairs(store, covers),
    )
    try:
        write_whole(out, page)
    except OSError as err:
        raise StoreError(
            f"cannot write the page {out}: {reason_of(err)}; choose another file"
        ) from err
    return report


def _visible(value: object) -> object:
    """Return a name with its control characters to be seen; markup that is ours stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return escaped(value)
    return value


def _histogram(values: np.ndarray, digits: int = 0) -> list[_Bar]:
    """Return bars of equal width in what is counted; whole numbers where `digits` is 0."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return [_Bar(f"{low:.{digits}f}", len(values), 1.0)]
    bins = min(_BINS, int(high - low) + 1 if digits == 0 else _BINS)
    counts, edges = np.histogram(values, bins=bins)
    return [
        _Bar(
            label=f"{edges[i]:.{digits}f} to {edges[i + 1]:.{digits}f}",
            count=int(count),
            share=float(count / counts.max()),
        )
        for i, count in enumerate(counts)
    ]


def _largest_groups(covers: pa.Table) -> list[list[str]]:
    """Return the sources of the largest groups, those of several covers only."""
    counts = covers.group_by("group").aggregate([("source", "list"), ("source", "count")])
    several = counts.filter(pc.greater(counts["source_count"], 1))
    ordered = several.sort_by([("source_count", "descending"), ("group", "ascending")])
    return [sorted(sources) for sources in ordered["source_list"][:_LARGEST_GROUPS].to_pylist()]


def _refusals(store: CoverStore) -> list[_Refusal]:
    """Return what was refused, by reason, most first, with a few examples of each."""
    try:
        rejected = pq.read_table(store.path / REJECTED_NAME, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as err:
        raise StoreError(
            f"the store {store.path} is damaged: {REJECTED_NAME}: {first_line(err)}; "
            "prepare it again"
        ) from err
    found = []
    for reason, count in store.manifest.reasons.items():
        of_reason = rejected.filter(pc.equal(rejected["reason"], reason))
        few = of_reason.slice(0, _EXAMPLES)
        examples = zip(few["source"].to_pylist(), few["detail"].to_pylist(), strict=True)
        shown = [tuple(escaped(text, at_most=_TEXT_CHARS) for text in row) for row in examples]
        found.append(_Refusal(reason, count, shown))
    return found


def _contact_sheets(store: CoverStore, covers: pa.Table) -> dict[str, str]:
    """Make a sheet of training covers for each genre. The store's order is a fair one."""
    genres = np.array(covers["genre"].to_pylist())
    in_train = np.array(covers["split"].to_pylist()) == "train"
    chosen = {
        genre: np.flatnonzero((genres == genre) & in_train)[:_COVERS_A_GENRE].tolist()
        for genre in store.genres
    }
    small = {
        place: decode_small(data, _SHEET_PX)
        for place, data in images_at(store, [place for few in chosen.values() for place in few])
    }
    return {
        genre: data_uri(montage([small[place] for place in few], _COLUMNS))
        for genre, few in chosen.items()
    }


def _similar_pairs(store: CoverStore, covers: pa.Table) -> list[tuple[list[_Cover], float, bool]]:
    """Return pairs to look at: the covers, how alike they are, and whether known as a group."""
    pairs = similar_across_genres(store, _PAIRS)
    pictures = {
        place: data_uri(decode_small(data, _PAIR_PX))
        for place, data in images_at(store, [place for pair in pairs for place in pair.places])
    }
    shown = []
    for pair in pairs:
        two = [
            _Cover(pictures[place], **covers.select(_SHOWN).slice(place, 1).to_pylist()[0])
            for place in pair.places
        ]
        shown.append((two, pair.correlation, two[0].group == two[1].group))
    return shown


_SHOWN = ["genre", "split", "source", "group"]
