"""The `covertune` command: one small module per subcommand, each with worked examples.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (and resumable).
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from covertune.passwords import hide_passwords
from covertune.search.cli import (
    _backbones,
    _dashboard,
    _data,
    _evaluate,
    _export,
    _predict,
    _resume,
    _search,
    _trials,
)
from covertune.search.cli._file_names import read_names_as_utf8
from covertune.search.cli.render.any_terminal import print_on_any_terminal
from covertune.search.cli.render.console import say_error
from covertune.search.errors import ConfigError, Interrupted, SearchError
from covertune.search.garbage import collect_rarely
from covertune.stops import EXIT_INTERRUPTED, interrupted_by_stops
from covertune.wording import as_message, reason_of

__all__ = ["app", "main"]

EXIT_FAILED = 1
EXIT_USAGE = 2

# Older versions of typer use click, newer ones carry a copy of it; this is the class in both.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="covertune",
    help="Find the best fine-tuned image model for telling a book's genre from its cover.\n\n"
    "First steps:\n\n"
    "  covertune search                          try it on generated covers\n\n"
    "  covertune data prepare COVERS my-store    your own covers, a folder per genre\n\n"
    "  covertune search my-store --time-budget 40m\n\n"
    "  covertune predict runs/NAME/model cover.jpg",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"covertune {version('covertune')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Say which it is."),
    ] = False,
) -> None:
    pass


app.command("search")(_search.search)
app.command("resume")(_resume.resume)
app.command("trials")(_trials.trials)
app.command("dashboard")(_dashboard.dashboard)
app.command("export")(_export.export)
app.command("predict")(_predict.predict)
app.command("evaluate")(_evaluate.evaluate)
app.command("backbones")(_backbones.backbones)
app.add_typer(_data.app, name="data")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; errors a person can mend are one line, not a traceback."""
    if arguments is None:  # else this process is somebody else's
        read_names_as_utf8()
    collect_rarely()
    print_on_any_terminal()
    _require_surroundings()
    try:
        with interrupted_by_stops():
            code = app(args=arguments, prog_name="covertune", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        # A storage under a misspelt option, say, has its password hidden.
        error.message = as_message(hide_passwords(error.message))
        error.show()
        sys.exit(EXIT_USAGE)
    except Interrupted as interrupted:
        say_error(str(interrupted), kind="stopped")
        sys.exit(EXIT_INTERRUPTED)
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except OSError as error:  # a name too long for the file system, a disk that is full
        if not error.filename and not _can_write():
            _give_up_output()
            say_error(f"the output cannot be written: {reason_of(error)}; send it elsewhere")
            sys.exit(EXIT_FAILED)
        say_error(": ".join(str(part) for part in (reason_of(error), error.filename) if part))
        sys.exit(EXIT_FAILED)
    except Exception as error:
        if not _is_mendable(error):
            raise
        say_error(str(error))
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED)
    if code == EXIT_INTERRUPTED:  # which newer Typers make of a KeyboardInterrupt by themselves
        say_error("interrupted", kind="stopped")
    sys.exit(code or 0)


def _require_surroundings() -> None:
    """End at once where no library works: each would say so in a way of its own."""
    if sys.flags.optimize > 1:
        say_error(
            "Python runs without docstrings (-OO or PYTHONOPTIMIZE=2), and Ray needs its own; use "
            "PYTHONOPTIMIZE=1 at most"
        )
        sys.exit(EXIT_FAILED)
    try:
        Path.cwd()
    except FileNotFoundError:
        say_error("the current folder is gone; change to one that exists: `cd`")
        sys.exit(EXIT_FAILED)


def _can_write() -> bool:
    """Tell whether standard output takes anything: an error of a disk does not say of which."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _give_up_output() -> None:
    """Send what could not be written nowhere: on the way out Python would try once more."""
    with Path(os.devnull).open("wb") as nowhere, contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _is_mendable(error: Exception) -> bool:
    """Tell whether one of our packages raised it on purpose."""
    # Imported here because these packages bring torch and Ray, which `--help` can do without.
    from covertune.data_pipeline.errors import DataError
    from covertune.models.errors import ModelError

    return isinstance(error, SearchError | DataError | ModelError)
