"""`covertune data sample | prepare | inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covertune.search.cli.render.console import console, print_json
from covertune.vocabulary import Conflicts
from covertune.wording import as_message, counted, escaped, few, quoted_path, sentences

if TYPE_CHECKING:
    from covertune.data_pipeline import PrepareSettings

__all__ = ["app"]

app = typer.Typer(
    name="data",
    help="Turn covers into a store a search can use, and look into one.",
    no_args_is_help=True,
)


@app.command()
def sample(
    out: Annotated[Path, typer.Argument(help="Folder to make, a sub-folder per genre.")],
    covers_per_genre: Annotated[int, typer.Option(help="Covers of each genre.")] = 150,
    genres: Annotated[int, typer.Option(help="How many genres.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other covers.")] = 0,
) -> None:
    """Draw generated covers, so that everything can be tried without a download.

    Examples:
      covertune data sample my-covers

      covertune data prepare my-covers my-store
    """
    from covertune.data_pipeline.sample import draw_sample
    from covertune.search.cli.render.progress import progress_bar

    with progress_bar("drawing covers") as progress:
        summary = draw_sample(
            out, covers_per_genre=covers_per_genre, genres=genres, seed=seed, progress=progress
        )
    console.out(
        f"{counted(summary.covers, 'cover')} of {len(summary.genres)} genres in {escaped(out)}: "
        f"{few(summary.genres, at_most=12)}\n"
        f"next:  covertune data prepare {quoted_path(out)} STORE",
        highlight=False,
    )


@app.command()
def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder with a sub-folder per genre, table, or listing of BookCover30; a path or "
            "an address file://, s3://, gs://, hdfs://."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Store to make.")],
    image_column: Annotated[
        str | None,
        typer.Option(help="Column of the image paths or URLs in a table. Default: found by name."),
    ] = None,
    genre_column: Annotated[
        str | None, typer.Option(help="Column of the genres in a table. Default: found by name.")
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(help="Column of an official train and test split in a table. Default: none."),
    ] = None,
    key_column: Annotated[
        list[str] | None,
        typer.Option(
            help="Column whose equal values keep covers on one side of the split; can be given "
            "several times. Default: isbn, isbn13, isbn10, asin where they are there."
        ),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of a table that is not UTF-8, such as latin-1.")
    ] = None,
    downloads: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps downloads, for later runs too. Default: a hidden one "
            "beside OUT."
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask again for URLs that answered HTTP 404 and such."),
    ] = False,
    per_host: Annotated[
        int, typer.Option(min=1, help="Most downloads from one host at the same time.")
    ] = 16,
    max_px: Annotated[
        int, typer.Option(min=16, help="Covers are shrunk until their shorter side is this.")
    ] = 256,
    val_share: Annotated[float, typer.Option(help="Share of the validation split.")] = 0.15,
    test_share: Annotated[float, typer.Option(help="Share of the test split.")] = 0.15,
    min_covers: Annotated[
        int, typer.Option(min=3, help="Fewest covers, near copies counted once, of a genre.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    conflicts: Annotated[
        Conflicts,
        typer.Option(
            help="A picture in several genres: `drop` refuses it, `first` keeps it in the genre "
            "whose copy comes first, `keep` in each of them, `multi` once with all its genres."
        ),
    ] = "drop",
    near_copies: Annotated[
        bool,
        typer.Option(
            help="Whether pictures that differ by scaling, compression, colour or a small crop "
            "count as one, or only those of equal pixels."
        ),
    ] = True,
) -> None:
    """Turn covers into a store: decoded once, copies merged, split without leaks.

    A file that cannot be used is refused with a reason and never stops the work.

    Downloads are kept: after an interruption the same command goes on from them.

    Examples:
      A folder per genre, also deep in an unzipped archive (Kaggle's Book Covers):

      covertune data prepare covers/ my-store

      BookCover30 or 32, images beside it or downloaded, official split:

      covertune data prepare book-dataset/Task1 my-store

      A table (.csv, .tsv, .parquet, .jsonl) of paths or URLs and genres:

      covertune data prepare covers.csv my-store --genre-column category

      covertune data prepare books.jsonl my-store --image-column cover_url

      On S3, Google Cloud Storage or HDFS, also for paths in a table:

      covertune data prepare s3://bucket/covers my-store

      Covers that lie in several genres, kept with all of them:

      covertune data prepare covers/ my-store --conflicts multi
    """
    from covertune.data_pipeline import DownloadSettings, prepare_store
    from covertune.search.cli.render.progress import progress_bars
    from covertune.search.cli.render.tables import prepare_table

    settings = _settings(
        max_px=max_px,
        min_covers=min_covers,
        val_share=val_share,
        test_share=test_share,
        seed=seed,
        conflicts=conflicts,
        near_copies=near_copies,
    )
    with progress_bars("downloading covers", "preparing covers") as (downloading, preparing):
        summary = prepare_store(
            source,
            out,
            settings=settings,
            image_column=image_column,
            genre_column=genre_column,
            split_column=split_column,
            key_columns=key_column or (),
            encoding=encoding,
            downloads=DownloadSettings(
                folder=downloads, retry_failed=retry_failed, per_host=per_host
            ),
            progress=preparing,
            download_progress=downloading,
        )
    console.print(prepare_table(summary))
    for note in summary.notes:
        console.out(f"note:  {as_message(note)}", highlight=False)
    console.out(f"next:  covertune search {quoted_path(out)}", highlight=False)


def _settings(**values: Any) -> PrepareSettings:
    from pydantic import ValidationError

    from covertune.data_pipeline import PrepareSettings

    try:
        return PrepareSettings(**values)
    except ValidationError as error:
        raise typer.BadParameter(
            few(sentences(error), separator="; ", at_most=8, item_chars=None)
        ) from error


@app.command()
def inspect(
    store: Annotated[Path, typer.Argument(help="Cover store.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page to look at: contact sheets, groups, suspicious pairs."),
    ] = None,
) -> None:
    """Show what a store holds: covers per genre and split, sizes, groups, what was refused and why.

    Examples:
      covertune data inspect my-store

      covertune data inspect my-store --html my-store.html
    """
    from covertune.data_pipeline import inspect_store, write_page
    from covertune.search.cli.render.tables import store_table

    report = inspect_store(store) if html is None else write_page(store, html)
    if json:
        print_json(report.model_dump(mode="json"))
        return
    console.print(store_table(report))
    if html is not None:
        console.out(f"page:  {escaped(html)}", highlight=False)
