"""The verbs of the command line; no logic of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, WattuneError
from .advising import advise
from .artefacts import save
from .auditing import pack, unpack
from .cache import cache_app
from .comparing import compare, shown
from .models import models_app
from .options import refuse
from .planning import Budgeted, calibrate, plan
from .prompts import prompts_app
from .recipes import cp, init, list_recipes, validate
from .records import export, ledger
from .reporting import report
from .running import (
    AllowOverlap,
    Duration,
    NoCache,
    NoProgress,
    Overrides,
    Quick,
    RunsFolder,
    Start,
    Within,
    made,
    one_process,
    one_voice,
    speaks,
)
from .sweep import sweep
from .timing import forecast, when

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


@app.command()
def run(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a shipped one: lora")],
    overrides: Overrides = None,
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    allow_overlap: AllowOverlap = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
    start: Start = None,
    within: Within = "24h",
    duration: Duration = None,
    budget: Budgeted = None,
) -> None:
    """Run the run(s) of a recipe and print their table.

    Examples: wattune run recipes/lora.yaml lora.r=8 ; accelerate launch -m wattune run lora.yaml
    """
    if start is None:
        refuse(context, "without --start greenest", "within", "duration")
    records = made(
        recipe, overrides or [], runs, quick, allow_overlap, no_progress, no_cache, start, within,
        duration, budget,
    )  # fmt: skip
    if not speaks():
        return
    shown(records)
    failed = [record for record in records if record.status != "done"]
    if failed:
        # A run asked for by name that was not done is an error; in a comparison it is a row.
        raise typer.Exit(1 if any(record.status == "failed" for record in failed) else 2)


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


app.command("plan")(plan)
app.command("compare")(compare)
app.command("advise")(advise)
app.command("report")(report)
app.command("sweep")(sweep)
app.command("init")(init)
app.command("ls")(list_recipes)
app.command("cp")(cp)
app.command("validate")(validate)
app.command("calibrate")(calibrate)
app.command("ledger")(ledger)
app.command("when")(when)
app.command("forecast")(forecast)
app.command("export")(export)
app.command("save")(save)
app.command("pack")(pack)
app.command("unpack")(unpack)


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
