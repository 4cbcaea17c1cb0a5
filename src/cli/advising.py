"""The verb that advises: from records and needs to a choice; without records, what to try first."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConstraintNotMet, InputError
from .needs_options import (
    FreeToUse,
    KeptIn,
    Licence,
    MaxCost,
    MaxEnergy,
    MaxLatency,
    MaxMemory,
    MetricName,
    Place,
    Privacy,
    Together,
    Weigh,
    WeighBy,
    needs_of,
)
from .options import NEEDS, USAGE, refuse
from .transfer_options import From, On, Parameters, projected
from .usage_options import (
    AnswersPerDay,
    CachedShare,
    Horizon,
    IdleHours,
    MinQuality,
    Refresh,
    RefreshAt,
    ServedAs,
    usage_of,
)

if TYPE_CHECKING:
    from ..advice import Advice, Needs
    from ..measure.record import Record


class AdviceFormat(enum.StrEnum):
    """How advice is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"


ENDINGS = {".md": AdviceFormat.markdown, ".json": AdviceFormat.json}


def advise(
    context: typer.Context,
    runs: Annotated[
        list[str] | None, typer.Argument(help="Folders or files of records: runs/quickstart")
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="No records yet: answer questions, get what to try first.")
    ] = False,
    answers: Annotated[
        Path | None, typer.Option(help="YAML: answers to the questions of --ask.")
    ] = None,
    write_recipe: Annotated[
        Path | None, typer.Option(help="Of --ask: write the proposed recipe to this new file.")
    ] = None,
    answers_per_day: AnswersPerDay = None,
    horizon: Horizon = None,
    refresh: Refresh = None,
    refresh_costs: RefreshAt = None,
    serving: ServedAs = None,
    cached_share: CachedShare = None,
    idle_hours: IdleHours = None,
    min_quality: MinQuality = None,
    metric: MetricName = None,
    max_latency_p95: MaxLatency = None,
    max_memory: MaxMemory = None,
    max_energy_per_1000: MaxEnergy = None,
    max_cost: MaxCost = None,
    privacy: KeptIn = Privacy.any,
    licence: FreeToUse = Licence.any,
    place: Place = None,
    weigh: WeighBy = Weigh.energy,
    allow: Together = False,
    on: On = None,
    parameters: Parameters = None,
    sources: From = None,
    format: Annotated[AdviceFormat | None, typer.Option("--format", help="Default: text.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file: .md or .json.")
    ] = None,
) -> None:
    """Say which way to go, from what was measured and what you need, with reasons.

    Ends with exit code 3 where nothing meets the constraints. Without records, --ask proposes what
    to try first, from published findings.

    Examples: wattune advise runs/quickstart --answers-per-day 10000 --min-quality 0.3 --refresh
    weekly --place FRA ; wattune advise --ask
    """
    if ask or answers is not None:
        if runs:
            raise InputError(f"--ask is for who has no records; leave out {' '.join(runs)}")
        refuse(context, "with --ask", *USAGE, *NEEDS, "allow", "on", "parameters", "sources")
        from .asking import propose

        propose(answers, write_recipe, _format_of(output, format), output)
        return
    if not runs:
        raise InputError(
            "give a folder of records (wattune advise runs/quickstart --answers-per-day 1000), or "
            "--ask where there are none yet"
        )
    refuse(context, "without --ask", "write_recipe")
    if answers_per_day is None:
        raise InputError(
            "--answers-per-day is missing: what is cheap depends on how much it is used; 100 is a "
            "small team, 10000 a busy service"
        )
    usage = usage_of(
        answers_per_day,
        horizon=horizon,
        refresh=refresh,
        refresh_costs=refresh_costs,
        serving=serving,
        cached_share=cached_share,
        idle_hours=idle_hours,
    )
    assert usage is not None
    needs = needs_of(
        usage,
        min_quality=min_quality,
        metric=metric,
        max_latency_p95=max_latency_p95,
        max_memory=max_memory,
        max_energy_per_1000=max_energy_per_1000,
        max_cost=max_cost,
        privacy=privacy,
        licence=licence,
        place=place,
        weigh=weigh,
    )
    from ..measure.store import load_records

    records = [record for path in runs for record in load_records(path)]
    if not records:
        raise InputError(
            f"{', '.join(runs)}: no records there; run a recipe first (wattune compare), or "
            "wattune advise --ask"
        )
    records = projected(records, on, parameters, sources)
    _tell(records, _recipe_of(runs[0]), needs, allow, _format_of(output, format), output)


def _tell(
    records: list[Record], recipe: str, needs: Needs, allow: bool, format: AdviceFormat,
    output: Path | None,
) -> None:  # fmt: skip
    """Print or write the advice; raise `ConstraintNotMet` where it has nothing to recommend."""
    from ..advice import advise as advise_from
    from ..compare import compare as compare_records

    comparison = compare_records(records, allow=allow)
    advice = advise_from(comparison, needs, recipe=recipe)
    printed(advice, format, output)
    if not advice.met:
        raise ConstraintNotMet(advice.decisions[0].headline)


def printed(advice: Advice, format: AdviceFormat, output: Path | None) -> None:
    """Print advice, or write it to a file."""
    from ..files import write_text

    if format is AdviceFormat.text and output is None:
        advice.show()
        return
    text = advice.to_json() if format is AdviceFormat.json else advice.to_markdown()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)


def _recipe_of(runs: str) -> str:
    """The recipe that a folder of records was made by, for commands: records lie in a folder of its
    name. A word to replace where no such recipe is at hand."""
    from ..files import shipped_folder

    name = Path(runs).resolve().name
    if (shipped_folder() / f"{name}.yaml").is_file():
        return name
    return f"{name}.yaml" if Path(f"{name}.yaml").is_file() else "RECIPE"


def _format_of(output: Path | None, format: AdviceFormat | None) -> AdviceFormat:
    """What was asked for, or what the ending of the file says."""
    if format is not None or output is None:
        return format or AdviceFormat.text
    if output.suffix not in ENDINGS:
        raise InputError(f"{output}: the ending says the format; .md or .json, or --format")
    return ENDINGS[output.suffix]
