"""What pages name exists: files, modules, commands, options, settings, Makefile targets, links."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from covertune.search.cli import app
from covertune.search.config import checked_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
CHANGELOG = ROOT / "CHANGELOG.md"  # names what there was; only its links must hold
FOLDERS = {"benchmarks", "data_pipeline", "docs", "models", "search", "src", "tests"}
OURS = {file.name for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
THEIRS = {"search.py", "train.py", "utils.py"}  # of other projects, and one that may not be

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"(?<![\w./'-])covertune (?=[a-z-])(?!import )(.*?)(?=  |\s#|&&|[|);`]|$)")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code(text):
    """Lines of code blocks, and code spans."""
    for block in FENCE.finditer(text):
        yield from block[2].splitlines()
    yield from re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def words(text):
    for snippet in code(text):
        yield from (word.strip("()[]{},;:.'\"…") for word in re.split(r"[\s,]+", snippet))


# Each returns what a text names that does not exist.


def missing_paths(text):
    for word in set(words(text)):
        first, slash, rest = word.partition("/")
        if slash and first in FOLDERS:
            if rest and not list(ROOT.glob(word.rstrip("/"))):
                yield word
        elif re.fullmatch(r"\w+\.py", word) and word not in OURS | THEIRS:
            yield word


def missing_modules(text):
    for name in set(re.findall(r"(?<![\w.-])covertune(?:\.\w+)+", "\n".join(code(text)))):
        place, parts = ROOT / "src/covertune", name.split(".")[1:]
        while parts and (place / parts[0]).is_dir():
            place /= parts.pop(0)
        file = place / "__init__.py"
        if parts and place.joinpath(f"{parts[0]}.py").is_file():
            file = place / f"{parts.pop(0)}.py"
        if parts and not re.search(rf"\b{parts[0]}\b", file.read_text("utf-8")):
            yield name


def commands():
    """Every command of the program by its words, with its options."""
    waiting = [((), typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        options = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        yield path, options | {"--help", "-h"}
        waiting += [((*path, name), sub) for name, sub in getattr(command, "commands", {}).items()]


COMMANDS = dict(commands())
OPTIONS = set().union(*COMMANDS.values())
GROUPS = {path[:-1] for path in COMMANDS if path}


def missing_commands(text):
    for snippet in code(text):
        for match in COMMAND.finditer(snippet):
            line = match[1].replace("\\", "")
            given = shlex.split(line) if line.count("'") % 2 == 0 else line.split()
            path = ()
            while path in GROUPS and given and not given[0].startswith("-"):
                path += (given.pop(0),)
            if path not in COMMANDS:
                yield match[0]
                continue
            named = {word.partition("=")[0] for word in given if word.startswith("--")}
            yield from (f"{match[0]}: {option}" for option in named - COMMANDS[path])


def missing_options(text):
    """Options that stand alone, and those of scripts."""
    scripts = [file.read_text("utf-8") for file in ROOT.glob("benchmarks/*.py")]
    for snippet in code(text):
        script = re.search(r"python (benchmarks/\w+\.py)", snippet)
        if script and (ROOT / script[1]).is_file():
            source = (ROOT / script[1]).read_text("utf-8")
            named = re.findall(r" (--[\w-]+)", snippet.partition("  #")[0])
            yield from (f"{script[1]} {option}" for option in named if f'"{option}"' not in source)
        elif snippet.startswith("--"):
            option = re.match(r"[\w-]+", snippet)[0]
            if option not in OPTIONS and not any(f'"{option}"' in source for source in scripts):
                yield option


def missing_targets(text):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = {match for snippet in code(text) for match in re.findall(r"\bmake ([a-z]+)", snippet)}
    return named - targets


def broken_links(page, text):
    prose = re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path = target.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path) and not (page.parent / path).exists():
            yield target


@each_page
def test_files_exist(page):
    assert not list(missing_paths(page.read_text("utf-8")))


@each_page
def test_modules_exist(page):
    assert not list(missing_modules(page.read_text("utf-8")))


@each_page
def test_commands_and_their_options_exist(page):
    text = page.read_text("utf-8")
    assert not list(missing_commands(text))
    assert not list(missing_options(text))


@each_page
def test_makefile_targets_exist(page):
    assert not missing_targets(page.read_text("utf-8"))


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert not list(broken_links(page, page.read_text("utf-8")))


@each_page
def test_settings_in_files_are_settings(page):
    for language, block in FENCE.findall(page.read_text("utf-8")):
        if language == "yaml":
            checked_config(yaml.safe_load(block))


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (missing_paths, "`search/cluster/asha.py`"),
        (missing_paths, "```\npython benchmarks/none.py --seeds 3\n```"),
        (missing_paths, "`halve.py`"),
        (missing_modules, "`covertune.search.asha`"),
        (missing_modules, "`covertune.models.load_modell`"),
        (missing_commands, "`covertune serch my-store`"),  # codespell:ignore serch
        (missing_commands, "`covertune data prepair COVERS`"),  # codespell:ignore prepair
        (missing_commands, "```bash\ncd x && covertune search my-store --epoch 3  # why\n```"),
        (missing_commands, "`covertune trials RUN --split test`"),
        (missing_options, "`--weight resnet18=none`"),
        (missing_options, "`python benchmarks/peers.py --seedlings 3`"),
        (missing_targets, "`make benchmark`"),
    ],
)
def test_what_does_not_exist_is_noticed(check, text):
    assert list(check(text))


def test_a_link_to_nowhere_is_noticed():
    text = "[a](docs/result.md#x), [b](docs/results.md#x), [c](https://example.org), `[d](e)`"
    assert list(broken_links(ROOT / "README.md", text)) == ["docs/result.md#x"]


def test_the_house_is_as_contributing_draws_it():
    """Lines such as `search/  …` and, indented below it, `  run.py  …`."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    [block] = (block for _, block in FENCE.findall(text) if block.startswith("search/"))
    top, drawn = ROOT, []
    for line in block.splitlines():
        names = re.match(r"(?:\s*[\w./]+(?:/|\.py)(?=\s|$))*", line)[0].split()
        if not line.startswith(" "):
            top, names = ROOT / names[0], []
            drawn.append(top)
        drawn += [top / name for name in names]
    assert len(drawn) > 20
    assert not [path for path in drawn if not path.exists()]
    packages = ("search", "models", "data_pipeline")
    rooms = {file.parent for name in packages for file in ROOT.glob(f"{name}/*/__init__.py")}
    assert rooms <= {path.resolve() for path in drawn}


