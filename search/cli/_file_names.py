"""Names of files are UTF-8, whatever the language and country of a terminal.

With LC_ALL=en_US.ISO-8859-1, as old servers set it, Python reads the genre `Bücher` as `BÃ¼cher`,
and so it would stand in the store. The encoding is settled when Python starts: the command begins
anew in the UTF-8 mode (https://docs.python.org/3/library/os.html#utf8-mode) that Python 3.15 has by
default.
"""

from __future__ import annotations

import os
import sys

__all__ = ["read_names_as_utf8"]

_MODE = "PYTHONUTF8"
_TERMINAL = "PYTHONIOENCODING"


def read_names_as_utf8() -> None:
    """Begin this command anew, once, if names of files would be read as something else.

    What is printed stays in the letters of the terminal. Who has set PYTHONUTF8 has the last word.
    """
    if _MODE in os.environ or sys.getfilesystemencoding() == "utf-8" or not sys.orig_argv:
        return
    os.environ[_MODE] = "1"
    os.environ.setdefault(_TERMINAL, getattr(sys.stdout, "encoding", None) or "ascii")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
