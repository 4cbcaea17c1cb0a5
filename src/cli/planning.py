"""The verbs that tell what a recipe will take before it runs, and what this machine can do."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .running import AllowOverlap, NoProgress, Overrides, Quick, RunsFolder, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..planning import Calibration, Plan
    from ..recipe import Recipe

Budgeted = Annotated[
    str | None,
    typer.Option("--budget", help="Refuse what is likely to exceed it: 50Wh, 30min, 12g, 0.50EUR."),
]


class PlanFormat(enum.StrEnum):
    """How a plan is printed."""

    table = "table"
    json = "json"
    markdown = "markdown"


def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a shipped one: quickstart")],
    overrides: Overrides = None,
    budget: Budgeted = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A file of `wattune calibrate`; default: this machine's, made once."),
    ] = None,
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    allow_overlap: AllowOverlap = False,
    no_progress: NoProgress = False,
    format: Annotated[PlanFormat, typer.Option("--format")] = PlanFormat.table,
) -> None:
    """Tell what each run will take before anything is spent: tokens, operations, memory, time,
    energy, gCO₂e and money, each with an 80 % range.

    Examples: wattune plan quickstart ; wattune plan lora.yaml lora.r=8 --budget 50Wh
    """
    import json

    from ..compare.render import markdown_tables, show_tables
    from ..planning.budget import budget_of, check_budget
    from ..planning.table import plan_notes, plan_plain, plan_tables
    from ..recipe_file import load_recipe

    limit = budget_of(budget) if budget is not None else None
    loaded = load_recipe(recipe, overrides or [])
    loaded = loaded.quicker() if quick else loaded
    with running(no_progress) as progress:
        made = planned(loaded, runs, calibration, allow_overlap, progress.step)
    if format is PlanFormat.json:
        typer.echo(json.dumps(plan_plain(made), indent=2))
    elif format is PlanFormat.markdown:
        typer.echo(markdown_tables(plan_tables(made), plan_notes(made)))
    else:
        console = show_tables(plan_tables(made))
        for note in plan_notes(made):
            console.print(note, style="dim", highlight=False, markup=False)
    if limit is not None:
        typer.echo(check_budget(made, limit), err=format is PlanFormat.json)


def planned(
    recipe: Recipe,
    runs: Path,
    calibration: Path | None,
    allow_overlap: bool,
    say: Callable[[str], None],
) -> Plan:
    """The plan of a recipe by a calibration, that of a file or this machine's."""
    from ..measure.calibration import load_calibration
    from ..planning import plan_recipe

    known = (
        load_calibration(calibration) if calibration is not None else _of_this_machine(recipe, say)
    )
    return plan_recipe(
        recipe, known, folder=runs / recipe.name, allow_overlap=allow_overlap, say=say
    )


def kept_within(budget: str, recipe: Recipe, runs: Path, allow_overlap: bool) -> str:
    """What a plan says of a recipe within a budget. Raises `InputError` for a budget that is none,
    and `ConstraintNotMet` where it is likely to be exceeded."""
    from ..planning.budget import budget_of, check_budget

    limit = budget_of(budget)
    return check_budget(planned(recipe, runs, None, allow_overlap, lambda line: None), limit)


def _of_this_machine(recipe: Recipe, say: Callable[[str], None]) -> Calibration:
    from ..planning.kept import kept_calibration
    from ..planning.measuring import MODEL

    model = recipe.settings.model
    return kept_calibration(model if isinstance(model, str) else MODEL, say=say)


def calibrate(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it to a file: machine.json")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to measure with; default: the packaged one.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="About how long to measure; default: 10. Measures anew."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure anew.")] = False,
    no_progress: NoProgress = False,
) -> None:
    """Measure this machine for a few seconds: rates, and joules per operation and per byte.

    Examples: wattune calibrate -o machine.json ; wattune calibrate --model org/name --fresh
    """
    from ..compare.render import show_tables
    from ..planning.calibration_table import calibration_notes, calibration_tables
    from ..planning.kept import SECONDS, keep_calibration, kept_calibration
    from ..planning.measuring import MODEL

    with running(no_progress) as progress:
        made = kept_calibration(
            model or MODEL,
            seconds=seconds or SECONDS,
            fresh=fresh or seconds is not None,
            say=progress.step,
        )
    if output is not None:
        keep_calibration(output, made)
    console = show_tables(calibration_tables(made))
    for note in calibration_notes(made):
        console.print(note, style="dim", highlight=False, markup=False)
    if output is not None:
        typer.echo(f"wrote {output}", err=True)
