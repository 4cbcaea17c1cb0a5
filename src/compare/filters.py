"""Filters by base model: which records stay in a comparison, and why the others fell out.

What is not known does not pass: a licence that nobody stated is not open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic import Field

from ..errors import ConstraintNotMet, InputError
from ..measure.licences import is_open
from ..measure.model_facts import ModelFacts
from ..measure.record import Record
from ..values import Value
from .base_models import Known, counted, facts_of, short_name
from .elsewhere import asked_elsewhere

OPEN = "open"
SIZES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


class Filters(Value):
    """What a base model must be; None and False ask nothing.

    `licence` is "open", or a licence by its identifier; `max_parameters` counts weights;
    `language` is an ISO 639 code or an English name; `on_premises` lets no question leave.
    """

    licence: str | None = None
    max_parameters: float | None = Field(default=None, gt=0)
    language: str | None = None
    on_premises: bool = False


def filters_of(
    licence: str | None, max_parameters: str | None, language: str | None, on_premises: bool
) -> Filters:
    """Filters as they are written on a command line: ``open``, ``1B``, ``de``.

    Raises `InputError` for a number that is none and a language that no list knows.
    """
    if language is not None and _language(language) is None:
        raise InputError(
            f'"{language}" is no language; give an ISO 639 code such as de, or its English name'
        )
    return Filters(
        licence=licence,
        max_parameters=None if max_parameters is None else parameter_count(max_parameters),
        language=language,
        on_premises=on_premises,
    )


def parameter_count(text: str) -> float:
    """``135M``, ``1.7B`` or ``134515008`` as a number; `InputError` for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", text.strip(), re.IGNORECASE)
    if match is None or not float(match[1]):
        raise InputError(f'"{text}" is no number of parameters; write 135M, 1.7B or 134515008')
    return float(match[1]) * SIZES[match[2].upper()]


def filtered(
    records: Sequence[Record], filters: Filters, known: Known | None = None
) -> tuple[list[Record], list[str]]:
    """The records whose base model is as asked, and a sentence for each reason why others are not.

    Classifiers stand on no model: they have no licence or language to ask for, and stay. Raises
    `ConstraintNotMet` where no record stays.
    """
    kept: list[Record] = []
    out: dict[str, list[str]] = {}
    for record in records:
        reasons = [] if filters == Filters() else list(_reasons(record, filters, known or {}))
        if not reasons:
            kept.append(record)
        for reason in reasons:
            out.setdefault(reason, []).append(record.name)
    told = [f"{reason}: {', '.join(dict.fromkeys(names))}" for reason, names in out.items()]
    if records and not kept:
        raise ConstraintNotMet("no run passes the filters. " + "; ".join(told))
    return kept, [f"Filtered out, {sentence}." for sentence in told]


def _reasons(record: Record, filters: Filters, known: Known) -> Iterator[str]:
    facts = facts_of(record, known)
    if filters.on_premises and (where := _elsewhere(record, facts)):
        yield where
    if facts is None:
        return
    if filters.licence is not None:
        yield from _licence(facts, filters.licence)
    name = short_name(facts)
    if filters.max_parameters is not None:
        most = counted(filters.max_parameters)
        if facts.parameters is None:
            yield f"parameters of {name} unknown ({facts.sources.get('parameters', '')})"
        elif facts.parameters > filters.max_parameters:
            yield f"{counted(facts.parameters)} parameters of {name}, at most {most} asked"
    if filters.language is not None:
        spoken = {_language(code) for code in facts.languages}
        if not facts.languages:
            yield f"languages of {name} unknown ({facts.sources.get('languages', '')})"
        elif _language(filters.language) not in spoken:
            yield f"{', '.join(facts.languages)} of {name}, {filters.language} asked"


def _licence(facts: ModelFacts, asked: str) -> Iterator[str]:
    if facts.licence is None:
        yield f"licence of {short_name(facts)} unknown ({facts.sources.get('licence', '')})"
    elif asked.lower() == OPEN:
        if not is_open(facts.licence):
            yield f"licence {facts.licence} of {short_name(facts)} is not listed as open"
    elif asked.lower() != facts.licence.lower():
        yield f"licence {facts.licence} of {short_name(facts)}, {asked} asked"


def _elsewhere(record: Record, facts: ModelFacts | None) -> str:
    """Why questions or documents may leave this machine, or ""."""
    if facts is not None and facts.where != "this_machine":
        told = "asks a server elsewhere" if facts.where else "it is not recorded where it answers"
        return f"{short_name(facts)}: {told}"
    names = ", ".join(asked_elsewhere(record))
    return f"it may ask {names}, which its recipe does not call this machine" if names else ""


def _language(code: str) -> str | None:
    """The three letters of a language, by a code or an English name; None for no language."""
    import pycountry

    try:
        return str(pycountry.languages.lookup(code.partition("-")[0].strip()).alpha_3)
    except LookupError:
        return None
