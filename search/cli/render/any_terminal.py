"""Printing on terminals that do not know all letters: with LC_ALL=C, latin-1, or into such a file.

By default Python ends a program over a letter that standard output cannot encode. What stands for
itself in fewer letters is written in those (`…` as `...`), what is no letter as a star; letters of
names are escaped, so that one name is not taken for another.
"""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

__all__ = ["can_show", "print_on_any_terminal"]

_ERRORS = "covertune.other_letters"
_OTHERWISE = {
    "…": "...",
    "·": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "±": "+-",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}


def print_on_any_terminal() -> None:
    """Let nothing that is printed from here on be an error of its letters."""
    codecs.register_error(_ERRORS, _in_other_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else it is somebody's own
            stream.reconfigure(errors=_ERRORS)


def can_show(text: str) -> bool:
    """Tell whether standard output has all letters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _in_other_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(map(_other_letters, missing)), error.end


def _other_letters(letter: str) -> str:
    if letter in _OTHERWISE:
        return _OTHERWISE[letter]
    if unicodedata.category(letter)[0] in "SP":
        return "*"
    return letter.encode("ascii", "backslashreplace").decode()
