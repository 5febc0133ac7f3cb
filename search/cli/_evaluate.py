"""`covertune evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from covertune.search.cli.render.console import console, print_json
from covertune.vocabulary import Split

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model folder, e.g. runs/NAME/model.")],
    store: Annotated[Path, typer.Argument(help="Cover store.")],
    split: Annotated[Split, typer.Option(help="Split to measure on.")] = "test",
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Measure a model on a store: top-1 with its 95 % interval, top-3, macro F1, calibration.

    Examples:
      covertune evaluate runs/my-run/model my-store

      covertune evaluate my-model other-store --split test --json
    """
    from covertune.search.cli.render.tables import evaluation_table
    from covertune.search.use.evaluate import evaluate_model

    evaluation = evaluate_model(model, store, split)
    if json:
        print_json(evaluation.model_dump(mode="json"))
    else:
        console.print(evaluation_table(evaluation))
