"""`covertune data sample | prepare | inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli._console import console, print_json

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
    from data_pipeline.sample import draw_sample
    from search.cli._progress import progress_bar

    with progress_bar("drawing covers") as progress:
        summary = draw_sample(
            out, covers_per_genre=covers_per_genre, genres=genres, seed=seed, progress=progress
        )
    console.out(
        f"{summary.covers} covers of {len(summary.genres)} genres in {out}: "
        f"{', '.join(summary.genres)}\nnext:  covertune data prepare {out} STORE",
        highlight=False,
    )


@app.command()
def prepare(
    source: Annotated[
        Path, typer.Argument(help="Folder with a sub-folder per genre, or a CSV or Parquet table.")
    ],
    out: Annotated[Path, typer.Argument(help="Store to make.")],
    image_column: Annotated[
        str | None,
        typer.Option(help="Column of the image paths in a table. Default: found by name."),
    ] = None,
    genre_column: Annotated[
        str | None, typer.Option(help="Column of the genres in a table. Default: found by name.")
    ] = None,
    max_px: Annotated[
        int, typer.Option(min=32, help="Covers are shrunk until their shorter side is this.")
    ] = 256,
    val_share: Annotated[float, typer.Option(help="Share of the validation split.")] = 0.15,
    test_share: Annotated[float, typer.Option(help="Share of the test split.")] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
) -> None:
    """Turn covers into a store: decoded once, copies merged, split without leaks.

    A file that cannot be used is refused with a reason and never stops the work.

    Examples:
      covertune data prepare covers/ my-store

      covertune data prepare covers.csv my-store --genre-column category
    """
    from pydantic import ValidationError

    from data_pipeline import PrepareSettings, prepare_store
    from search.cli._progress import progress_bar
    from search.cli._tables import prepare_table

    try:
        settings = PrepareSettings(
            max_px=max_px, val_share=val_share, test_share=test_share, seed=seed
        )
    except ValidationError as error:
        problems = "; ".join(problem["msg"] for problem in error.errors())
        raise typer.BadParameter(problems) from error
    with progress_bar("preparing covers") as progress:
        summary = prepare_store(
            source,
            out,
            settings=settings,
            image_column=image_column,
            genre_column=genre_column,
            progress=progress,
        )
    console.print(prepare_table(summary))
    console.out(f"next:  covertune search {out}", highlight=False)


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
    from data_pipeline import inspect_store, write_page
    from search.cli._tables import store_table

    report = inspect_store(store) if html is None else write_page(store, html)
    if json:
        print_json(report.model_dump(mode="json"))
        return
    console.print(store_table(report))
    if html is not None:
        console.out(f"page:  {html}", highlight=False)