# How the pages that newcomers read are written.


def sentences(text):
    text = re.sub(r"^(#.*|\|.*|!\[.*)$", "", FENCE.sub("\n\n", text), flags=re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    for paragraph in re.split(r"\n\s*\n|^- ", text, flags=re.M):
        yield from filter(None, re.split(r"(?<=[.!?:])\s+", paragraph.strip()))


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_sentences_are_short(name):
    lengths = {s: len(s.split()) for s in sentences((ROOT / name).read_text("utf-8"))}
    assert len(lengths) > 30
    assert sum(lengths.values()) / len(lengths) < 15
    assert not {sentence for sentence, length in lengths.items() if length > 30}


def test_the_readme_has_short_lines_and_few():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) < 120
    assert not [line for line in lines if len(line) >= 120]


# Decisions.


LINKS = r"\[\d{4}\]\([\w-]+\.md\)(, \[\d{4}\]\([\w-]+\.md\))*"
STATUS = re.compile(rf"Status: (accepted(; amended by {LINKS})?|superseded by {LINKS})")
DECISIONS = sorted(ROOT.glob("docs/decisions/[0-9]*.md"))
NUMBERS = [file.name[:4] for file in DECISIONS]


def test_decisions_are_counted():
    assert [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)] == NUMBERS


@pytest.mark.parametrize("file", DECISIONS, ids=NUMBERS)
def test_a_decision_has_a_status(file):
    title, empty, status, *rest = file.read_text("utf-8").splitlines()
    assert re.fullmatch(rf"# {int(file.name[:4])}\. .+[^.]", title)
    assert empty == ""
    assert STATUS.fullmatch(status)
    for number, target in re.findall(r"\[(\d{4})\]\((.{4})", status):
        assert number == target
    named = set(re.findall(r"\b00\d\d\b", "\n".join(rest)))
    assert named <= set(NUMBERS)


def test_a_status_nobody_knows_is_noticed():
    assert not STATUS.fullmatch("Status: done")
    assert not STATUS.fullmatch("Status: superseded")
