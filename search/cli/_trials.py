"""`covertune trials`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from covertune.search.cli.render.console import console, print_json, show_duration
from covertune.wording import escaped

__all__ = ["trials"]


def trials(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/NAME.")],
    storage: Annotated[
        str | None,
        typer.Option(help="URL of its Optuna storage, given again. Default: as it was started."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show the table of trials, the best first, and how far they have come.

    A line each, cut where the terminal ends; all settings and reasons are in the JSON.

    Examples:
      covertune trials runs/my-run

      covertune trials runs/my-run --json | jq '.[] | select(.state == "FAIL") | .reason'
    """
    from covertune.search.cli.render.trial_tables import trials_table
    from covertune.search.finish.gap import gap_so_far
    from covertune.search.record.run_folder import RunFolder
    from covertune.search.record.study import read_trials, trial_rows

    folder = RunFolder.open(run)
    found = read_trials(folder, url=storage)
    rows = trial_rows(found)
    if json:
        print_json([row.model_dump(mode="json") for row in rows])
    else:
        console.print(trials_table(found))
        manifest = folder.manifest()
        baseline = folder.config().baseline_or(manifest.probe_top1)
        covers = (manifest.covers or {}).get("val")
        trained_s = sum(row.seconds for row in rows)
        console.print(
            f"{len(rows)} trials, {show_duration(trained_s)} of training; on validation: "
            f"{escaped(gap_so_far(found, baseline, covers).in_words)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
