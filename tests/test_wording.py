"""One line for whatever went wrong."""

import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from covertune.wording import (
    as_message,
    escaped,
    few,
    first_line,
    named,
    named_first_line,
    one_line,
    quoted,
    quoted_path,
    reason_of,
    sentences,
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("bad"), "bad"),
        (ValueError(), "ValueError"),
        (ValueError(" \n\t\n"), "ValueError"),
        (ValueError("\n\n  first \n second"), "first"),
        (ValueError("a\r\nb"), "a"),
        (ValueError("two  spaces\tand a tab."), "two spaces and a tab"),
        (RuntimeError("Error(s) in loading state_dict for Net:\n\tMissing"), "Error(s) in loading "
         "state_dict for Net"),
        (ValueError("..."), "ValueError"),
        (KeyError("genre"), "'genre'"),
        (ValueError(b"\xff", 1), r"(b'\xff', 1)"),
        (OSError(28, "No space left on device", "/data/x"),
         "[Errno 28] No space left on device: '/data/x'"),
        ("a string", "a string"),
    ],
)  # fmt: skip
def test_first_line(error, line):
    assert first_line(error) == line


def test_a_long_line_is_cut_and_says_so():
    assert first_line(ValueError("x" * 150)) == "x" * 150
    assert first_line(ValueError("x" * 151)) == "x" * 149 + "…"
    assert first_line(ValueError("x" * 9), at_most=5) == "xxxx…"
    assert first_line(ValueError("x" * 9000 + "\nmore"), at_most=None) == "x" * 9000


def test_the_type_of_an_error_is_told_once():
    assert named_first_line(KeyError("genre")) == "KeyError: 'genre'"
    assert named_first_line(TimeoutError()) == "TimeoutError"


def test_all_lines_of_an_error_may_help():
    told = one_line(ValueError("line 3:\n  - [a\n     ^ expected"))
    assert told == "line 3: - [a ^ expected"


def test_the_reason_of_the_system_names_no_file():
    assert reason_of(OSError(28, "No space left on device", "/data/x")) == "No space left on device"
    assert reason_of(OSError("s3://x: access denied" + "." * 200)) == "s3://x: access denied"
    assert reason_of(ValueError("bad\nworse")) == "bad"


def test_a_list_tells_three_and_how_many_more():
    assert few([]) == ""
    assert few("abc") == "a, b, c"
    assert few("abcd") == "a, b, c and 1 more"
    assert few(range(9), separator="; ", at_most=2) == "0; 1 and 7 more"


def test_items_of_a_list_are_escaped_and_cut():
    told = few(["\x1b[2J", "x" * 5000, "a\nb", "c"])
    assert told == r"\x1b[2J, " + "x" * 79 + r"…, a\nb and 1 more"
    assert few(["x" * 200], item_chars=None) == "x" * 200


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Poetry & Prose, é ß 日本 🙂", "Poetry & Prose, é ß 日本 🙂"),
        ("\x1b]0;mine\x07", r"\x1b]0;mine\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x7f\x9b2J", r"\x7f\x9b2J"),
        ("txt.\u202egpj\u2066\u200f", r"txt.\u202egpj\u2066\u200f"),
        ("\u2028\u2029\ufeff\xad", r"\u2028\u2029\ufeff\xad"),
        ("caf\udce9", r"caf\udce9"),
        ("\U000e0041", r"\U000e0041"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner that Persian is written with
        ("a\xa0b\u3000c", "a\xa0b\u3000c"),  # spaces of other kinds
        (r"C:\new", r"C:\new"),
        (28, "28"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text, shown):
    assert escaped(text) == shown
    assert escaped(escaped(text)) == shown


def test_a_name_in_quotes():
    assert named("it\n") == r"'it\n'"
    assert len(named("x" * 5000)) == 82


def test_a_message_fits_on_a_screen_with_its_beginning_and_its_end():
    told = as_message("the rule, " + "x" * 31_000 + "\n; what to do")
    assert len(told) < 80 * 24
    assert told.startswith("the rule, xxx")
    assert told.endswith(r"xxx\n; what to do")
    assert as_message("x" * 1600) == "x" * 1600


WORDS = [
    "plain", "my covers", "it's", '"', "$HOME", "`id`", "a;b", "-x", "--", "", "*", "~", "#", "!x",
    "a\nb", "\x1b]0;x\x07", "\u202e'\\", "caf\udce9", "\x01\x1f9", "é\x001"[:1], "!", "\\",
]  # fmt: skip


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_command_can_be_pasted():
    line = f"printf '%s\\0' {' '.join(map(quoted, WORDS))}"
    assert escaped(line) == line
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in WORDS]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_quoted_word_can_be_seen_whole(word):
    assert escaped(quoted(word)) == quoted(word)


def test_a_path_is_no_option():
    assert quoted_path("-x y") == "'./-x y'"
    assert quoted_path("--help") == "./--help"
    assert quoted_path("a-b") == "a-b"


class Size(BaseModel):
    px: list[int] = Field(min_length=1)


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sizes: dict[str, Size] = Field(default_factory=dict)
    share: float = Field(default=0.1, lt=1)
    name: str = ""

    @model_validator(mode="after")
    def _are_told_apart(self):
        if self.name == "none":
            raise ValueError("a name must tell something")
        return self


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"share": 2}, ["share: input should be less than 1, got 2"]),
        (
            {"sizes": {"small": {"px": [1, "x"]}}},
            ["sizes.small.px.1: input should be a valid integer, unable to parse string as an "
             "integer, got 'x'"],
        ),
        ({"sizes": {"small": {}}}, ["sizes.small.px: field required"]),
        ({"name": "none"}, ["a name must tell something"]),
        ({"sizes": {"small": {"px": []}}}, ["sizes.small.px: list should have at least 1 item "
         "after validation, not 0, got []"]),
        ({"sizes": {"small": {"px": ["x"]}}}, ["sizes.small.px.0: input should be a valid "
         "integer, unable to parse string as an integer, got 'x'"]),
        ({"a\x1b": 1, "b" * 99: 2}, [r"unknown setting 'a\x1b'; known: share, name",
         f"unknown setting '{'b' * 79}…'"]),
        ({"shar": 1}, ["unknown setting 'shar', meant 'share'?; known: share, name"]),
        (
            {"share": 2, "name": 3},
            ["share: input should be less than 1, got 2",
             "name: input should be a valid string, got 3"],
        ),
        (
            {"name": ["x" * 100]},
            ["name: input should be a valid string, got ['" + "x" * 77 + "…"],
        ),
    ],
)  # fmt: skip
def test_problems_of_settings_are_sentences(given, told):
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(given)
    assert sentences(caught.value, known=["share", "name"]) == told
