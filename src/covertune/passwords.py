"""Passwords in addresses: never shown, never written; they come from the environment.

postgresql://me@host/trials             the database's own ways: PGPASSWORD, ~/.pgpass
postgresql://me:${PASSWORD}@host/trials an environment variable, put in when it is needed
${STORAGE}                              the whole address in one
postgresql://me:secret@host/trials      for this process alone
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

__all__ = [
    "PasswordsHidden",
    "hide_passwords",
    "secrets_of",
    "with_variables",
    "without_password",
]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# A password may hold anything but white space; one with an @ in it goes up to the last of them.
_IN_AUTHORITY = re.compile(r"(?P<before>\b[A-Za-z][\w+.-]*://[^\s:/@]*):(?P<secret>[^\s'\"]*)(?=@)")
_IN_QUERY = re.compile(
    r"(?P<before>[?&;]\w*(?:passw(?:or)?d|pwd|passphrase|secret|token)=)(?P<secret>[^\s&;'\"]+)",
    re.IGNORECASE,
)
_SHORTEST = 3  # a shorter one would be found in every second word


def _is_variable(secret: str) -> bool:
    return _VARIABLE.fullmatch(secret) is not None


def hide_passwords(text: str, *, secrets: frozenset[str] = frozenset()) -> str:
    """Return a text with `***` in place of passwords in addresses.

    Args:
        text: Of any kind, of many lines too.
        secrets: Further words to hide, wherever they stand.
    """

    def hidden(match: re.Match[str]) -> str:
        if not match["secret"] or _is_variable(match["secret"]):
            return match[0]
        return f"{match['before']}{':' if match.re is _IN_AUTHORITY else ''}***"

    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _IN_QUERY.sub(hidden, _IN_AUTHORITY.sub(hidden, text))


def without_password(url: str) -> str:
    """Return an address without its password, to be written; variables stay as they are."""

    def left_out(match: re.Match[str]) -> str:
        return match[0] if _is_variable(match["secret"]) else match["before"]

    def left_out_of_query(match: re.Match[str]) -> str:
        return match[0] if _is_variable(match["secret"]) else match["before"][:1]

    bare = _IN_QUERY.sub(left_out_of_query, _IN_AUTHORITY.sub(left_out, url))
    bare = re.sub(r"([?&;])[&;]+", r"\1", bare)
    return bare.rstrip("?&;") if bare != url else url


def secrets_of(url: str) -> frozenset[str]:
    """Return the passwords of an address, as they stand there and as they are meant."""
    found = [match["secret"] for rule in (_IN_AUTHORITY, _IN_QUERY) for match in rule.finditer(url)]
    told = {secret for one in found for secret in (one, unquote(one)) if not _is_variable(one)}
    return frozenset(secret for secret in told if len(secret) >= _SHORTEST)


def with_variables(url: str, environment: Mapping[str, str] | None = None) -> str:
    """Return an address with the environment variables it names put in.

    One that is the whole address is taken as it is; one inside it may hold any character.

    Raises:
        KeyError: One is not set.
    """
    known = os.environ if environment is None else environment
    if whole := _VARIABLE.fullmatch(url):
        return known[whole[1]]
    return _VARIABLE.sub(lambda match: quote(known[match[1]], safe=""), url)


class PasswordsHidden(logging.Formatter):
    """Writes a record as any formatter, without the passwords of addresses."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return hide_passwords(super().format(record))
