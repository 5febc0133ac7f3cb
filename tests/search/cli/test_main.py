import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from covertune.search import cli

V0_1 = Path(__file__).parents[2] / "data" / "v0.1"
COMMANDS = [
    ("search",),
    ("resume",),
    ("trials",),
    ("dashboard",),
    ("export",),
    ("predict",),
    ("evaluate",),
    ("backbones",),
    ("data", "sample"),
    ("data", "prepare"),
    ("data", "inspect"),
]
# Of every command that runs a search, by the design.
SHARED = [
    *("--name", "--runs-dir", "--backbones", "--trials", "--epochs", "--time-budget"),
    *("--concurrent", "--gpus-per-trial", "--cpus-per-trial", "--address", "--config"),
    *("--seed", "--rehearse"),
]


def names(group):
    return {(name,) for name in group.commands}


def test_every_command_is_among_those_tested():
    group = typer.main.get_command(cli.app)
    found = names(group) - {("data",)}
    found |= {("data", *name) for name in names(group.commands["data"])}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("command", [(), ("data",), *COMMANDS], ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_has_an_example(covertune, command, flag):
    ended = covertune(*command, flag)
    assert (ended.code, ended.err) == (0, "")
    assert f"covertune {' '.join(command)}".strip() in ended.out
    if command not in ((), ("data",)):
        after_examples = ended.out.partition("Examples:")[2]
        assert f"covertune {' '.join(command)}" in after_examples


def test_help_of_search_has_the_options_all_searches_share(covertune):
    text = covertune("search", "--help").out
    assert [option for option in SHARED if f" {option} " not in text] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_each_default_that_is_written_in_words(covertune, command):
    """A default in square brackets would be taken for markup and vanish."""
    group = typer.main.get_command(cli.app)
    for name in command:
        group = group.commands[name]
    shown = " ".join(covertune(*command, "--help").out.replace("│", " ").split())
    for parameter in group.params:
        for word in (getattr(parameter, "help", None) or "").split():
            assert word in shown


def test_help_needs_neither_torch_nor_ray():
    program = (
        "import sys\n"
        "from covertune.search.cli import main\n"
        "try:\n    main(['search', '--help'])\n"
        "except SystemExit:\n    print(sorted({'torch', 'ray', 'optuna'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["search", "--nonsense"],
        ["search", "--trials", "many"],
        ["search", "--time-budget", "soon"],
        ["search", "--time-budget", "0m"],
        ["search", "--image-px", "large"],
        ["search", "--baseline", "good"],
        ["search", "--weights", "resnet18"],
        ["resume"],
        ["resume", "run", "--trials", "0"],
        ["predict", "model"],
        ["evaluate", "model", "store", "--split", "all"],
        ["export", "run", "out", "--trial", "-1"],
        ["dashboard", "run", "--port", "70000"],
        ["data", "prepare", "covers", "store", "--val-share", "0.6", "--test-share", "0.5"],
        ["data", "prepare", "covers", "store", "--max-px", "1"],
        ["data", "prepare", "covers", "store", "--per-host", "0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(covertune, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = covertune(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Error: " in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_no_command_shows_the_help(covertune):
    ended = covertune()
    assert ended.code == 2
    assert "covertune search" in ended.out + ended.err


@pytest.mark.parametrize(
    ("pattern", "expected"), [("small_*", ["small_cnn"]), ("no_such_*", [])], ids=str
)
def test_backbones_json_of_a_pattern(covertune, pattern, expected):
    ended = covertune("backbones", pattern, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [entry["name"] for entry in json.loads(ended.out)] == expected


def test_backbones_json(covertune):
    ended = covertune("backbones", "--json")
    assert (ended.code, ended.err) == (0, "")
    entries = json.loads(ended.out)
    keys = {"name", "source", "parameters", "gflops", "image_px", "weights", "licence"}
    assert {frozenset(entry) for entry in entries} == {frozenset(keys)}
    sources = {entry["name"]: entry["source"] for entry in entries}
    assert sources["efficientnet_lite0"] == sources["small_cnn"] == "built-in"
    assert sources["resnet18"] == "torchvision"
    assert all(entry["licence"] for entry in entries)


def test_a_pattern_that_no_backbone_has_is_told(covertune):
    ended = covertune("backbones", "zzz")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: no backbone's name is like 'zzz'; ")
    assert covertune("backbones", "zzz", "--json").out == "[]\n"


def test_names_of_backbones_are_whole_however_narrow_the_terminal(covertune):
    names = json.loads(covertune("backbones", "timm/convnextv2*", "--json").out)
    table = covertune("backbones", "timm/convnextv2*").out
    assert all(f"{backbone['name']} " in table for backbone in names)


def test_backbones_table_names_them_all(covertune):
    listed = json.loads(covertune("backbones", "resnet*", "--json").out)
    table = covertune("backbones", "resnet*").out
    assert [entry["name"] for entry in listed if entry["name"] not in table] == []


@pytest.mark.parametrize(
    "words",
    [
        ("resume", "RUN", "postgresql://me:s3cr3t@host/trials"),
        ("search", "--storag", "postgresql://me:s3cr3t@host/trials"),
        ("trials", "RUN", "--storage=postgresql+nodriver://me:s3cr3t@host/trials"),
    ],
)
def test_a_password_is_not_printed(covertune, words):
    words = [str(V0_1 / "run") if word == "RUN" else word for word in words]
    ended = covertune(*words)
    assert ended.code in (1, 2)
    assert "s3cr3t" not in ended.out + ended.err
