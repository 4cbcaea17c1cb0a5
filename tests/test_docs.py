"""The documentation says what is there: settings, defaults, verbs, options, links, recipes."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from pydantic.fields import FieldInfo

import wattune as wt
from wattune.answering.training_passages import PassageSettings
from wattune.cli.app import app
from wattune.endpoint_ref import EndpointRef
from wattune.measure.accounts.footprint import Accounting
from wattune.measure.grid import Grid
from wattune.recipe import RESERVED, Limit, Settings, TaskSource
from wattune.recipe_file import load_recipe
from wattune.strategies import STRATEGIES
from wattune.system import Decoding
from wattune.values import Value

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SHELLS = ("sh", "console", "powershell")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?:^|[\s/\\])wattune (.+)")


def tables(page: str, heading: str) -> dict[str, str]:
    """Key -> default, as text, of every table row under headings that hold `heading`."""
    rows: dict[str, str] = {}
    inside = False
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").split("\n"):
        if line.startswith("#"):
            inside = heading in line
        elif inside and line.startswith("| `"):
            key, default = (cell.strip() for cell in line.split("|")[1:3])
            rows[key.strip("`")] = default
    return rows


def default_of(field: FieldInfo) -> Any:
    """A field's default as YAML has it; the names of models stand for themselves."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Value):
        return value
    return list(value) if isinstance(value, tuple) else value


def check_documented(fields: dict[str, Any], rows: dict[str, str]) -> None:
    """Every field has a row with its default; no row is of something else."""
    assert set(rows) == set(fields)
    for name, value in fields.items():
        if not isinstance(value, Value):
            assert yaml.safe_load(rows[name]) == value, name


def fields_of(model: type[Value]) -> dict[str, Any]:
    """Field -> default, without the tag of the union."""
    return {n: default_of(f) for n, f in model.model_fields.items() if n != "type"}


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_setting_of_a_strategy_is_documented_with_its_default(name: str) -> None:
    check_documented(fields_of(STRATEGIES[name]), tables("recipes.md", f"`{name}`"))


def test_every_key_of_a_recipe_is_documented_with_its_default() -> None:
    fields = fields_of(Settings)
    rows = tables("recipes.md", "Settings of the whole recipe")
    models = {name for name, value in fields.items() if isinstance(value, Value)}
    assert all(rows[name] == "see below" for name in models)
    check_documented(fields, rows)
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    for key in RESERVED:
        assert f"`{key}`" in page


@pytest.mark.parametrize(
    ("key", "example"),
    [
        ("task", TaskSource(source="x")),
        ("model", EndpointRef.model_construct()),
        ("decoding", Decoding()),
        ("grid", Grid()),
        ("accounting", Accounting()),
        ("limit", Limit()),
        ("passages", PassageSettings()),
        ("quick", Settings.model_fields["quick"].get_default()),
    ],
)
def test_the_nested_keys_are_documented_with_their_defaults(key: str, example: Value) -> None:
    fields = {
        name: "required" if field.is_required() else example.plain()[name]
        for name, field in type(example).model_fields.items()
    }
    check_documented(fields, tables("recipes.md", f"Keys of `{key}`"))


