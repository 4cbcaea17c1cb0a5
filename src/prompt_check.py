"""Prompts before they are paid for: of files and records, rendered, counted, tried on a few."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .answering.answer import Answer
from .answering.pool import Pool
from .answering.session import Session
from .errors import InputError
from .loading import load_system
from .measure.meter import Meter
from .measure.quality import metric_of
from .measure.record import Phase, Record, ScoredAnswer
from .measure.store import load_records
from .models.catalogue import CATALOGUE
from .models.chat import chat_ids
from .models.fetch import fetched
from .models.loading import context_window, open_tokenizer
from .prompt import Message, Passage
from .prompt_file import PromptFile, decoded, load_prompt
from .scoring import score_answers
from .slices import spread
from .stages import StageStore
from .strategies import Prompt
from .system import Decoding, parse_system
from .tasks.task import Example, Task

NAME = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class Tried:
    """A prompt rendered on some examples, and perhaps answered: `written` is all that the model
    wrote, `scored` its answer in it; `answering` is what answering took."""

    examples: tuple[Example, ...]
    messages: tuple[list[Message], ...]
    tokens: tuple[int, ...] | None
    fixed_tokens: int | None = None
    window: int | None = None
    written: tuple[str, ...] = ()
    scored: tuple[ScoredAnswer, ...] = ()
    answering: Phase | None = None


class Counter:
    """Counts a chat's tokens as the model of a folder reads them, without its weights."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = open_tokenizer(folder)
        self.window = context_window(folder)

    def __call__(self, messages: Sequence[Message]) -> int:
        """Tokens of the chat up to where the answer begins."""
        return len(chat_ids(self._tokenizer, messages))


def model_here(name: str) -> Path | None:
    """The folder of a model that is on this machine already; None where it would be fetched."""
    if name in CATALOGUE:
        return fetched(name)
    return Path(name) if Path(name).is_dir() else None


def find_prompt(where: str) -> tuple[PromptFile, Record | None]:
    """A shipped prompt by its name, a prompt file, or the prompt of a record (`.json`).

    Raises `InputError` for anything else.
    """
    if not where.endswith(".json"):
        return load_prompt(where), None
    (record,) = load_records(where)
    return prompt_of(record), record


def prompt_of(record: Record) -> PromptFile:
    """The prompt that a record was made with; named as its prompt file, else as the run."""
    system = parse_system(record.system)
    named = {"name": NAME.sub("-", record.name).strip("-._+")[:60] or "run", "version": 1}
    for step in (record.recipe.get("runs") or {}).get(record.name, ()):
        file = (step.get("prompt") or {}).get("file")
        if file:
            named = {key: file[key] for key in named}
    usual = Decoding().plain()
    decoding = {key: value for key, value in system.decoding.plain().items() if value != usual[key]}
    nearest = [str(source.k) for source in system.sources if source.type == "nearest_shots"]
    lacks = (
        f"The {nearest[0]} training questions nearest to each were its shots." if nearest else ""
    )
    return PromptFile(
        **{**system.prompt.plain(), **named},
        shots=system.shots,
        decoding=Decoding(**{"max_tokens": system.decoding.max_tokens, **decoding}),
        notes=lacks,
    )


def prompts_of(folder: Path) -> dict[str, list[tuple[PromptFile, Record]]]:
    """The prompts of the finished records under a folder, by digest, with those records."""
    found: dict[str, list[tuple[PromptFile, Record]]] = {}
    for record in load_records(folder):
        if record.status != "done":
            continue  # it holds the system that it began with
        prompt = prompt_of(record)
        found.setdefault(prompt.digest(), []).append((prompt, record))
    return found


def try_prompt(
    prompt: PromptFile,
    task: Task,
    *,
    model: str,
    count: int = 5,
    evidence: bool = False,
    run: bool = False,
) -> Tried:
    """Render a prompt on `count` validation questions, and with `run` answer and score them.

    With `evidence` each question comes with the documents that its answer follows from. Tokens are
    counted where the model is on this machine. Raises `InputError` where a prompt with its answer
    would not fit the context window, saying by how many tokens.
    """
    examples = tuple(spread(task.validation or task.train, count))
    if not examples:
        raise InputError(f"task {task.name} has neither validation nor training questions to try")
    found = [evidence_of(example, task) if evidence else () for example in examples]
    messages = tuple(
        prompt.messages(example.question, refusal=task.refusal, passages=passages)
        for example, passages in zip(examples, found, strict=True)
    )
    system = load_system(model, refusal=task.refusal) if run else None
    folder = model_here(model)
    tried = Tried(examples, messages, None)
    if folder is not None:
        tried = _counted(tried, prompt, Counter(folder), task.refusal)
    if system is None:
        return tried
    with Meter() as meter:
        pool = Pool(StageStore(), meter)
        session = Session(Prompt(file=prompt).applied(system), pool)
        session.load()
        with meter.phase("answer") as phase:
            made = session.generate(list(messages))
        pool.close()
    answers = [
        Answer(
            text=prompt.answer_in(one.text),
            passages=passages,
            tokens_in=one.tokens_in,
            tokens_out=one.tokens_out,
        )
        for one, passages in zip(made, found, strict=True)
    ]
    metrics = tuple(name for name in task.metrics if metric_of(name).needs is None)
    scored, _ = score_answers(examples, answers, replace(task, metrics=metrics))
    return replace(
        tried,
        written=tuple(one.text for one in made),
        scored=tuple(scored),
        answering=phase.result,
    )


def evidence_of(example: Example, task: Task) -> tuple[Passage, ...]:
    """The documents that the answer of an example follows from, as passages."""
    pages = {document.id: document for document in task.documents}
    return tuple(
        Passage(text=pages[id].text, document=id, title=pages[id].title)
        for id in example.evidence
        if id in pages
    )


def shown_answers(prompt: PromptFile, task: Task) -> list[str]:
    """Sentences about shots that ask a question of the task: a system would copy the answer."""
    asked = {
        example.question.strip().casefold(): (split, example.id)
        for split in ("train", "validation", "test")
        for example in task.split(split)
    }
    return [
        f"{shot.id} asks the {asked[question][0]} question {asked[question][1]}"
        for shot in prompt.shots
        if (question := shot.question.strip().casefold()) in asked
    ]


def _counted(tried: Tried, prompt: PromptFile, count: Counter, refusal: str) -> Tried:
    tokens = tuple(map(count, tried.messages))
    fixed = count(prompt.messages("", refusal=refusal))
    longest = max(tokens)
    written = decoded(Decoding(), prompt.decoding).max_tokens
    over = longest + written - count.window if count.window else 0
    if over > 0:
        raise InputError(
            f"prompt {prompt.name}: {tried.examples[tokens.index(longest)].id} has {longest} "
            f"tokens, of which the system text and {len(prompt.shots)} shot(s) are {fixed}, and "
            f"{written} are to be written: {over} more than the model's context window of "
            f"{count.window}; use fewer or shorter shots and passages"
        )
    return replace(tried, tokens=tokens, fixed_tokens=fixed, window=count.window)
