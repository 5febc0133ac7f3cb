"""One line for whatever went wrong."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from covertune.wording import few, first_line, named_first_line, one_line, reason_of, sentences


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


class Size(BaseModel):
    px: list[int]


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
        ({"shar": 1}, ["unknown setting 'shar'; known: share, name"]),
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
