"""What the reference pages show is made from the code, while the site is built.

A page asks for it by a comment:

    <!-- fields: covertune.search.config.SearchConfig -->    table of a pydantic model's fields
    <!-- columns: covertune.data_pipeline.store.schema.COVER_COLUMNS -->    of a Parquet file's
    <!-- block: covertune.search.record.run_folder -->    the indented block of a docstring
    <!-- commands -->    all commands with all options
    <!-- api: covertune.search -->    all public names of a package
    <!-- decisions -->    number, title and status

A name that is gone, or a field without a description, ends the build.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from html import unescape
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel

DOCS = Path(__file__).parent.parent
DIRECTIVE = re.compile(r"^<!-- (\w+)(?:: (\S+))? -->$", re.M)
STATUS = re.compile(r"^Status: (.+)$", re.M)
_PROGRAM = "covertune.search.cli"
_PACKAGES = ("covertune.search", "covertune.models", "covertune.data_pipeline")
_REQUIRED = "required"
_KINDS = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "null": "none",
}
_RULES = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minItems": "at least {}",
    "minLength": "at least {} characters",
    "pattern": "`{}`",
}


class Decision(NamedTuple):
    """A file of docs/decisions."""

    file: Path
    number: int
    title: str
    status: str


def on_config(config: Any) -> Any:
    """Put the decisions into the navigation."""
    for entry in config.nav:
        if "Decisions" in entry:
            entry["Decisions"] += [f"decisions/{decision.file.name}" for decision in decisions()]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace the comments of a page."""
    return generated(markdown, page.file.src_uri)


def generated(markdown: str, page: str = "") -> str:
    """Return the Markdown of a page with its comments replaced.

    Args:
        markdown: Of the page.
        page: Its path below docs/.
    """

    def made(match: re.Match[str]) -> str:
        kind, name = match.groups()
        match kind:
            case "fields":
                return "\n".join(_fields(resolve_name(name), page))
            case "columns":
                return "\n".join(_columns(resolve_name(name)))
            case "block":
                return _block(name)
            case "commands":
                return _commands()
            case "api":
                return "\n\n".join(_api(name, page))
            case "decisions":
                return "\n".join(_decision_table())
            case _:
                raise ValueError(f"{page or 'a page'} asks for {kind!r}, which nobody makes")

    return DIRECTIVE.sub(made, markdown)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        cells = (" ".join(cell.replace("|", "\\|").split()) for cell in row)
        yield f"| {' | '.join(cells)} |"


# Fields of pydantic models, by way of their JSON schema.


def _fields(model: type[BaseModel], page: str) -> Iterator[str]:
    """Yield the table of a model, then those of the models in it, each once."""
    elsewhere = _pages_of_models(besides=page)
    schema = model.model_json_schema()
    yield from _field_table(model.__name__, schema, elsewhere, model)
    told: set[str] = set(elsewhere)
    waiting = _referred(schema["properties"])
    while waiting:
        name = waiting.pop(0)
        if name in told:
            continue
        told.add(name)
        part = schema["$defs"][name]
        yield f"\n**{name}**: {part.get('description', '').partition(chr(10))[0]}\n"
        yield from _field_table(name, part, elsewhere)
        waiting += _referred(part["properties"])


def _referred(schema: Any) -> list[str]:
    """Return the names of the models a part of a schema refers to, in order, each once."""
    return list(dict.fromkeys(re.findall(r"'#/\$defs/(\w+)'", repr(schema))))


def _field_table(
    name: str,
    schema: Mapping[str, Any],
    elsewhere: Mapping[str, str],
    model: type[BaseModel] | None = None,
) -> Iterator[str]:
    properties: Mapping[str, Any] = schema["properties"]
    undescribed = [field for field, rules in properties.items() if not rules.get("description")]
    if undescribed:
        raise ValueError(f"{name} has fields without a description: {', '.join(undescribed)}")
    required = schema.get("required", ())
    columns = {
        "field": [f"`{field}`" for field in properties],
        "type": [_kind(rules, elsewhere) for rules in properties.values()],
        "default": [
            _REQUIRED if field in required else _default(field, rules, model)
            for field, rules in properties.items()
        ],
        "rule": [", ".join(_rules(rules)) for rules in properties.values()],
        "what it is": [rules["description"] for rules in properties.values()],
    }
    says_something = {
        name: cells for name, cells in columns.items() if set(cells) - {"", _REQUIRED}
    }
    yield from _table(says_something, zip(*says_something.values(), strict=True))


def _kind(schema: Mapping[str, Any], elsewhere: Mapping[str, str]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(option, elsewhere) for option in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}]({elsewhere[name]})" if name in elsewhere else name
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("format") == "path":
        return "path"
    match schema.get("type"):
        case "array":
            parts = schema.get("prefixItems")
            if parts:
                return f"{len(parts)} of {_kind(parts[0], elsewhere)}"
            return f"list of {_kind(schema['items'], elsewhere)}"
        case "object":
            values = schema.get("additionalProperties")
            return (
                f"mapping to {_kind(values, elsewhere)}" if isinstance(values, dict) else "mapping"
            )
        case None:
            return "anything"
        case kind:
            return _KINDS[kind]


