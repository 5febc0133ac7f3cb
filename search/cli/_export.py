"""`covertune export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from covertune.search.cli.render.console import console
from covertune.wording import as_message, escaped, quoted_path

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/NAME.")],
    out: Annotated[Path, typer.Argument(help="Model folder to make.")],
    trial: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Trial number, of one whose checkpoint is kept. Default: the search's model.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of its Optuna storage, given again. Default: as it was started."),
    ] = None,
) -> None:
    """Write the model of a search, or a chosen trial, as a model folder.

    It holds model.safetensors, config.json, model.onnx, predict.py and a model card, which tells
    the libraries it loads in: timm and transformers, if they know the network. It needs neither the
    run nor the store.

    Examples:
      covertune export runs/my-run my-model

      covertune export runs/my-run my-model --trial 7
    """
    from covertune.search.finish.export import export_run
    from covertune.search.record.run_folder import RunFolder

    exported = export_run(RunFolder.open(run), out, trial, url=storage)
    for note in exported.notes:
        console.out(f"note: {as_message(note)}", highlight=False)
    command = f"covertune predict {quoted_path(out)} COVER.jpg"
    console.out(f"model: {escaped(out)}\nnext:  {command}", highlight=False)
