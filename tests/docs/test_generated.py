"""The reference tells all there is to tell: fields, columns, commands, options, decisions."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from pydantic import BaseModel

from covertune.data_pipeline.store.schema import COVER_SCHEMA, REJECTED_SCHEMA, PrepareSettings
from covertune.models.training.recipe import Recipe
from covertune.search.cli import app
from covertune.search.config import SearchConfig
from covertune.search.record import trial_record
from covertune.search.record.manifest import RunManifest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("generated", DOCS / "_hooks/generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(table):
    """Cells of a Markdown table, the first cell first."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines]


@pytest.mark.parametrize("model", [SearchConfig, Recipe, PrepareSettings, RunManifest])
def test_every_field_has_a_row(hook, model):
    head, *body = rows(hook.generated(f"<!-- fields: {model.__module__}.{model.__name__} -->"))
    assert head[0] == "field" and head[-1] == "what it is"
    assert [row[0] for row in body] == [f"`{name}`" for name in model.model_fields]
    for row, field in zip(body, model.model_fields.values(), strict=True):
        assert row[-1] == field.description


def test_a_row_tells_type_default_and_rule(hook):
    table = hook.generated("<!-- fields: covertune.search.config.SearchConfig -->")
    by_field = {row[0].strip("`"): row[1:4] for row in rows(table)}
    assert by_field["brackets"] == ["integer", "`2`", "≥ 1, ≤ 10"]
    assert by_field["time_budget_s"] == ["number or none", "none", "> 0"]
    assert by_field["sampler"] == ["`tpe`, `random`", "`tpe`", ""]
    assert by_field["weights"] == ["mapping to text", "`{}`", ""]
    assert by_field["warm_start"][:2] == ["list of path", "`[]`"]


def test_each_setting_is_on_a_page_of_the_reference(hook):
    told = "".join(page.read_text("utf-8") for page in DOCS.glob("reference/*.md"))
    for model in (SearchConfig, Recipe, PrepareSettings, RunManifest):
        assert f"<!-- fields: {model.__module__}.{model.__name__} -->" in told
    for package in ("search", "models", "data_pipeline"):
        assert f"<!-- api: covertune.{package} -->" in told


class Inner(BaseModel):
    """What is inside."""

    silent: int


class Outer(BaseModel):
    inner: Inner


def test_a_field_without_a_description_ends_the_build(hook, monkeypatch):
    monkeypatch.setattr(hook, "resolve_name", {"Inner": Inner, "Outer": Outer}.get)
    with pytest.raises(ValueError, match="Inner has fields without a description: silent"):
        hook.generated("<!-- fields: Inner -->")
    with pytest.raises(ValueError, match="Outer has fields without a description: inner"):
        hook.generated("<!-- fields: Outer -->")


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("<!-- fields: covertune.search.config.SerchConfig -->", "SerchConfig"),
        ("<!-- block: covertune.search.config -->", "has no indented block"),
        ("<!-- fielts: covertune.search.config.SearchConfig -->", "'fielts', which nobody makes"),
    ],
)
def test_what_is_not_there_ends_the_build(hook, comment, message):
    with pytest.raises((AttributeError, ValueError), match=message):
        hook.generated(f"# Page\n\n{comment}\n")


def test_other_text_stays(hook):
    text = "# Page\n\n<!-- fields: x --> in a line\n"
    assert hook.generated(text) == text


@pytest.mark.parametrize(
    ("name", "schema"), [("COVER_COLUMNS", COVER_SCHEMA), ("REJECTED_COLUMNS", REJECTED_SCHEMA)]
)
def test_columns(hook, name, schema):
    _, *body = rows(
        hook.generated(f"<!-- columns: covertune.data_pipeline.store.schema.{name} -->")
    )
    told = [(column.strip("`"), kind.strip("`")) for column, kind, _ in body]
    assert told == [(field.name, str(field.type)) for field in schema]


def test_folders_are_drawn_whole(hook):
    told = hook.generated("<!-- block: covertune.search.record.run_folder -->").splitlines()
    assert told[0] == "```text" and told[-1] == "```"
    assert told[1].startswith("runs/NAME/run.json ")
    for name in ("study.db", "model/", "outcome.json", "tune/", "probes/", "artifacts/", "log.txt"):
        assert any(line.strip().startswith(name) for line in told)


def test_every_attribute_of_a_trial_is_named(hook):
    told = hook.generated("<!-- block: covertune.search.record.trial_record -->")
    constants = {
        value
        for name, value in vars(trial_record).items()
        if re.fullmatch("_[A-Z_]+", name) and isinstance(value, str)
    }
    assert len(constants) > 10
    assert {name for name in constants if not re.search(rf"\b{name}\b", told)} == set()


@pytest.fixture(scope="module")
def commands(hook):
    return hook.generated("<!-- commands -->")


def test_every_command_with_every_option(commands):
    sections = dict(re.findall(r"^#+ `(covertune[^`]*)`\n(.*?)(?=^#+ `|\Z)", commands, re.M | re.S))
    waiting = [("covertune", typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        for parameter in command.params:
            if parameter.param_type_name == "option":
                for option in (*parameter.opts, *parameter.secondary_opts):
                    assert option in sections[path]
        waiting += [(f"{path} {n}", sub) for n, sub in getattr(command, "commands", {}).items()]
    assert len(sections) > 10


def test_patterns_are_shown_as_they_are_typed(commands):
    code = "".join(re.findall(r"^```.*?^```$", commands, re.M | re.S))
    assert "covertune backbones 'timm/convnext*'" in code
    assert "&" not in code
    assert r"timm/\*nano\*" in commands


def test_examples_are_code(commands):
    outside = re.sub(r"^```.*?^```$", "", commands, flags=re.M | re.S)
    assert not re.search(r"^ *covertune ", outside, re.M)
    assert "```bash\ncovertune search\ncovertune search my-store --time-budget 40m\n" in commands


def test_decisions_are_listed_and_in_the_navigation(hook):
    files = sorted(file.name for file in DOCS.glob("decisions/0*.md"))
    _, *body = rows(hook.generated("<!-- decisions -->"))
    assert [re.search(r"\((.+\.md)\)", title)[1] for _, title, _ in body] == files
    assert all(status.startswith(("accepted", "superseded")) for _, _, status in body)
    config = SimpleNamespace(nav=[{"Results": "results.md"}, {"Decisions": ["decisions/index.md"]}])
    hook.on_config(config)
    expected = ["decisions/index.md", *(f"decisions/{name}" for name in files)]
    assert config.nav[1]["Decisions"] == expected


def test_a_decision_without_a_status_ends_the_build(hook, tmp_path, monkeypatch):
    (tmp_path / "decisions").mkdir()
    (tmp_path / "decisions/0001-why.md").write_text("# 1. Why\n\n**Decision.** So.\n")
    monkeypatch.setattr(hook, "DOCS", tmp_path)
    with pytest.raises(ValueError, match=r"0001-why\.md must open with `# N\. Title`"):
        hook.decisions()
