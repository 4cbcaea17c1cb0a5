"""`wattune advise --ask`: the questions in the terminal, and what to try first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import InputError, did_you_mean

if TYPE_CHECKING:
    from ..advice.situation import Question
    from .advising import AdviceFormat


def propose(
    answers: Path | None, write_recipe: Path | None, format: AdviceFormat, output: Path | None
) -> None:
    """Ask what the file of answers leaves open, and print or write the proposal."""
    from ..advice.proposal import proposed
    from ..advice.situation import QUESTIONS, Situation, asked
    from ..files import write_text
    from ..measure.accounts.yaml_table import validated

    given = _given(answers) if answers is not None else {}
    unknown = [name for name in given if name not in QUESTIONS]
    if unknown:
        raise InputError(
            f'{answers}: unknown question "{unknown[0]}"' + did_you_mean(unknown[0], QUESTIONS)
        )
    if write_recipe is not None and write_recipe.exists():
        raise InputError(f"{write_recipe} exists already; name another file")
    try:
        content = asked(given, _prompted)
    except typer.Abort:
        missing = ", ".join(name for name in QUESTIONS if name not in given)
        raise InputError(
            f"these questions were not answered: {missing}; without a terminal give --answers FILE"
        ) from None
    proposal = proposed(validated(Situation, content, str(answers or "the answers")))
    if write_recipe is not None:
        write_text(write_recipe, proposal.recipe)
        typer.echo(f"wrote {write_recipe}; next: wattune compare {write_recipe}", err=True)
    if format == "text" and output is None:
        proposal.show()
        return
    text = proposal.to_json() if format == "json" else proposal.to_markdown()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)


def _given(path: Path) -> Mapping[str, Any]:
    from ..yaml_lines import read_mapping

    return read_mapping(path, InputError, what="answers are a mapping of questions to answers")[0]


def _prompted(question: Question) -> str:
    """One question in the terminal; asked again until the answer is one of its choices."""
    known = ", ".join(question.choices)
    text = f"{question.text} ({known})" if known else question.text
    while True:
        # On stderr, so that what is printed can be piped.
        answer = str(typer.prompt(text, default=question.default, err=True)).strip()
        if not question.choices or answer in question.choices:
            return answer
        typer.echo(f'"{answer}" is none of: {known}', err=True)