def _default(field: str, schema: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    if "default" in schema:
        value = schema["default"]
    elif model is not None and model.model_fields[field].default_factory in (dict, list):
        value = model.model_fields[field].get_default(call_default_factory=True)
    else:
        return "made when it is written"
    if value is None:
        return "none"
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _rules(schema: Mapping[str, Any]) -> Iterator[str]:
    for option in (schema, *schema.get("anyOf", ())):
        if "prefixItems" in option:
            continue  # the type says how many
        yield from (text.format(option[rule]) for rule, text in _RULES.items() if rule in option)


def _columns(columns: Iterable[Any]) -> Iterator[str]:
    yield from _table(
        ("column", "type", "what it is"),
        ((f"`{column.name}`", f"`{column.type}`", column.description) for column in columns),
    )


# Docstrings and public names.


def _block(module: str) -> str:
    """Return the indented lines of a module's docstring."""
    lines = (resolve_name(module).__doc__ or "").splitlines()
    indented = [number for number, line in enumerate(lines) if line.startswith("    ")]
    if not indented:
        raise ValueError(f"the docstring of {module} has no indented block")
    block = [line.removeprefix("    ") for line in lines[indented[0] : indented[-1] + 1]]
    return "\n".join(("```text", *block, "```"))


def _api(package: str, page: str) -> Iterator[str]:
    """Yield each public name of a package; where a table of its fields is elsewhere, a link there.

    Of the public face, links to the packages behind it.
    """
    elsewhere = _pages_of_models(besides=page)
    names = [name for name in resolve_name(package).__all__ if not name.startswith("__")]
    if package not in _PACKAGES:
        homes = (
            (name, home) for name in names for home in _PACKAGES if name in dir(resolve_name(home))
        )
        yield "\n".join(f"- [`{name}`][{home}.{name}]" for name, home in homes)
        return
    for name in names:
        thing = getattr(resolve_name(package), name)
        path = f"{package}.{name}"
        if not isinstance(thing, type) or not issubclass(thing, BaseModel):
            yield f"::: {path}"
        else:
            yield f"### {name} {{ #{path} }}"
            yield inspect.getdoc(thing) or ""
            if name in elsewhere:
                yield f"[Its fields]({elsewhere[name]})"
            else:
                yield "\n".join(_fields(thing, page))


def _pages_of_models(besides: str) -> dict[str, str]:
    """Return the page, seen from another of docs/reference, that shows the fields of a model."""
    return {
        name.rpartition(".")[2]: file.name
        for file in sorted(DOCS.glob("reference/*.md"))
        for kind, name in DIRECTIVE.findall(file.read_text("utf-8"))
        if kind == "fields" and not besides.endswith(file.name)
    }


# The command line: what Typer tells, with the examples set as code.


def _commands() -> str:
    """Return all commands, by Typer's own `utils docs`.

    mkdocs-typer2, which calls the same, leaves the page empty where that fails.
    """
    told = subprocess.run(
        [sys.executable, "-m", "typer", _PROGRAM, "utils", "docs", "--name", "covertune"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    told = told.replace("# `covertune`\n", "## `covertune`\n", 1)
    # A line of options or arguments begins with an asterisk; the others are patterns.
    told = re.sub(r"(?<!^)\*(?!\*)(?<!\*\*)", r"\\*", told, flags=re.M)
    return re.sub(r"(?:^ *covertune .*\n\n?)+", _as_code, told, flags=re.M)


def _as_code(match: re.Match[str]) -> str:
    lines = [
        unescape(line.removeprefix("  ")).replace("\\*", "*")
        for line in match[0].splitlines()
        if line
    ]
    return "\n".join(("", "```bash", *lines, "```", "", ""))


# Decisions.


def decisions() -> list[Decision]:
    """Return all decisions, in order."""
    return [_decision(file) for file in sorted(DOCS.glob("decisions/[0-9]*.md"))]


def _decision(file: Path) -> Decision:
    text = file.read_text("utf-8")
    title = re.match(r"# (\d+)\. (.+)", text)
    status = STATUS.search(text)
    if not title or not status or int(title[1]) != int(file.name[:4]):
        raise ValueError(f"{file.name} must open with `# N. Title` and have a line `Status: …`")
    return Decision(file, int(title[1]), title[2], status[1])


def _decision_table() -> Iterator[str]:
    yield from _table(
        ("number", "decision", "status"),
        (
            (f"{number:04d}", f"[{title}]({file.name})", status)
            for file, number, title, status in decisions()
        ),
    )
