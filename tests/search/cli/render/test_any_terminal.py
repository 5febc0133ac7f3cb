"""No letter that is printed ends a command."""

import io
import json
import sys

import pytest

from covertune.search.cli.render.any_terminal import can_show, print_on_any_terminal
from covertune.search.cli.render.console import print_json

TEXT = "decoding … · 1–2 × Bücher ✓ 本 \udcff"


@pytest.fixture
def terminal(monkeypatch):
    """Standard output of an encoding; what was printed on it."""

    def make(encoding):
        stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        print_on_any_terminal()

        def printed():
            stream.flush()
            return stream.buffer.getvalue().decode(encoding)

        return printed

    return make


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", r"decoding ... - 1-2 x B\xfccher * \u672c \udcff"),
        ("latin-1", r"decoding ... · 1-2 × Bücher * \u672c \udcff"),
        ("utf-8", r"decoding … · 1–2 × Bücher ✓ 本 \udcff"),
    ],
)
def test_what_a_terminal_has_no_letters_for_is_written_otherwise(terminal, encoding, expected):
    printed = terminal(encoding)
    print(TEXT, end="")
    assert printed() == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_what_it_says(terminal, encoding):
    printed = terminal(encoding)
    print_json({"genre": TEXT})
    assert json.loads(printed()) == {"genre": TEXT}
    assert can_show("Bücher") == (encoding != "ascii")


def test_a_command_on_an_ascii_terminal(run_command, tmp_path):
    letters = {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"}
    ended = run_command("trials", "läuft …", cwd=tmp_path, env=letters)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err == "error: no run at l\\xe4uft ...; `covertune search` makes one\n"
