"""`covertune dashboard`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from covertune.search.cli.render.console import console
from covertune.wording import escaped

__all__ = ["dashboard"]

_HOST = "127.0.0.1"


def dashboard(
    run: Annotated[Path, typer.Argument(help="Run folder, e.g. runs/NAME.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine.")] = 8080,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of its Optuna storage, given again. Default: as it was started."),
    ] = None,
) -> None:
    """Serve the live dashboard of a run, to this machine only, until Ctrl-C.

    Each trial carries its learning curve, its confusion matrix and its table of epochs. Nothing can
    be changed through it; it may be left on while the search goes on, here or elsewhere.

    Examples:
      covertune dashboard runs/my-run
    """
    from covertune.search.record.dashboard import make_dashboard
    from covertune.search.record.run_folder import RunFolder

    server = make_dashboard(RunFolder.open(run), _HOST, port, url=storage)
    logging.getLogger("wsgiref").setLevel(logging.ERROR)
    url = f"http://{_HOST}:{server.server_port}"
    console.out(f"dashboard of {escaped(run)}: {url}  (Ctrl-C ends it)", highlight=False)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.print("dashboard closed")
    finally:
        server.server_close()
