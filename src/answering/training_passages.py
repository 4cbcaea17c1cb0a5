"""Training passages: what a question is asked with while a model learns to read (RAFT).

RAFT (arXiv 2403.10131) trains on prompts in which the passage with the answer stands among others
that do not help, and sometimes not at all: the model learns to tell them apart, and to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from ..context_sources import IndexSource
from ..errors import CannotRun
from ..measure.quality.text import contained
from ..prompt import Passage
from ..search import Share
from ..system import System
from ..tasks.task import Example, Task
from ..values import Value, digest
from .answer import Rendered
from .quotes import quotes_of

if TYPE_CHECKING:
    from ..rag.fusion import Hits
    from ..rag.retriever import Retriever
    from .session import Session

LOOKED_AT = 100
"""The best chunks of a question among which its golden one and the distractors are looked for."""


class PassageSettings(Value):
    """Which passages training questions are asked with, RAFT's way.

    `golden` of the questions that have evidence see the passage that holds their answer, beside
    `distractors` that do not; the others see one distractor more. Without a number there are as
    many passages as the System retrieves. With `quote` the model learns to write the sentence that
    holds the answer before the answer.
    """

    golden: Share = 0.8
    distractors: int | None = Field(default=None, ge=0, lt=LOOKED_AT)
    quote: bool = False


class Chosen(NamedTuple):
    """The passages of a training question in their order, and the golden one where it is there."""

    passages: list[Passage]
    golden: Passage | None


def check_passages(step: str, settings: PassageSettings, system: System, task: Task) -> None:
    """Raise `CannotRun` where `step` could not choose passages from the System that comes in."""
    indexes = sum(isinstance(source, IndexSource) for source in system.sources)
    if indexes != 1:
        raise CannotRun(
            f"{step}.passages are taken from one index of documents, and the System has {indexes} "
            f"when {step} begins; put one rag (or a tree_rag that holds one) before it"
        )
    if not any(example.evidence for example in task.train):
        raise CannotRun(
            f"{step}.passages needs to know which documents an answer follows from, and no "
            "training question names any; give them `evidence`, or leave `passages` out"
        )
    if settings.quote and system.decoding.choices:
        raise CannotRun(
            f"{step}.passages.quote lets the model write a sentence before the answer, and with "
            "`choices` it can write nothing but them; leave out one of the two"
        )


def training_prompts(
    session: Session, examples: Sequence[Example], settings: PassageSettings, *, seed: int
) -> tuple[list[Rendered], dict[str, Any]]:
    """The examples as messages with the passages chosen for them, and a report on these.

    The report counts prompts that have their `golden` passage, those of them in which it holds an
    answer, the distractors of a prompt on average, and the prompts with a sentence to quote.
    """
    others = settings.distractors
    if others is None:
        others = sum(s.k - 1 for s in session.system.sources if isinstance(s, IndexSource))
    chosen = choose(session.retriever, examples, settings.golden, others, seed=seed)
    rendered = session.render(examples, chosen=[each.passages for each in chosen])
    # Where a prompt is bounded, not all that was chosen is in it.
    golden = [
        contained(each.golden.text, example.answers)
        for example, each, asked in zip(examples, chosen, rendered, strict=True)
        if each.golden is not None and each.golden in asked.passages
    ]
    shown = sum(
        passage in asked.passages
        for each, asked in zip(chosen, rendered, strict=True)
        for passage in each.passages
    )
    report: dict[str, Any] = {
        "golden": len(golden),
        "golden_with_answer": int(sum(golden)),
        "mean_distractors": round((shown - len(golden)) / len(examples), 3),
    }
    if settings.quote:
        report["quotes"] = sum(map(bool, quotes_of(session, examples, rendered)))
    return rendered, report


def choose(
    retriever: Retriever,
    examples: Sequence[Example],
    share: float,
    distractors: int,
    *,
    seed: int,
) -> list[Chosen]:
    """The passages of each training example, shuffled; by seed and ids, so the same every time.

    Golden is the best chunk of the example's evidence that holds an accepted answer, else the best
    of the evidence. A `share` of the examples that have one see it, rounded, with so many
    `distractors`; all others one more.

    Distractors are the best chunks of other documents that hold no accepted answer, whatever they
    score: the retriever's own hard negatives. `sentence_transformers.util.mine_hard_negatives`
    looks for the same, the nearest texts that are not right, but embeds the whole collection anew;
    here the index holds the vectors already, words and reranker have their say as when a question
    is asked, and what is right is told by evidence and answers, not by a margin of similarity.
    Where so few are found, there are fewer.

    Raises `InputError` for evidence that the index does not hold.
    """
    questions = [example.question for example in examples]
    evidence = [example.evidence for example in examples]
    golden = [
        _golden(example, _shown(retriever, hits))
        for example, hits in zip(
            examples, retriever.ranked(questions, LOOKED_AT, evidence), strict=True
        )
    ]
    known = [at for at, passage in enumerate(golden) if passage is not None]
    drawn = sorted(known, key=lambda at: digest([seed, "golden", examples[at].id]))
    seen = set(drawn[: round(share * len(known))])
    made: list[Chosen] = []
    for at, hits in enumerate(retriever.ranked(questions, LOOKED_AT + distractors)):
        example, there = examples[at], golden[at] if at in seen else None
        others = _distractors(example, _shown(retriever, hits))
        passages = [there] if there is not None else []
        passages += islice(others, distractors + 1 - len(passages))
        passages.sort(key=lambda passage: digest([seed, example.id, passage.id]))
        made.append(Chosen(passages, there))
    return made


def _shown(retriever: Retriever, hits: Hits) -> Iterator[Passage]:
    """Each hit by itself, as a prompt would show it."""
    for hit in hits:
        yield from retriever.passages([hit])


def _golden(example: Example, passages: Iterator[Passage]) -> Passage | None:
    """The first that holds an answer, else the first."""
    best: Passage | None = None
    for passage in passages:
        if contained(passage.text, example.answers):
            return passage
        best = best or passage
    return best


def _distractors(example: Example, passages: Iterator[Passage]) -> Iterator[Passage]:
    """Those of other documents that hold no answer, each text once."""
    texts: set[str] = set()
    for passage in passages:
        if passage.document in example.evidence or passage.text in texts:
            continue
        texts.add(passage.text)
        if not contained(passage.text, example.answers):
            yield passage
