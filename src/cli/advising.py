"""The verb that advises: from records and needs to a choice; without records, what to try first."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import ConstraintNotMet, InputError

if TYPE_CHECKING:
    from ..advice import Advice, Needs


class AdviceFormat(enum.StrEnum):
    """How advice is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"


class Serving(enum.StrEnum):
    """How answers are given: all at once, or one at a time."""

    batch = "batch"
    realtime = "realtime"


class Privacy(enum.StrEnum):
    """Where questions may be sent."""

    any = "any"
    on_premises = "on-premises"


class Licence(enum.StrEnum):
    """Which models may be taken."""

    any = "any"
    open = "open"


class Weigh(enum.StrEnum):
    """What the cheapest has least of."""

    energy = "energy"
    carbon = "carbon"
    money = "money"


ENDINGS = {".md": AdviceFormat.markdown, ".json": AdviceFormat.json}


def advise(
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
    answers_per_day: Annotated[
        float | None, typer.Option(min=0, help="How many answers people get in a day.")
    ] = None,
    horizon: Annotated[str, typer.Option(help="How long it is used: 1y, 90d.")] = "1y",
    refresh: Annotated[
        str, typer.Option(help="How often knowledge changes: weekly, monthly, 12 (a year).")
    ] = "never",
    serving: Annotated[
        Serving, typer.Option(help="Answers all at once, or one at a time.")
    ] = Serving.batch,
    cached_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of answers that a cache gives.")
    ] = 0.0,
    idle_hours: Annotated[
        float, typer.Option(min=0, max=24, help="Hours a day the machine is kept waiting.")
    ] = 0.0,
    min_quality: Annotated[
        float | None, typer.Option(help="The quality asked for, by --metric.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Which quality: token_f1; default: the task's first.")
    ] = None,
    max_latency_p95: Annotated[
        str | None, typer.Option(help="95 % of answers within: 2s, 500ms.")
    ] = None,
    max_memory: Annotated[str | None, typer.Option(help="While answering: 8GB.")] = None,
    max_energy_per_1000: Annotated[
        str | None, typer.Option(help="Of 1,000 answers: 0.5Wh.")
    ] = None,
    max_cost: Annotated[str | None, typer.Option(help="Over the horizon: 20EUR.")] = None,
    privacy: Annotated[
        Privacy, typer.Option(help="on-premises: nothing is sent to a server elsewhere.")
    ] = Privacy.any,
    licence: Annotated[
        Licence, typer.Option(help="open: weights that are free to use and to change.")
    ] = Licence.any,
    place: Annotated[
        str | None, typer.Option(help="Whose grid grams are by; default: that of the records.")
    ] = None,
    weigh: Annotated[
        Weigh, typer.Option(help="What the cheapest has least of, over the horizon.")
    ] = Weigh.energy,
    allow: Annotated[
        bool, typer.Option("--allow", help="Weigh together what was measured differently.")
    ] = False,
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
        from .asking import propose

        propose(answers, write_recipe, _format_of(output, format), output)
        return
    if not runs:
        raise InputError(
            "give a folder of records (wattune advise runs/quickstart --answers-per-day 1000), or "
            "--ask where there are none yet"
        )
    if write_recipe is not None:
        raise InputError("--write-recipe goes with --ask")
    if answers_per_day is None:
        raise InputError(
            "--answers-per-day is missing: what is cheap depends on how much it is used; 100 is a "
            "small team, 10000 a busy service"
        )
    needs = needs_of(
        answers_per_day, horizon, refresh, serving.value, cached_share, idle_hours, min_quality,
        metric, max_latency_p95, max_memory, max_energy_per_1000, max_cost, privacy.value,
        licence.value, place, weigh.value,
    )  # fmt: skip
    _tell(runs, needs, allow, _format_of(output, format), output)


def needs_of(
    answers_per_day: float, horizon: str, refresh: str, serving: Literal["batch", "realtime"],
    cached_share: float, idle_hours: float, min_quality: float | None, metric: str | None,
    max_latency_p95: str | None, max_memory: str | None, max_energy_per_1000: str | None,
    max_cost: str | None, privacy: Literal["any", "on-premises"], licence: Literal["any", "open"],
    place: str | None, weigh: Literal["energy", "carbon", "money"],
) -> Needs:  # fmt: skip
    """What was written on the command line, in the units of `Needs`."""
    from ..advice import Needs
    from ..advice.quantities import bytes_of, money_of, watt_hours_of
    from ..compare.usage import Usage
    from ..durations import DAY_S, seconds_of, times_per_year
    from ..measure.accounts.yaml_table import validated
    from ..measure.carbon import carbon_of

    carbon_of(place)  # an unknown place is told before anything is read
    cost, currency = money_of(max_cost) if max_cost else (None, None)
    usage = Usage(
        answers_per_day=answers_per_day,
        horizon_days=seconds_of(horizon) / DAY_S,
        refreshes_per_year=times_per_year(refresh),
        serving=serving,
        cached_share=cached_share,
        idle_hours_per_day=idle_hours,
    )
    content = {
        "usage": usage,
        "metric": metric,
        "min_quality": min_quality,
        "max_latency_p95_s": seconds_of(max_latency_p95) if max_latency_p95 else None,
        "max_memory_bytes": bytes_of(max_memory) if max_memory else None,
        "max_energy_wh_per_1000": (
            watt_hours_of(max_energy_per_1000) if max_energy_per_1000 else None
        ),
        "max_cost": cost,
        "currency": currency,
        "privacy": privacy,
        "licence": licence,
        "place": place,
        "weigh": weigh,
    }
    return validated(Needs, content, "what you need")


def _tell(
    runs: list[str], needs: Needs, allow: bool, format: AdviceFormat, output: Path | None
) -> None:
    """Print or write the advice; raise `ConstraintNotMet` where it has nothing to recommend."""
    from ..advice import advise as advise_from
    from ..compare import compare as compare_records
    from ..measure.store import load_records

    records = [record for path in runs for record in load_records(path)]
    if not records:
        raise InputError(
            f"{', '.join(runs)}: no records there; run a recipe first (wattune compare), or "
            "wattune advise --ask"
        )
    comparison = compare_records(records, allow=allow)
    advice = advise_from(comparison, needs, recipe=_recipe_of(runs[0]))
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
