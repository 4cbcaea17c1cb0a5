"""Questions to a System, and one question to every system of a folder of records, side by side."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from .answering.answer import Answer
from .answering.pool import Pool
from .answering.session import Session
from .errors import CannotRun, InputError, ModelError, StorageError
from .loading import system_of
from .measure.carbon import emissions_g
from .measure.ledger import Ledger
from .measure.meter import Meter
from .measure.record import Phase, Record
from .measure.store import load_records
from .stages import StageStore
from .system import System, check_free_questions, parse_system

Source = System | Record | Path | str


@overload
def ask(system: Source, questions: str, *, stages: StageStore | None = ...) -> Answer: ...
@overload
def ask(
    system: Source, questions: list[str] | tuple[str, ...], *, stages: StageStore | None = ...
) -> list[Answer]: ...
def ask(
    system: Source,
    questions: str | list[str] | tuple[str, ...],
    *,
    stages: StageStore | None = None,
) -> Answer | list[Answer]:
    """What a System answers: to one question its `Answer`, to several a list in their order.

    `system` may also be the Record of its run, the folder it was saved in, or the name of a model.
    It is opened for the call, so give many questions at once. Nothing is kept or metered; to
    measure, use `run`. Raises `InputError` for an empty question, `CannotRun` for a System that
    needs more than the question (oracle passages), `ModelError` where it cannot be opened.
    """
    asked = [questions] if isinstance(questions, str) else list(questions)
    for number, question in enumerate(asked):
        if not question.strip():
            raise InputError(f"question {number + 1} of {len(asked)} is empty; ask in words")
    opened = system_of(system)
    check_free_questions(opened)
    with Meter() as meter:
        pool = Pool(stages or StageStore(), meter)
        try:
            answers = Session(opened, pool).answer(asked)
        finally:
            pool.close()
    return answers[0] if isinstance(questions, str) else answers


@dataclass(frozen=True)
class Asked:
    """What one system answered, and what that took; `reason` where it could not."""

    record: Record
    answer: Answer | None
    phase: Phase | None
    duration_s: float = 0.0
    grams: float | None = None
    reason: str = ""


def ask_all(
    runs: Path, question: str, *, place: str | None = None, stages: StageStore | None = None
) -> list[Asked]:
    """Answer `question` with the system of every finished record under `runs`.

    Loading is not in the figures.
    """
    records = [record for record in load_records(runs) if record.status == "done"]
    if not records:
        raise InputError(f"{runs}: no finished records there; run a recipe first")
    with Meter(place=place) as meter:
        pool = Pool(stages or StageStore(), meter)
        # Systems with the same weights one after another, so that each is opened once.
        order = sorted(range(len(records)), key=lambda i: (_system(records[i]).weights_key(), i))
        results: dict[int, Asked] = {}
        with Ledger(runs if runs.is_dir() else None, meter).entry("ask", question[:80]):
            for i in order:
                results[i] = _ask(records[i], question, pool, meter)
        pool.close()
    return [results[i] for i in range(len(records))]


def _system(record: Record) -> System:
    return parse_system(record.system)


def _ask(record: Record, question: str, pool: Pool, meter: Meter) -> Asked:
    try:
        check_free_questions(_system(record))
        session = Session(_system(record), pool)
        session.load()
        mark = pool.mark()
        with meter.phase("answer") as phase:
            before = time.perf_counter()
            answer = session.answer([question])[0]
            took = time.perf_counter() - before
    except (StorageError, ModelError, CannotRun) as error:
        return Asked(record, None, None, reason=str(error))
    carbon = meter.carbon or record.carbon
    asked = pool.with_endpoints(phase.result, mark)
    joules = asked.energy_j
    grams = emissions_g(joules, carbon) if joules is not None and carbon is not None else None
    return Asked(record, answer, asked, took, grams)


def show_asked(question: str, asked: list[Asked]) -> None:
    """Print the answers as a table, then each distinct passage once."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=max(110, console.width))
    table = Table(title=escape(question), title_justify="left", box=box.SIMPLE_HEAD)
    for header in ("run", "answer", "passages"):
        table.add_column(header)
    for header in ("J", "mgCO₂e", "s", "tokens in/out"):
        table.add_column(header, justify="right", no_wrap=True)
    numbers: dict[tuple[str, str], int] = {}
    for one in asked:
        if one.answer is None:
            table.add_row(one.record.name, escape(one.reason), "", "–", "–", "–", "–")
            continue
        cited = [
            numbers.setdefault((passage.document, passage.text), len(numbers) + 1)
            for passage in one.answer.passages
            if passage.source != "documents"
        ]
        pasted = len(one.answer.passages) - len(cited)
        joules = one.phase.energy_j if one.phase else None
        table.add_row(
            one.record.name,
            escape(one.answer.text) or "(nothing)",
            " ".join([f"{pasted} documents"] * bool(pasted) + [f"({number})" for number in cited])
            or "–",
            "–" if joules is None else f"{joules:.1f}",
            "–" if one.grams is None else f"{one.grams * 1000:.2f}",
            f"{one.duration_s:.2f}",
            "/".join(
                "–" if n is None else str(n) for n in (one.answer.tokens_in, one.answer.tokens_out)
            ),
        )
    console.print(table)
    for (document, text), number in numbers.items():
        console.print(f"({number}) {document}: {' '.join(text.split())}", markup=False,
                      highlight=False, style="dim")  # fmt: skip
