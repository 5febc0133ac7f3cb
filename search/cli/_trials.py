"""`covertune trials`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from covertune.search.cli.render.console import console, print_json, show_duration
from covertune.wording import counted, escaped

__all__ = ["trials"]


def trials(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/NAME.")],
    trial: Annotated[
        int | None, typer.Option(help="Number of one trial: its whole recipe and what it measured.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of its Optuna storage, given again. Default: as it was started."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show the table of trials, the best first, and how far they have come.

    A line each, cut where the terminal ends. One trial is shown whole by --trial; the JSON has all
    settings and reasons of each.

    Examples:
      covertune trials runs/my-run

      covertune trials runs/my-run --trial 3

      covertune trials runs/my-run --json | jq '.[] | select(.state == "FAIL") | .reason'
    """
    from covertune.search.cli.render.trial_tables import trial_table, trials_table
    from covertune.search.finish.announced import announced_model
    from covertune.search.finish.gap import gap_so_far
    from covertune.search.record.run_folder import RunFolder
    from covertune.search.record.study import numbered, read_trials
    from covertune.search.record.trial_rows import trial_rows

    folder = RunFolder.open(run)
    found = read_trials(folder, url=storage)
    if trial is not None:
        found = [numbered(found, trial, folder)]
    model = announced_model(folder)
    rows = trial_rows(found, () if model is None else model.trials)
    where = os.path.relpath(folder.model)
    if json:
        print_json([row.model_dump(mode="json") for row in rows])
    elif trial is not None:
        console.print(trial_table(rows[0], where))
    else:
        console.print(trials_table(found))
        manifest = folder.manifest()
        baseline = folder.config().baseline_or(manifest.probe_top1)
        covers = (manifest.covers or {}).get("val")
        trained_s = sum(row.seconds for row in rows)
        gap = gap_so_far(found, baseline, covers).in_words
        said = [
            f"{counted(len(rows), 'trial')}, {show_duration(trained_s)} of training"
            + (f"; on validation: {gap}" if gap else "")
        ]
        if model is not None:
            said.append(f"exported to {where}: {model.in_words}")
        console.print("\n".join(map(escaped, said)), markup=False, highlight=False, soft_wrap=True)
