"""The verbs about prompts: which there are, what they say, how they differ, whether they work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..compare.table import Table
    from ..measure.paired import Difference
    from ..prompt_check import Tried
    from ..prompt_file import PromptFile
    from ..strategies.prompt_search import Choice, SearchReport

prompts_app = typer.Typer(help="Prompt files, and the prompts of records.", no_args_is_help=True)

SHORT = 8
"""Digits of a digest that are shown; two prompts of one folder will differ in them."""
MODEL = "smollm2-135m-q4"

Which = Annotated[
    str, typer.Argument(help="A shipped prompt, a .prompt.yaml file, or a record (.json).")
]
ModelName = Annotated[
    str, typer.Option("--model", help="Whose tokens to count: a catalogue name or a folder.")
]


@prompts_app.command("ls")
def prompts_ls(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of prompt files or of records.")
    ] = None,
) -> None:
    """List the shipped prompts, or a folder's prompt files and the prompts its records used.

    Examples: wattune prompts ls ; wattune prompts ls runs
    """
    from ..prompt_check import prompts_of
    from ..prompt_file import prompt_files, read_prompt, shipped_prompts

    if folder is None:
        for path in shipped_prompts().values():
            _line(read_prompt(path), read_prompt(path).notes.strip().split("\n")[0])
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one of prompt files or of records")
    files = prompt_files(folder)
    used = prompts_of(folder)
    for path in files.values():
        _line(read_prompt(path), str(path))
    for uses in used.values():
        records = [record for _, record in uses]
        runs = ", ".join(dict.fromkeys(record.name for record in records))
        since = min(record.created_at for record in records)
        _line(uses[0][0], f"used by {runs} since {since}")
    if not files and not used:
        raise InputError(f"{folder}: neither prompt files (*.prompt.yaml) nor records there")


def _line(prompt: PromptFile, about: str) -> None:
    digest = prompt.digest()[:SHORT]
    typer.echo(f"{prompt.name:<20} {prompt.version:>3}  {digest}  {about}")


@prompts_app.command("show")
def prompts_show(
    prompt: Which,
    question: Annotated[
        str, typer.Option("--question", "-q", help="The question to fill in.")
    ] = "{question}",
    passage: Annotated[
        list[str] | None, typer.Option("--passage", help="A passage to fill in; may be repeated.")
    ] = None,
    model: ModelName = "",
    as_file: Annotated[
        bool, typer.Option("--file", help="As a prompt file, to be kept or edited.")
    ] = False,
) -> None:
    """Show a prompt as the model reads it, and how many tokens it has.

    Examples: wattune prompts show cite ; wattune prompts show runs/x/rag-1f.json --file > a.yaml
    """
    from ..prompt import Passage
    from ..prompt_check import Counter, find_prompt, model_here
    from ..tasks.task import REFUSAL

    found, record = find_prompt(prompt)
    if as_file:
        typer.echo(found.text(), nl=False)
        return
    passages = tuple(Passage(text=text, document="given") for text in passage or ())
    refusal = str(record.system["refusal"]) if record else REFUSAL
    messages = found.messages(question, refusal=refusal, passages=passages)
    for message in messages:
        typer.echo(f"--- {message['role']}\n{message['content']}")
    for source in record.system.get("sources", ()) if record else ():
        if source["type"] == "nearest_shots":
            typer.echo(f"--- and {source['k']} training questions, those nearest to the one asked")
    if found.answer_after is not None:
        typer.echo(f'--- the answer is what follows the last "{found.answer_after}"')
    typer.echo(f"--- {found.name} {found.version}, {found.digest()}")
    model = model or str((record.system.get("model") or {}).get("name", "") if record else MODEL)
    folder = model_here(model) if model else None  # a record of an endpoint has none
    tokens = f"{Counter(folder)(messages)} tokens" if folder else "tokens are not counted"
    typer.echo(f"{tokens}: {model or 'its model'} is{'' if folder else ' not'} here")


@prompts_app.command("diff")
def prompts_diff(one: Which, other: Which) -> None:
    """Show how two prompts differ, line by line.

    Example: wattune prompts diff concise runs/mine/few-shot-1f2e3d4c.json
    """
    from difflib import unified_diff

    from ..prompt_check import find_prompt

    before, after = (find_prompt(which)[0].text().splitlines() for which in (one, other))
    lines = list(unified_diff(before, after, fromfile=one, tofile=other, lineterm=""))
    typer.echo("\n".join(lines) if lines else f"{one} and {other} hold the same prompt")


@prompts_app.command("test")
def prompts_test(
    prompt: Which,
    task: Annotated[str, typer.Option("--task", help="Whose validation questions.")] = "harbour",
    model: ModelName = MODEL,
    count: Annotated[int, typer.Option("-n", min=1, help="How many questions.")] = 5,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="With the documents the answer follows from.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Answer them with the model, and score.")
    ] = False,
) -> None:
    """Try a prompt on a few validation questions: placeholders, length, and with --run answers.

    Example: wattune prompts test mine.prompt.yaml --task harbour -n 5 --run
    """
    from ..prompt_check import find_prompt, shown_answers, try_prompt
    from ..tasks.load import load_task

    found, _ = find_prompt(prompt)
    loaded = load_task(task)
    tried = try_prompt(found, loaded, model=model, count=count, evidence=evidence, run=run)
    for at, example in enumerate(tried.examples):
        tokens = f" ({tried.tokens[at]} tokens)" if tried.tokens else ""
        typer.echo(f"--- {example.id}{tokens}\n{tried.messages[at][-1]['content']}")
        if tried.scored:
            _answered(tried, at)
    for sentence in shown_answers(found, loaded):
        typer.echo(f"note: {sentence}; it shows the answer")
    if tried.tokens is None:
        typer.echo(f"tokens are not counted: {model} is not here")
    else:
        window = tried.window or "any number"
        typer.echo(
            f"{min(tried.tokens)} to {max(tried.tokens)} tokens, {tried.fixed_tokens} of them the "
            f"same in every prompt; the context window holds {window}"
        )
    if tried.answering is not None:
        joules = tried.answering.energy_j
        energy = "energy unknown" if joules is None else f"{joules:.1f} J"
        typer.echo(f"answered in {tried.answering.duration_s:.1f} s, {energy}")


def _answered(tried: Tried, at: int) -> None:
    scored = tried.scored[at]
    if tried.written[at] != scored.text:
        typer.echo(f"written: {tried.written[at]}")
    figures = ", ".join(
        f"{name} {value:.2f}" for name, value in scored.scores.items() if value is not None
    )
    typer.echo(f"answer: {scored.text or '(nothing)'}\nexpected: {scored.answers[0]} ({figures})")


ENDINGS = {
    "certain": "the winner was certain",
    "alike": "all that were left answered alike",
    "questions": "the questions ran out",
    "alone": "there was nothing to choose from",
}


@prompts_app.command("report")
def prompts_report(
    record: Annotated[
        Path, typer.Argument(help="A record (.json) of a run with prompt_search, or its folder.")
    ],
) -> None:
    """Show what a prompt search tried, and what each change was worth in quality and tokens.

    Example: wattune prompts report runs/prompt-search/search-1f2e3d4c.json
    """
    from ..compare.render import show_tables
    from ..measure.store import load_records
    from ..strategies.prompt_search import SearchReport

    found = [
        stage
        for one in load_records(record)
        for stage in one.stages
        if stage.strategy == "prompt_search"
    ]
    if not found:
        raise InputError(f"{record}: no prompt search there; give a record of a run that had one")
    for stage in found:
        report = SearchReport.model_validate(stage.details["search"])
        show_tables([*[_raced(choice, report) for choice in report.choices], _worth(report)])
        joules = stage.attributed.energy_j
        energy = "energy unknown" if joules is None else f"{joules:,.0f} J"
        typer.echo(
            f"{report.asked} answers to at most {report.questions} validation questions, "
            f"{stage.attributed.duration_s:,.0f} s, {energy}. ★ was adopted. Tokens are means by "
            "question; differences are to what stood, by the same questions, with 95 % intervals. "
            "What could go costs tokens, and its lack was not seen to make answers worse."
        )


def _raced(choice: Choice, report: SearchReport) -> Table:
    from ..compare.table import Table

    what = "each sentence of the instruction left out" if choice.ablation else choice.varied
    rows = [
        (
            f"{'★' if at == choice.adopted else ' '} {one.value}",
            str(one.questions),
            _digits(one.mean, 3),
            _apart(one.difference),
            _digits(one.tokens_in, 1),
            _digits(one.tokens_out, 1),
            "" if one.left_at is None else f"after {one.left_at}",
        )
        for at, one in enumerate(choice.variants)
    ]
    headers = ("variant", "questions", report.metric, "difference", "read", "written", "dropped")
    return Table(f"{what}: {ENDINGS[choice.ended]}", headers, tuple(rows))


def _worth(report: SearchReport) -> Table:
    """Changes that were adopted, and sentences that cost tokens and were not seen to pay."""
    from ..compare.table import Table

    rows = []
    for choice in report.choices:
        for at, one in enumerate(choice.variants[1:], start=1):
            adopted, apart = at == choice.adopted, one.difference
            worse = apart is not None and (
                apart.high < 0 if report.better == "higher" else apart.low > 0
            )
            cheaper = one.more_in is not None and one.more_in < 0
            if adopted or (choice.ablation and cheaper and not worse):
                name = one.value if choice.ablation else f"{choice.varied}: {one.value}"
                judged = "adopted" if adopted else "could go"
                tokens = (_digits(one.more_in, 1, "+"), _digits(one.more_out, 1, "+"))
                rows.append((name, judged, str(one.questions), _apart(apart), *tokens))
    headers = ("change", "", "questions", report.metric, "read", "written")
    title = "What each change was worth" if rows else "No change was worth adopting"
    return Table(title, headers, tuple(rows))


def _apart(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _digits(value: float | None, digits: int, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.{digits}f}"
