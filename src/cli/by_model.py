"""What verbs share that look at base models: the filters, and comparing by model."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..compare.by_hardware import ByHardware
    from ..compare.by_model import ByModel
    from ..measure.record import Record


class By(enum.StrEnum):
    """What a comparison is laid out by."""

    run = "run"
    model = "model"
    hardware = "hardware"


Scores = Annotated[
    list[Path] | None,
    typer.Option(
        help="A CSV of scores that others published: model,benchmark,metric,score,source,url,date."
    ),
]
Licence = Annotated[
    str | None, typer.Option(help="Keep models under this licence; open: any that is open.")
]
MaxParameters = Annotated[
    str | None, typer.Option(help="Keep models of at most so many parameters: 135M, 1.7B.")
]
Language = Annotated[
    str | None, typer.Option(help="Keep models whose card names this language: de.")
]
OnPremises = Annotated[
    bool, typer.Option("--on-premises", help="Keep what sends nothing to a server elsewhere.")
]


def chosen(
    records: list[Record],
    licence: str | None,
    max_parameters: str | None,
    language: str | None,
    on_premises: bool,
) -> list[Record]:
    """The records whose base model passes the filters; says which others fell out, and why."""
    from ..compare.filters import filtered, filters_of
    from ..models.facts import known_facts

    filters = filters_of(licence, max_parameters, language, on_premises)
    kept, sentences = filtered(records, filters, known_facts(records))
    for sentence in sentences:
        typer.echo(sentence, err=True)
    return kept


def compared_by_hardware(records: Sequence[Record], measured: Sequence[Record]) -> ByHardware:
    """The comparison by machine; records that were projected stand beside the `measured` ones."""
    from ..compare import compare
    from ..compare.by_hardware import ByHardware

    return ByHardware(compare([*measured, *records]))


def compared_by_model(
    records: Sequence[Record], allow: bool = False, scores: Sequence[Path] | None = None
) -> ByModel:
    """The comparison by base model, with facts that lie here for records of before they held them,
    and scores that others published."""
    from ..compare import compare
    from ..compare.by_model import ByModel
    from ..measure.published import read_published
    from ..models.facts import known_facts

    published = tuple(score for path in scores or () for score in read_published(path))
    return ByModel(compare(records, allow=allow), known_facts(records), published)
