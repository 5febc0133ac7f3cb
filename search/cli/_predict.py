"""`covertune predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from covertune.search.cli.render.console import console, print_json
from covertune.wording import as_message, escaped

__all__ = ["predict"]


def _say(path: str, told: Text) -> None:
    """Print one line a cover; brackets in names are no markup, long names are not broken."""
    console.print(Text(f"{escaped(path)}: ") + told, soft_wrap=True)


def predict(
    model: Annotated[Path, typer.Argument(help="Model folder, e.g. runs/NAME/model.")],
    images: Annotated[list[Path], typer.Argument(help="Cover images.")],
    top: Annotated[int, typer.Option(min=1, help="Genres to show for each cover.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="One JSON document; all genres.")] = False,
) -> None:
    """Tell the genres of covers, with probabilities.

    A file that is no image gets an error of its own, the others are still told; the exit code is
    then 1.

    Examples:
      covertune predict runs/my-run/model cover.jpg

      covertune predict my-model covers/*.jpg --json
    """
    from covertune.search.use.predict import predict_covers

    answers = predict_covers(model, images)
    if json:
        print_json([answer.model_dump(mode="json") for answer in answers])
    else:
        for answer in answers:
            if answer.error is not None:
                _say(answer.path, Text(as_message(answer.error), style="red"))
                continue
            told = ", ".join(
                f"{escaped(g.genre, at_most=80)} {g.probability:.1%}" for g in answer.genres[:top]
            )
            _say(answer.path, Text(told))
    if any(answer.error is not None for answer in answers):
        raise typer.Exit(1)
