"""What holds for the whole house: who imports whom, and sorted public names."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("data_pipeline", "models", "search")
FORBIDDEN = {
    "data_pipeline": {"models", "search", "optuna"},
    "models": {"data_pipeline", "search", "ray", "optuna"},
    "search": set(),
}
FLOOR = sorted((ROOT / "src" / "covertune").glob("*.py"))
SOURCES = FLOOR + [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (own_name(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield own_name(node.module)


def own_name(module):
    """`models` of `covertune.models.backbones.heads`, `ray` of `ray.data`."""
    return module.removeprefix("covertune.").partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_keep_their_distance(package):
    for file in (ROOT / package).rglob("*.py"):
        trespass = set(imported(ast.parse(file.read_text()))) & FORBIDDEN[package]
        assert not trespass, f"{file.relative_to(ROOT)} imports {trespass}"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_public_names_are_sorted_and_modules_say_what_they_are(file):
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree), "a module opens with its purpose"
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            names = ast.literal_eval(node.value)
            assert names == sorted(names, key=sort_key)


def sort_key(name):
    """CONSTANTS, then Classes, then functions, as ruff orders them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
