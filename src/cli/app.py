"""The verbs of the command line; no logic of its own."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError, WattuneError
from .artefacts import save
from .cache import cache_app, models_app
from .prompts import prompts_app
from .recipes import cp, init, list_recipes, validate
from .records import export, ledger
from .running import (
    AllowOverlap,
    NoCache,
    NoProgress,
    Overrides,
    Quick,
    RunsFolder,
    by_signal,
    kept_answers,
    one_process,
    one_voice,
    running,
    speaks,
)
from .sweep import sweep

app = typer.Typer(
    help="Prompting, RAG, tree RAG, LoRA or full fine-tuning: which to use, and what it costs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Prompting, RAG, tree RAG, LoRA or full fine-tuning: which to use, and what it costs."""
    # `--debug` is read by `main`, before or behind the verb; it stands here to be documented.
    one_process(context.invoked_subcommand or "")


app.add_typer(models_app, name="models")
app.add_typer(cache_app, name="cache")
app.add_typer(prompts_app, name="prompts")


class Format(enum.StrEnum):
    """How a comparison is printed."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a shipped one: lora")],
    overrides: Overrides = None,
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    allow_overlap: AllowOverlap = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
) -> None:
    """Run the run(s) of a recipe and print their table.

    Examples: wattune run recipes/lora.yaml lora.r=8 ; accelerate launch -m wattune run lora.yaml
    """
    records = _run_recipe(
        recipe, overrides or [], runs, quick, allow_overlap, no_progress, no_cache
    )
    if not speaks():
        return
    _print(records, Format.table)
    failed = [record for record in records if record.status != "done"]
    if failed:
        # A run asked for by name that was not done is an error; in a comparison it is a row.
        raise typer.Exit(1 if any(record.status == "failed" for record in failed) else 2)


@app.command()
def compare(
    what: Annotated[list[str], typer.Argument(help="A recipe and overrides, or folders/records.")],
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    allow_overlap: AllowOverlap = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
    allow: Annotated[
        bool,
        typer.Option("--allow", help="Rank together what does not compare; marks the tables."),
    ] = False,
    format: Annotated[
        Format | None, typer.Option("--format", help="How to print; default: a table.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write to this file, by its ending: .csv, .json or .md."
        ),
    ] = None,
) -> None:
    """Run what is missing of a recipe and compare all its runs; or compare finished records.

    Examples: wattune compare quickstart --quick ; wattune compare runs/quickstart --format csv
    """
    first, *rest = what
    if any(Path(path).is_dir() for path in what) or Path(first).suffix in (".json", ".jsonl"):
        if len(what) > 1 and not all(Path(path).exists() for path in what):
            raise InputError(
                "give a recipe with overrides, or folders of records, not both: " + " ".join(what)
            )
        from ..measure.store import load_records

        records = [record for path in what for record in load_records(path)]
        records.sort(key=lambda record: record.created_at)  # as the recipe ran them
        if not records:
            raise InputError(f"{', '.join(what)}: no records there; run a recipe first")
    else:
        records = _run_recipe(first, rest, runs, quick, allow_overlap, no_progress, no_cache)
    if not speaks():
        return
    _print(records, _format_of(output, format), output, allow)
    if not any(record.status == "done" for record in records):
        raise typer.Exit(1 if any(record.status == "failed" for record in records) else 2)


@app.command()
def ask(
    runs: Annotated[Path, typer.Argument(help="A folder of records: runs/quickstart")],
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    place: Annotated[str | None, typer.Option(help="Country or region, for gCO₂e.")] = None,
) -> None:
    """Answer one question with every system of a folder, with passages and joules.

    Example: wattune ask runs/quickstart "Who heads the Marine Division?"
    """
    from ..ask import ask_all, show_asked

    if not question.strip():
        raise InputError('the question is empty; wattune ask RUNS "Who heads ...?"')
    show_asked(question, ask_all(runs, question, place=place))


app.command("sweep")(sweep)
app.command("init")(init)
app.command("ls")(list_recipes)
app.command("cp")(cp)
app.command("validate")(validate)
app.command("ledger")(ledger)
app.command("export")(export)
app.command("save")(save)


def _run_recipe(
    recipe: str,
    overrides: list[str],
    runs: Path,
    quick: bool,
    allow_overlap: bool,
    no_progress: bool,
    no_cache: bool,
) -> list[Any]:
    from ..ranks import joined
    from ..recipe_file import load_recipe
    from ..run import run_recipe

    loaded = joined().same(lambda: load_recipe(recipe, overrides))
    loaded = loaded.quicker() if quick else loaded
    with running(no_progress) as progress:
        progress.step("looking at the task and the model", brief=True)
        return run_recipe(
            loaded,
            runs / loaded.name,
            allow_overlap=allow_overlap,
            progress=progress,
            say=progress.say,
            step=progress.step,
            debug="--debug" in sys.argv,
            responses=kept_answers(no_cache, progress),
            hold=by_signal,
        )


def _print(
    records: list[Any], format: Format, output: Path | None = None, allow: bool = False
) -> None:
    import json

    from ..compare import compare as compare_records
    from ..compare.table import plain_rows
    from ..files import write_text

    comparison = compare_records(records, allow=allow)
    if format is Format.table and output is None:
        comparison.show()
        return
    if format is Format.csv:
        text = comparison.to_csv()
    elif format is Format.json:
        text = json.dumps(plain_rows(comparison), indent=2) + "\n"
    else:  # a table in a file is Markdown
        text = comparison.to_markdown()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)


def _format_of(output: Path | None, format: Format | None) -> Format:
    """What was asked for, or what the ending of the file says."""
    if format is not None or output is None:
        return format or Format.table
    formats = {".csv": Format.csv, ".json": Format.json, ".md": Format.markdown}
    if output.suffix not in formats:
        raise InputError(f"{output}: the ending says the format; .csv, .json or .md, or --format")
    return formats[output.suffix]


def main() -> None:
    """Entry point: errors for people, exit 2 for bad input, 3 for constraints, 1 for crashes."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if arguments == ["--version"]:
        from .. import __version__

        typer.echo(f"wattune {__version__}")
        return
    try:
        with one_voice():
            app(args=arguments)
    except WattuneError as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        typer.echo(f"crashed: {type(error).__name__}: {error} (--debug shows where)", err=True)
        sys.exit(1)
