"""What every subcommand prints through: tables and errors on the terminal, JSON on its own."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import typer
from rich.console import Console

from covertune.passwords import hide_passwords
from covertune.search.cli.render.any_terminal import can_show
from covertune.wording import as_message, named

__all__ = ["console", "duration_s", "print_json", "say_error", "show_bytes", "show_duration"]

console = Console()
_stderr = Console(stderr=True)
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def say_error(text: str, kind: str = "error") -> None:
    """Print one line on standard error."""
    _stderr.print(f"[bold red]{kind}:[/] ", end="", highlight=False)
    _stderr.print(as_message(hide_passwords(text)), markup=False, highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document on standard output, and nothing else."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if not can_show(text):
        text = json.dumps(document, indent=2)
    sys.stdout.write(f"{text}\n")


def duration_s(text: str | None) -> float | None:
    """Read seconds from `90`, `90s`, `20m`, `1h30m`.

    Raises:
        typer.BadParameter: Another form, or nothing at all.
    """
    if text is None:
        return None
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise typer.BadParameter(f"a duration is like 90s, 20m or 1h30m, got {named(text)}")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise typer.BadParameter(f"a duration is more than nothing, got {named(text)}")
    return total


def show_duration(seconds: float) -> str:
    """Show seconds as `0.2 s`, `48 s`, `12 min`, `1 h 05 min`; a little is not nothing."""
    if 0 < seconds < 0.95:
        return f"{seconds:.1g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def show_bytes(count: int) -> str:
    """Show bytes as `840 kB`, `12 MB`, `1.3 GB`."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
