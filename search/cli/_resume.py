"""`covertune resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from covertune.search.cli.render.console import duration_s

__all__ = ["resume"]


def resume(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/NAME.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="New number of trials in all, finished ones included.")
    ] = None,
    time_budget: Annotated[
        str | None, typer.Option(help="New time in all, e.g. 2h, time already used included.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of its Optuna storage, given again. Default: as it was started."),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the run from another machine that is gone.")
    ] = False,
) -> None:
    """Go on with a run after a stop or a crash, or give a finished one more.

    Finished trials stay as they are, interrupted ones continue from their last checkpoint. A new
    number of trials lifts the time limit, and the other way round, unless both are given.

    Examples:
      covertune resume runs/my-run

      covertune resume runs/my-run --trials 50
    """
    time_budget_s = duration_s(time_budget)
    from covertune.search.cli._ending import show_result
    from covertune.search.cli.render.live import LiveView
    from covertune.search.run import resume_search

    with LiveView() as view:
        result = resume_search(
            run,
            trials=trials,
            time_budget_s=time_budget_s,
            storage=storage,
            take_over=take_over,
            observer=view,
        )
    show_result(result)
