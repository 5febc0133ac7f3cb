"""`covertune trials`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli._console import console, print_json

__all__ = ["trials"]


def trials(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/NAME.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show the table of trials, the best first.

    Examples:
      covertune trials runs/my-run

      covertune trials runs/my-run --json | jq '.[] | select(.state == "FAIL") | .reason'
    """
    from search.cli._tables import trials_table
    from search.run_folder import RunFolder
    from search.study import read_trials, trial_rows

    rows = trial_rows(read_trials(RunFolder.open(run)))
    if json:
        print_json([row.model_dump(mode="json") for row in rows])
    else:
        console.print(trials_table(rows))
