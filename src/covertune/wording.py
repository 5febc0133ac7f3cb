"""How messages are worded: one line that fits on a screen, whatever an error or the data hold.

Names come from outside: a genre may hold a newline, or what a terminal takes for a command. JSON
keeps them as they are; whatever a person reads shows them `escaped`.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = [
    "as_message",
    "counted",
    "escaped",
    "few",
    "first_line",
    "named",
    "named_first_line",
    "one_line",
    "quoted",
    "quoted_path",
    "reason_of",
    "sentences",
]

_LINE_CHARS = 150  # two lines of a terminal
_VALUE_CHARS = 80
_SCREEN_CHARS = 1600  # 20 of the 24 lines of a terminal of 80 columns
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})  # Unicode's categories
_JOINERS = frozenset("\u200c\u200d")  # Persian is written with them, and emoji

# A few lines of YAML may stand for a thousand million values: no more of them is looked at.
_values = Repr()
_values.maxlevel, _values.maxstring, _values.maxlong, _values.maxother = 3, 1000, 1000, 1000
_values.maxlist = _values.maxtuple = _values.maxset = _values.maxdict = 12


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and what is counted: `1 trial`, `1,200 trials`.

    Args:
        number: How many.
        one: The word for one.
        many: For any other number; None: with an s at its end.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def escaped(text: object, *, at_most: int | None = None) -> str:
    r"""Return a text in which what would act on a terminal, or turn letters round, can be seen.

    Control characters, line ends and marks of direction become what Python writes for them: `\n`,
    `\x1b`, `\u202e`. A backslash stays one, so that escaping twice changes nothing.

    Args:
        text: Of anybody.
        at_most: Characters before it is cut; None: all of it.
    """
    shown = str(text)
    if not shown.isprintable():
        shown = "".join(map(_escaped_character, shown))
    return _cut(shown, at_most)


def _escaped_character(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")


def named(name: object) -> str:
    """Return a name from outside in quotes, escaped, for a message."""
    return f"'{escaped(name, at_most=_VALUE_CHARS)}'"


def as_message(text: object) -> str:
    """Return a text escaped, and without its middle where it would not fit on a screen.

    The rule stands at its beginning and the remedy at its end: both stay.
    """
    shown = escaped(text)
    if len(shown) <= _SCREEN_CHARS:
        return shown
    half = _SCREEN_CHARS // 2
    return f"{shown[:half]} … {shown[-half:]}"


def quoted(word: object) -> str:
    """Return a word as a shell takes it, for a command that a person may paste."""
    text = str(word)
    if escaped(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(map(_ansi_c_quoted, text)) + "'"


def _ansi_c_quoted(character: str) -> str:
    r"""Return a character for `$'…'`, which bash and zsh read: bytes as `\xff`."""
    if character in "\\'":
        return f"\\{character}"
    if escaped(character) == character:
        return character
    undecodable = "\udc80" <= character <= "\udcff"  # a byte of a file's name that is no text
    as_bytes = character.encode(errors="surrogateescape" if undecodable else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in as_bytes)


def quoted_path(path: object) -> str:
    """Return a path as an argument of a command; one that begins with a dash is no option."""
    text = str(path)
    return quoted(f"./{text}" if text.startswith("-") else text)


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
    return escaped(line or type(error).__name__, at_most=at_most)


def named_first_line(error: BaseException, *, at_most: int | None = _LINE_CHARS) -> str:
    """Return the first line after the error's type: `KeyError: 'genre'`."""
    name, line = type(error).__name__, first_line(error, at_most=at_most)
    return name if line == name else f"{name}: {line}"


def one_line(error: object) -> str:
    """Return all that an error tells, its lines joined; for one whose every line helps."""
    return escaped(" ".join(str(error).split()))


def reason_of(error: BaseException) -> str:
    """Return why something failed, for a message that names the file itself.

    Of an error of the operating system its own words, such as "No space left on device"; else the
    first line.
    """
    if isinstance(error, OSError):
        return error.strerror or first_line(error, at_most=None)
    return first_line(error)


def few(
    items: Iterable[object],
    *,
    separator: str = ", ",
    at_most: int = 3,
    item_chars: int | None = _VALUE_CHARS,
) -> str:
    """Return a list as text: three of the items, escaped, then how many more.

    Args:
        items: Of any length, and any number.
        separator: Between them.
        at_most: How many are shown.
        item_chars: Of each before it is cut; None: all, for what is worded already.
    """
    found = list(items)
    shown = separator.join(escaped(item, at_most=item_chars) for item in found[:at_most])
    more = len(found) - at_most
    return shown + (f" and {more} more" if more > 0 else "")


def sentences(error: ValidationError, *, known: Collection[str] = ()) -> list[str]:
    """Return each problem that pydantic has found as `field: rule, got value`.

    Args:
        error: What pydantic raised.
        known: The names a misspelt one may have meant.
    """
    told, rest = [], known
    problems = error.errors(include_url=False)
    places = [problem["loc"] for problem in problems]
    for problem in problems:
        inside = (place[: len(problem["loc"])] == problem["loc"] for place in places)
        if problem["type"] == "too_short" and sum(inside) > 1:
            continue  # pydantic counts only the items that are right
        told.append(_sentence(problem, known, rest))
        if problem["type"] == "extra_forbidden":
            rest = ()  # told once
    return told


def _sentence(problem: Any, known: Collection[str], listed: Collection[str]) -> str:
    where = escaped(".".join(str(part) for part in problem["loc"]), at_most=_VALUE_CHARS)
    rule = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        meant = "".join(f", meant {name!r}?" for name in get_close_matches(where, known, 1))
        return f"unknown setting '{where}'{meant}" + (
            f"; known: {', '.join(listed)}" if listed else ""
        )
    if not where:
        return str(rule)
    if not rule[:2].isupper():  # "URL" stays
        rule = rule[:1].lower() + rule[1:]
    if problem["type"] == "missing":  # what came is all that lies around it
        return f"{where}: {rule}"
    return f"{where}: {rule}, got {_cut(_values.repr(problem['input']), _VALUE_CHARS)}"


def _cut(text: str, at_most: int | None) -> str:
    return text if at_most is None or len(text) <= at_most else f"{text[: at_most - 1]}…"
