"""Passwords in addresses."""

import logging

import pytest

from covertune.passwords import (
    PasswordsHidden,
    hide_passwords,
    secrets_of,
    with_variables,
    without_password,
)

BARE = "postgresql://me@host:5432/trials"


@pytest.mark.parametrize(
    ("url", "shown", "written"),
    [
        ("postgresql://me:pw!#/x@host:5432/trials", "postgresql://me:***@host:5432/trials", BARE),
        ("postgresql://me:a@b@host:5432/trials", "postgresql://me:***@host:5432/trials", BARE),
        ("postgresql://:pw@h/t", "postgresql://:***@h/t", "postgresql://@h/t"),
        (f"{BARE}?password=pw", f"{BARE}?password=***", BARE),
        (f"{BARE}?a=1&passwd=pw&b=2", f"{BARE}?a=1&passwd=***&b=2", f"{BARE}?a=1&b=2"),
        (f"{BARE}?sslPassword=pw;b=2", f"{BARE}?sslPassword=***;b=2", f"{BARE}?b=2"),
        *((url, url, url) for url in (BARE, "sqlite:///a/b.db?x=1", "${STORAGE}")),
        *((url, url, url) for url in ("postgresql://me:${PW}@h/t", "mysql://h/t?passwd=${PW}")),
    ],
)
def test_a_password_is_neither_shown_nor_written(url, shown, written):
    assert hide_passwords(url) == shown
    assert hide_passwords(f"at {url} it\nfails") == f"at {shown} it\nfails"
    assert without_password(url) == written


@pytest.mark.parametrize(
    "text", ["see https://example.org/a:b", "at 10:30 mail me@example.org", "a://b:1/c and d@e"]
)
def test_what_is_no_password_stays(text):
    assert hide_passwords(text) == text


def test_the_word_itself_is_hidden_wherever_it_stands():
    url = "postgresql://me:p%40ss@host/trials"
    assert secrets_of(url) == {"p%40ss", "p@ss"}
    said = hide_passwords("no user me with p@ss", secrets=secrets_of(url))
    assert said == "no user me with ***"
    assert secrets_of("postgresql://me:${PW}@host/t?password=a") == frozenset()


def test_variables_are_put_in():
    environment = {"PW": "p@s/s", "URL": "postgresql://me:x@h/t"}
    url = with_variables("postgresql://me:${PW}@h/t", environment)
    assert url == "postgresql://me:p%40s%2Fs@h/t"
    assert with_variables("${URL}", environment) == "postgresql://me:x@h/t"
    assert with_variables("sqlite:///$HOME/{SCHEMA}.db", {}) == "sqlite:///$HOME/{SCHEMA}.db"
    with pytest.raises(KeyError, match="NONE"):
        with_variables("${NONE}", environment)


def test_the_log_has_none(caplog):
    try:
        raise ValueError("postgresql://me:pw@h/t is down")
    except ValueError:
        logging.getLogger("covertune").exception("cannot reach postgresql://me:pw@h/t")
    text = PasswordsHidden().format(caplog.records[0])
    assert "pw" not in text
    assert text.count("postgresql://me:***@h/t") >= 2
