"""How messages are worded: one line that fits on a screen, whatever an error or the data hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["few", "first_line", "named_first_line", "one_line", "reason_of", "sentences"]

_LINE_CHARS = 150  # two lines of a terminal
_VALUE_CHARS = 80


def first_line(error: object, *, at_most: int | None = _LINE_CHARS) -> str:
    """Return the beginning of what an error tells, fit to stand inside a sentence.

    Args:
        error: Of any library; its text may have many lines, or none.
        at_most: Characters before it is cut; None: the line is ours, or a person needs all of it.

    Returns:
        The first line that is not blank, without a full stop or colon at its end; the name of the
        error's type if it says nothing.
    """
    lines = str(error).strip().splitlines()
    line = " ".join(lines[0].split()).rstrip(".: ") if lines else ""
    return _cut(line or type(error).__name__, at_most)


def named_first_line(error: BaseException, *, at_most: int | None = _LINE_CHARS) -> str:
    """Return the first line after the error's type: `KeyError: 'genre'`."""
    name, line = type(error).__name__, first_line(error, at_most=at_most)
    return name if line == name else f"{name}: {line}"


def one_line(error: object) -> str:
    """Return all that an error tells, its lines joined; for one whose every line helps."""
    return " ".join(str(error).split())


def reason_of(error: BaseException) -> str:
    """Return why something failed, for a message that names the file itself.

    Of an error of the operating system its own words, such as "No space left on device"; else the
    first line.
    """
    if isinstance(error, OSError):
        return error.strerror or first_line(error, at_most=None)
    return first_line(error)


def few(items: Iterable[object], *, separator: str = ", ", at_most: int = 3) -> str:
    """Return a list as text: three of the items, then how many more."""
    shown = [str(item) for item in items]
    more = len(shown) - at_most
    return separator.join(shown[:at_most]) + (f" and {more} more" if more > 0 else "")


def sentences(error: ValidationError, *, known: Collection[str] = ()) -> list[str]:
    """Return each problem that pydantic has found as `field: rule, got value`.

    Args:
        error: What pydantic raised.
        known: The names a misspelt one may have meant.
    """
    return [_sentence(problem, known) for problem in error.errors(include_url=False)]


def _sentence(problem: Any, known: Collection[str]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    rule = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {where!r}" + (f"; known: {', '.join(known)}" if known else "")
    if not where:
        return str(rule)
    if not rule[:2].isupper():  # "URL" stays
        rule = rule[:1].lower() + rule[1:]
    if problem["type"] == "missing":  # what came is all that lies around it
        return f"{where}: {rule}"
    return f"{where}: {rule}, got {_cut(repr(problem['input']), _VALUE_CHARS)}"


def _cut(text: str, at_most: int | None) -> str:
    return text if at_most is None or len(text) <= at_most else f"{text[: at_most - 1]}…"
