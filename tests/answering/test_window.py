"""Bounded prompts: as many passages as fit, counted exactly, the last left out first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from wattune import RAG, LoRA, Prompt
from wattune.answering.session import Session
from wattune.answering.window import Bound, fitting
from wattune.builder import _inputs
from wattune.endpoint_ref import EndpointRef
from wattune.errors import CannotRun, InputError
from wattune.job import Job
from wattune.prompt import Message, Passage
from wattune.system import Decoding, EndpointSystem, LocalSystem
from wattune.values import digest


@pytest.mark.parametrize("frame", [-1, 0, 3])
def test_as_many_fit_as_there_is_room_for(frame: int) -> None:
    """Whatever numbers and spaces around passages add, or meeting texts save."""
    tokens = [7, 2, 9, 30, 1, 12]
    exact = [5 + sum(tokens[:count]) + frame * count for count in range(len(tokens) + 1)]
    for bound in range(100):
        fit = max((count for count in range(len(exact)) if exact[count] <= bound), default=0)
        assert fitting(tokens, bound, exact.__getitem__) == fit


def test_few_prompts_are_counted_however_many_passages_there_are() -> None:
    asked: list[int] = []

    def prompt_tokens(count: int) -> int:
        asked.append(count)
        return 20 + 50 * count

    assert fitting([50] * 500, 1020, prompt_tokens) == 20
    assert asked == [500, 20, 21]


def test_each_text_is_counted_once() -> None:
    counted: list[str] = []

    def count(texts: Sequence[str]) -> list[int]:
        counted.extend(texts)
        return [len(text) for text in texts]

    def encode(messages: Sequence[Message]) -> list[int]:
        return [0] * sum(len(message["content"]) for message in messages)

    def chat(passages: Sequence[Passage]) -> list[Message]:
        return [{"role": "user", "content": "ask " + "".join(p.text for p in passages)}]

    bound = Bound(10, encode, count)
    one, two = (Passage(text=text, document=text) for text in ("aaaa", "bbbb"))
    assert bound.kept("ask", [one, two], chat) == [one]
    assert bound.kept("ask", [two, one, one], chat) == [two]
    assert counted == ["aaaa", "bbbb"]


def bounded(system: LocalSystem, tokens: int) -> LocalSystem:
    decoding = system.decoding.model_copy(update={"context_tokens": tokens})
    return system.model_copy(update={"decoding": decoding})


def test_the_least_similar_passages_are_left_out(
    runner: Any, ferry: Any, base: Any, embedder: str
) -> None:
    rag = RAG(k=4, chunk_tokens=40, overlap_tokens=4, embedder=embedder)
    job = Job(name="it", strategies=(rag,), task=ferry, system=base)
    system, _ = runner.builder.prepare(job)
    session = Session(system, runner.pool)
    (whole,) = session.render(ferry.test[:1])
    sizes = [
        len(
            session.encode(
                system.prompt.render(
                    ferry.test[0].question,
                    refusal=system.refusal,
                    passages=whole.passages[:count],
                )
            )
        )
        for count in range(5)
    ]
    for bound, kept in [(sizes[4], 4), (sizes[4] - 1, 3), (sizes[2], 2), (sizes[0], 0)]:
        short = Session(bounded(system, bound), runner.pool)
        (rendered,) = short.render(ferry.test[:1])
        assert rendered.passages == whole.passages[:kept]
        assert len(short.encode(rendered.messages)) == sizes[kept]
    (answer,) = Session(bounded(system, sizes[1]), runner.pool).answer(ferry.test[:1])
    assert (len(answer.passages), answer.tokens_in) == (1, sizes[1])


def test_a_prompt_too_long_without_passages_is_refused_with_both_numbers(
    runner: Any, ferry: Any, base: Any
) -> None:
    job = Job(name="it", strategies=(Prompt(shots=4),), task=ferry, system=base)
    system, _ = runner.builder.prepare(job)
    session = Session(system, runner.pool)
    size = len(session.encode(session.render(ferry.test[:1])[0].messages))
    assert Session(bounded(system, size), runner.pool).render(ferry.test[:1])
    wanted = rf"has {size} tokens without any passage, and decoding\.context_tokens is {size - 1};"
    with pytest.raises(InputError, match=wanted):
        Session(bounded(system, size - 1), runner.pool).render(ferry.test[:1])


def test_an_endpoint_has_no_tokenizer_to_count_with(runner: Any, ferry: Any) -> None:
    system = EndpointSystem(
        endpoint=EndpointRef(endpoint="http://127.0.0.1:9/v1", model="m"),
        refusal=ferry.refusal,
        decoding=Decoding(context_tokens=100),
    )
    with pytest.raises(CannotRun, match=r"context_tokens is counted by the model's tokenizer, and"):
        Session(system, runner.pool).render(ferry.test[:1])


def test_what_is_trained_on_depends_on_the_bound(ferry: Any, base: Any) -> None:
    """Other passages in the prompt are another training; other words for an answer are not."""
    small = replace(ferry, train=ferry.train[:8])

    def key(system: LocalSystem) -> str:
        job = Job(name="it", strategies=(LoRA(),), task=small, system=system)
        return digest(_inputs(LoRA(), system, job))

    longer = base.model_copy(update={"decoding": Decoding(max_tokens=9)})
    assert key(base) == key(longer)
    assert len({key(base), key(bounded(base, 100)), key(bounded(base, 200))}) == 3
