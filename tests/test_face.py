"""The public face: what `import covertune` gives, and what it does not wait for."""

import gc
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import covertune

V0_1 = Path(__file__).parent / "data" / "v0.1"
LIBRARIES = {"torch", "ray", "optuna", "timm", "torchvision"}


def loaded_by(program):
    """Which of the large libraries a program has imported when it ends."""
    code = (
        f"import sys\ntry:\n    {program}\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(*({LIBRARIES!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def command(*words):
    return f"from covertune.search.cli import main; main({[str(word) for word in words]!r})"


def test_every_public_name_is_there():
    assert covertune.__all__ == sorted(covertune.__all__)
    for name in covertune.__all__:
        assert getattr(covertune, name) is not None
    assert dir(covertune) == covertune.__all__
    with pytest.raises(AttributeError, match="module 'covertune' has no attribute 'nothing'"):
        covertune.nothing  # noqa: B018


def test_the_version_is_the_installed_one():
    assert covertune.__version__ == version("covertune")
    done = subprocess.run(
        [sys.executable, "-m", "covertune", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"covertune {version('covertune')}\n")


def test_it_is_typed():
    assert (Path(covertune.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("program", "libraries"),
    [
        ("import covertune", set()),
        ("from covertune import SearchConfig", set()),
        (command("--help"), set()),
        (command("search", "--help"), set()),
        (command("trials", V0_1 / "run", "--json"), {"optuna"}),
        (
            command("predict", V0_1 / "run" / "model", V0_1 / "covers" / "Amber.jpg"),
            {"torch", "timm", "torchvision"},
        ),
        (command("data", "inspect", V0_1 / "store"), set()),
    ],
    ids=lambda value: str(value)[-40:] if isinstance(value, str) else "",
)
def test_what_is_waited_for(program, libraries):
    assert loaded_by(program) <= libraries


def test_an_export_loads_no_ray(tmp_path):
    assert "ray" not in loaded_by(command("export", V0_1 / "run", tmp_path / "out"))


def test_a_program_that_imports_covertune_keeps_its_garbage_collector():
    before = gc.get_threshold()
    code = (
        "import gc; before = gc.get_threshold(); import covertune.search.run; "
        "assert gc.get_threshold() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert gc.get_threshold() == before
