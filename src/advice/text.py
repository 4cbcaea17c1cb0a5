"""Advice on paper: words first, then the table, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from ..compare.figures import interval, quality_columns
from ..compare.layout import Table
from ..compare.wording import number, span
from .proposal import Proposal, Suggestion
from .verdict import Advice, Candidate, Decision, Standing
from .wording import NAMED

SHOWN = 20
"""Rows of a table and names of a list that a person reads; the JSON has all."""
STANDINGS: tuple[Standing, ...] = get_args(Standing)
"""What matters most comes first."""
KWH_FROM_WH = 1000.0
"""The column of energies is in kWh where the largest is at least that."""


def sections(decision: Decision) -> Iterator[tuple[str, list[str]]]:
    """Headings and their sentences, in the order in which they are read; the table comes first."""
    others: dict[str, list[str]] = {}
    for candidate in decision.candidates:
        if candidate.standing not in ("choice", "runner-up"):
            others.setdefault(candidate.why, []).append(candidate.run)
    heading = "Why not the others" if decision.choice else "Why not"
    told = [f"{_some(names)}: {why}." for why, names in others.items()]
    more = [f"{len(told) - SHOWN:,} reasons more stand in the JSON."] if len(told) > SHOWN else []
    yield heading, [*told[:SHOWN], *more]
    yield "The price of quality", [price.sentence for price in decision.prices]
    yield "What is not known", [gap.what for gap in decision.gaps]
    if decision.measure_next:
        yield "Measure next", [decision.measure_next]
    yield "Where the figures come from", list(decision.provenance)


def _some(names: Sequence[str]) -> str:
    """Names, of many the first ones and how many more."""
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED:,} more"


def _shown(decision: Decision) -> list[Candidate]:
    """The rows of the table: of many those that matter most, the cheapest first."""
    ranked = sorted(decision.candidates, key=lambda c: STANDINGS.index(c.standing))
    kept = {c.run for c in ranked[:SHOWN]}
    return [c for c in decision.candidates if c.run in kept]


def table_of(decision: Decision, advice: Advice) -> Table:
    """Each run's quality, costs over the horizon and standing, the cheapest first."""
    candidates = _shown(decision)
    most = max((c.total_wh.value for c in candidates if c.total_wh), default=0.0)
    unit, size = ("kWh", KWH_FROM_WH) if most >= KWH_FROM_WH else ("Wh", 1.0)
    currency = next((c.currency for c in candidates if c.currency), None)
    money = currency is not None and any(c.total_money is not None for c in candidates)

    def cells(c: Candidate) -> tuple[str, ...]:
        wh = c.total_wh.value / size if c.total_wh else None
        return (
            c.run, interval(c.quality), _cell(wh), _cell(c.total_g),
            *([_cell(c.total_money)] if money else []), c.standing,
        )  # fmt: skip

    count = len(decision.candidates)
    runs = "The runs" if count == len(candidates) else f"{len(candidates)} of {count:,} runs"
    return Table(
        f"{runs} over {span(advice.needs.usage.horizon_days)}, the cheapest first",
        (
            "run", quality_columns([decision.metric])[0].header, unit, "g CO₂e",
            *([str(currency)] if money else []), "verdict",
        ),
        tuple(map(cells, candidates)),
    )  # fmt: skip


def _cell(value: float | None) -> str:
    return "–" if value is None else number(value)


class _Page:
    """The terminal: sentences filled to its width, and tables."""

    def __init__(self) -> None:
        from ..compare.render import show_tables

        self.console = show_tables([])

    def say(self, text: str, lead: str = "", style: str | None = None) -> None:
        """One sentence, its later lines under its first word."""
        from textwrap import fill

        from rich.markup import escape

        filled = fill(
            text, self.console.width, initial_indent=lead, subsequent_indent=" " * len(lead),
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        self.console.print(escape(filled), style=style, highlight=False, soft_wrap=True)

    def section(self, heading: str, sentences: Sequence[str]) -> None:
        """A heading and its sentences; nothing where there are none."""
        if sentences:
            self.say(heading, style="bold")
        for sentence in sentences:
            self.say(sentence, "- ")


def show(advice: Advice) -> None:
    """Print advice, as wide as the terminal."""
    from ..compare.render import show_tables

    page = _Page()
    for decision in advice.decisions:
        if decision.group:
            page.say(f"Runs that were measured alike ({decision.group})", style="dim")
        page.say(decision.headline, style="bold")
        page.say(advice.needs.sentence(quality_columns([decision.metric])[0].plain), style="dim")
        for reason in decision.reasons:
            page.say(reason, "- ")
        show_tables([table_of(decision, advice)])
        for heading, sentences in sections(decision):
            page.section(heading, sentences)
        page.console.print()


def markdown(advice: Advice) -> str:
    """The same as Markdown."""
    from ..compare.render import markdown_tables

    parts = []
    for decision in advice.decisions:
        if decision.group:
            parts.append(f"*Runs that were measured alike ({decision.group})*")
        parts.append(f"**{decision.headline}**")
        parts.append(advice.needs.sentence(quality_columns([decision.metric])[0].plain))
        parts.append(_bullets(decision.reasons))
        parts.append(markdown_tables([table_of(decision, advice)], []).strip())
        parts += _sections(sections(decision))
    return "\n\n".join(parts) + "\n"


PUBLISHED = (
    "Nothing was measured here: what follows is by rules of the field and by findings that were "
    "published on other models and other tasks. It says what to try first; only measuring says "
    "which one is best."
)


def proposal_sections(proposal: Proposal) -> Iterator[tuple[str, list[str]]]:
    """Headings and their sentences, in the order in which they are read."""
    told: set[str] = set()
    first = [f"{n}. {s.strategy}: {_reasons(s, told)}" for n, s in enumerate(proposal.first, 1)]
    yield "Try first", first
    yield "Leave for later", [f"{s.strategy}: {_reasons(s, told)}" for s in proposal.later]
    yield "What would change this", list(proposal.turns)
    yield "Next", list(proposal.next)


def _reasons(suggestion: Suggestion, told: set[str]) -> str:
    """The reasons; each finding in full where it comes first."""
    parts = []
    for reason in suggestion.reasons:
        parts.append(reason.sentence)
        if reason.published and reason.published not in told:
            parts.append(f"Published: {reason.published}.")
            told.add(reason.published)
    return " ".join(parts)


def show_proposal(proposal: Proposal) -> None:
    """Print what to try first, as wide as the terminal."""
    from rich.markup import escape

    page = _Page()
    page.say(PUBLISHED, style="bold")
    for heading, sentences in proposal_sections(proposal):
        page.section(heading, sentences)
    page.say("The recipe, as proposal.yaml", style="bold")
    page.console.print(escape(proposal.recipe), highlight=False, soft_wrap=True)


def proposal_markdown(proposal: Proposal) -> str:
    """The same as Markdown."""
    recipe = f"**The recipe, as proposal.yaml**\n\n```yaml\n{proposal.recipe}```"
    told = _sections(proposal_sections(proposal))
    return "\n\n".join([f"**{PUBLISHED}**", *told, recipe]) + "\n"


def _sections(told: Iterator[tuple[str, list[str]]]) -> list[str]:
    return [
        part
        for heading, sentences in told
        if sentences
        for part in (f"**{heading}**", _bullets(sentences))
    ]


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
