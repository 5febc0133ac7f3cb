"""How things look on the terminal: outcome, stores, backbones; trials: `_trial_tables.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from covertune.vocabulary import SPLITS, Split
from covertune.wording import counted, escaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from covertune.data_pipeline import PrepareSummary, StoreReport
    from covertune.models import Backbone, Recipe
    from covertune.search.events import ProbeReport
    from covertune.search.finish.outcome import Outcome, Score
    from covertune.search.use.evaluate import Evaluation

__all__ = [
    "backbones_table",
    "evaluation_table",
    "input_size",
    "outcome_table",
    "plain_table",
    "prepare_table",
    "store_table",
]

_GENRE_CHARS = 80


def plain_table(*headers: str, left: int = 1, wide: str | None = None) -> Table:
    """Make a table without lines.

    Args:
        *headers: Of columns that keep their width.
        left: How many of them, from the first, are set to the left; the others to the right.
        wide: Header of one more column, cut where the terminal ends.
    """
    table = Table(
        box=None, pad_edge=False, header_style="dim", expand=wide is not None, padding=(0, 2, 0, 0)
    )
    for position, header in enumerate(headers):
        table.add_column(header, justify="left" if position < left else "right", no_wrap=True)
    if wide is not None:
        table.add_column(wide, no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def input_size(of: Recipe | ProbeReport) -> str:
    """Return the size and fit of what a model takes; squashing goes without saying."""
    return f"{of.image_px} px" + ("" if of.fit == "squash" else f" ({of.fit})")


def outcome_table(outcome: Outcome) -> Table:
    """Show untuned, probe, best trial and, where it is another one, the exported model."""
    several = [] if outcome.best.test.any_top1 is None else ["any genre"]
    table = plain_table("top-1", "trial", "validation", "test", "95 % interval", "top-3", *several)
    table.columns[0].no_wrap = False  # figures keep their place on a narrow terminal
    scores = [outcome.untuned, outcome.probe, outcome.best_trial]
    if outcome.best != outcome.best_trial:
        scores.append(outcome.best)
    for score in scores:
        if score is not None:
            _add_score(table, score, is_model=score is scores[-1])
    return table


def _add_score(table: Table, score: Score, *, is_model: bool) -> None:
    low, high = score.test.top1_interval
    any_top1 = score.test.any_top1
    table.add_row(
        escaped(score.what) + (", the model" if is_model else ""),
        "-" if score.trial is None else str(score.trial),
        f"{score.val_top1:.3f}",
        f"{score.test.top1:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{score.test.top3:.3f}",
        *([] if any_top1 is None else [f"{any_top1:.3f}"]),
        style="bold" if is_model else None,
    )


def evaluation_table(evaluation: Evaluation) -> Table:
    """Show one figure a line."""
    low, high = evaluation.top1_interval
    table = plain_table("", "")
    table.show_header = False
    table.add_row(f"covers ({evaluation.split})", f"{evaluation.n:,}")
    titles = evaluation.titles()
    for metric, value in evaluation.values.items():
        table.add_row(titles[metric], f"{value:.3f}")
        if metric == "top1":
            table.add_row("  95 % interval", f"{low:.3f} to {high:.3f}")
    table.add_row("calibration error", f"{evaluation.ece:.3f}")
    return table


def _genre_rows(table: Table, covers: Mapping[str, Mapping[Split, int]]) -> None:
    """Add genre lines and a total."""
    for genre, by_split in covers.items():
        counts = [by_split.get(split, 0) for split in SPLITS]
        table.add_row(
            Text(escaped(genre, at_most=_GENRE_CHARS)),
            *(f"{count:,}" for count in counts),
            f"{sum(counts):,}",
        )
    totals = [sum(by_split.get(split, 0) for by_split in covers.values()) for split in SPLITS]
    table.add_row("all", *(f"{count:,}" for count in totals), f"{sum(totals):,}", style="bold")


def _reason_rows(table: Table, reasons: dict[str, int]) -> None:
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1]):
        table.add_row(Text(f"refused: {escaped(reason)}"), "", "", "", f"{count:,}", style="yellow")


def prepare_table(summary: PrepareSummary) -> Table:
    """Show what `data prepare` did."""
    table = plain_table("genre", *SPLITS, "covers")
    _genre_rows(table, summary.counts)
    _reason_rows(table, summary.reasons)
    caption = (
        f"{counted(summary.found, 'file')} found, {counted(summary.kept, 'cover')} kept, "
        f"{summary.rejected:,} refused; fingerprint {summary.fingerprint[:12]}\n"
        f"{_labels_in_words(summary)}"
    )
    if summary.downloads is not None:
        counts = summary.downloads
        caption += (
            f"\n{counts.downloaded:,} downloaded, {counts.cached:,} had been before, "
            f"{counts.failed:,} failed; kept in {escaped(counts.folder)}"
        )
    table.caption, table.caption_justify = Text(caption), "left"
    return table


def _labels_in_words(summary: PrepareSummary) -> str:
    """Say what the labels are worth, and what was done about those that contradict each other."""
    pictures = counted(summary.pictures, "distinct picture")
    words = f"{pictures} found, in {counted(summary.groups, 'group')}"
    if summary.official_split:
        words += "; test split as listed"
    if not summary.conflicting:
        return words
    done = {
        "drop": "refused",
        "first": "kept in the genre that came first",
        "keep": "kept in each genre",
        "multi": "kept once with all their genres",
    }[summary.conflicts]
    return (
        f"{words}; {summary.conflicting:,} in several genres, {done}\n"
        f"top-1 possible at best: {summary.noise_ceiling:.3f} on the labels as "
        f"found, {summary.kept_ceiling:.3f} as kept"
    )


def store_table(report: StoreReport) -> Table:
    """Show what a store holds."""
    table = plain_table("genre", *SPLITS, "covers")
    _genre_rows(table, report.counts)
    _reason_rows(table, report.reasons)
    width, height = report.width_px, report.height_px
    caption = (
        f"{_ceiling_in_words(report)}\n"
        f"{counted(report.covers, 'cover')} in {counted(report.groups, 'group')}, "
        f"{report.bytes / 1e6:,.1f} MB; "
        f"width {width.min} to {width.max} px (median {width.median:.0f}), "
        f"height {height.min} to {height.max} px (median {height.median:.0f})\n"
        f"from {escaped(report.source)}, seed {report.settings.seed}; "
        f"schema {report.schema_version}, fingerprint {escaped(report.fingerprint[:12])}"
    )
    table.caption, table.caption_justify = Text(caption), "left"
    return table


def _ceiling_in_words(report: StoreReport) -> str:
    pictures = counted(report.pictures, "distinct picture")
    if not report.conflicting:
        return f"{pictures} found, none of them in several genres"
    return (
        f"{pictures} found, {report.conflicting:,} of them in several genres: nobody can be right "
        f"on more than {report.noise_ceiling:.1%} of the labels found"
    )


def backbones_table(found: list[Backbone]) -> Table:
    """Show a backbone a line, and its name whole: it is what other commands are given.

    Its source is the first word of its weights. All of a licence, where there is more to it, is in
    the JSON.
    """
    table = plain_table("name", "M params", "GFLOPs", "px", "licence", wide="weights")
    table.columns[0].min_width = max((len(backbone.name) for backbone in found), default=0)
    for backbone in found:
        table.add_row(
            escaped(backbone.name),
            "-" if backbone.parameters is None else f"{backbone.parameters / 1e6:.1f}",
            "-" if backbone.gflops is None else f"{backbone.gflops:.2f}",
            str(backbone.input.image_px),
            backbone.licence.split(",")[0],
            backbone.weights,
        )
    return table