def commands(page: Path) -> list[str]:
    """What stands after `wattune` in shell blocks and in spans of code."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line for kind, body in _FENCE.findall(text) if kind in SHELLS for line in body.split("\n")
    ]
    lines += _SPAN.findall(_FENCE.sub("", text))
    return [found[1] for line in lines if (found := _COMMAND.search(line.split("  #")[0]))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_documentation_exists(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(line)
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            word = words.pop(0)
            assert word in command.commands, f"wattune {line}"
            command = command.commands[word]
        known = {option for parameter in command.params for option in parameter.opts}
        options = {word for word in words if word.startswith("-")}
        assert options <= known, f"wattune {line}"


def test_the_readme_shows_every_verb() -> None:
    shown = {line.split()[0] for line in commands(ROOT / "README.md")}
    command: Any = typer.main.get_command(app)
    assert shown == set(command.commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
            ]
            assert anchor in anchors, f"{page.name}: {link}"


def test_every_dependency_has_a_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra, packages in project["optional-dependencies"].items():
        lines += [f"{package} ({extra})" for package in packages]
    needed = {re.sub(r"^([\w.-]+)[^(]*?( \(\w+\))?$", r"\1\2", line) for line in lines}
    rows = tables("architecture.md", "Dependencies")
    assert {key.replace("`", "") for key in rows} == needed


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_opens_with_its_launch_line_and_is_valid(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n")[0]
    verb = "compare" if len(load_recipe(str(path)).runs) > 1 else "run"
    assert first.startswith("# ")
    assert f"wattune {verb} {path.stem}" in first
    assert f"recipes/{path.name}" in first
    assert load_recipe(str(path)).name == path.stem


def test_the_recipes_of_one_run_have_the_settings_of_the_quickstart() -> None:
    """So that what one has prepared serves the other, and all tell the same story."""
    quickstart = load_recipe("quickstart")
    runs = {"full-fine-tuning" if name == "full" else name: run
            for name, run in quickstart.runs.items()}  # fmt: skip
    assert set(runs) <= {path.stem for path in RECIPES}
    for name, strategies in runs.items():
        recipe = load_recipe(name)
        assert recipe.runs == {name: strategies}, name
        assert recipe.settings == quickstart.settings, name


def block(page: str, kind: str, opening: str) -> str:
    """The fenced block of `kind` that opens so."""
    found = [
        body
        for language, body in _FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
        if language == kind and body.startswith(opening)
    ]
    assert len(found) == 1, f"{page}: {len(found)} {kind} blocks open with {opening!r}"
    return str(found[0])


def test_the_task_folder_of_the_documentation_can_be_loaded(tmp_path: Path) -> None:
    page = "docs/task-format.md"
    files = {
        "task.yaml": block(page, "yaml", "name: clinic"),
        "test.jsonl": block(page, "json", '{"id": "t-1"'),
        "train.jsonl": '{"question": "Is it open?", "answers": ["yes"]}\n',
        "validation.jsonl": '{"question": "Is it shut?", "answers": ["no"]}\n',
        "hierarchy.yaml": block(page, "yaml", "name: Clinic"),
        "documents/desk.md": "# The desk\n\nThe desk opens at 08:00.\n",
        "documents/rules/visitors.md": "Visitors sign the book.\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    task = wt.load_task(tmp_path)
    assert [example.answers[0] for example in task.test] == [
        "08:00",
        "the book",
        "The rules do not say.",
    ]
    assert task.hierarchy is not None
    assert [entity.name for entity, _ in task.hierarchy.walk()] == ["Clinic", "Ward Team"]


@pytest.mark.parametrize(
    ("page", "opening"),
    [
        ("docs/task-format.md", "question,answers,kind"),
        ("docs/own-task.md", "question,answer,kind"),
    ],
)
def test_the_tables_of_the_documentation_can_be_loaded(
    page: str, opening: str, tmp_path: Path
) -> None:
    file = tmp_path / "questions.csv"
    file.write_text(block(page, "csv", opening), encoding="utf-8")
    task = wt.load_task(file, shares=(0, 0, 1))
    first, second, third = task.test
    assert first.answers == ("08:00", "8 am")
    assert "," in second.question
    assert (third.kind, third.answers) == ("unanswerable", (task.refusal,))


def test_the_first_recipe_of_the_documentation_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(block("docs/recipes.md", "yaml", "task: harbour"), encoding="utf-8")
    assert list(load_recipe(str(file)).runs) == ["zero-shot", "rag", "lora", "t-rag"]


def test_the_python_of_the_readme_calls_what_is_there() -> None:
    calls = 0
    for node in ast.walk(ast.parse(block("README.md", "python", "import wattune as wt"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "wt":
            assert node.func.attr in wt.__all__
            keywords = {word.arg: None for word in node.keywords if word.arg}
            inspect.signature(getattr(wt, node.func.attr)).bind(*node.args, **keywords)
            calls += 1
    assert calls >= 5
