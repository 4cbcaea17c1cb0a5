"""Long context: whole documents first in every prompt, as many as fit, counted exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune import RAG, LongContext, Prompt, load_system
from wattune.answering.session import Session
from wattune.answering.window import pasted
from wattune.ask import ask_all, show_asked
from wattune.context_sources import DocumentsSource
from wattune.endpoint_ref import EndpointRef
from wattune.errors import CannotRun, RecipeError
from wattune.job import Job
from wattune.models.batching import shared_prefix
from wattune.prompt import fenced
from wattune.recipe_file import load_recipe
from wattune.strategies.long_context import RESERVE_TOKENS
from wattune.system import Decoding, EndpointSystem

PAGES = ["crews", "fares", "jetties", "shore/desk", "shore/shop", "storms"]


def job(ferry: Any, base: Any, *steps: Any) -> Job:
    return Job(name="it", strategies=steps, task=ferry, system=base, realtime_questions=1)


def prepared(runner: Any, ferry: Any, base: Any, *steps: Any) -> tuple[Any, Any]:
    """The System, and the details of its last stage."""
    system, bills = runner.builder.prepare(job(ferry, base, *steps))
    return system, bills[-1].details


def tokens_of(runner: Any, ferry: Any, base: Any) -> list[int]:
    """The tokens of each document by the model's tokenizer."""
    tokenizer = Session(base, runner.pool).tokenizer
    texts = [page.text for page in ferry.documents]
    return [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def windowed(base: Any, **decoding: Any) -> Any:
    return base.model_copy(update={"decoding": base.decoding.model_copy(update=decoding)})


def test_all_documents_stand_before_the_question_and_are_read_once(
    runner: Any, ferry: Any, base: Any
) -> None:
    assert [page.id for page in ferry.documents] == PAGES
    system, details = prepared(runner, ferry, base, Prompt(shots=2), LongContext())
    tokens = tokens_of(runner, ferry, base)
    assert details == {
        "documents": 6, "documents_of": 6, "tokens": sum(tokens), "tokens_of": sum(tokens)
    }  # fmt: skip
    session = Session(system, runner.pool)
    rendered = session.render(ferry.test)
    pages = fenced(pasted(ferry.documents), "tags")
    for example, one in zip(ferry.test, rendered, strict=True):
        assert [m["role"] for m in one.messages[1:]] == ["user", "assistant"] * 2 + ["user"]
        assert one.messages[-1]["content"] == f"{pages}\n\nQuestion: {example.question}"
        assert [(p.source, p.document) for p in one.passages] == [("documents", p) for p in PAGES]
    prompts = [session.encode(one.messages) for one in rendered]
    shared = shared_prefix(prompts)
    assert pages in session.tokenizer.decode(prompts[0][:shared])
    answers = session.answer(ferry.test)
    assert sum(answer.tokens_reused for answer in answers) >= (len(prompts) - 1) * shared


def test_documents_are_taken_in_order_whole_or_not_at_all(
    runner: Any, ferry: Any, base: Any
) -> None:
    tokens = tokens_of(runner, ferry, base)
    assert tokens[2] > max(tokens[3], tokens[4])  # the third is the longest
    two = tokens[0] + tokens[1]
    for bound, taken in [(two - 1, 1), (two, 2), (two + tokens[2] - 1, 2), (two + tokens[2], 3)]:
        system, details = prepared(runner, ferry, base, LongContext(max_tokens=bound))
        assert (details["documents"], details["tokens"]) == (taken, sum(tokens[:taken]))
        (rendered,) = Session(system, runner.pool).render(ferry.test[:1])
        assert [passage.document for passage in rendered.passages] == PAGES[:taken]
    with pytest.raises(CannotRun, match=rf"crews has {tokens[0]} tokens, long_context.max_tokens"):
        prepared(runner, ferry, base, LongContext(max_tokens=tokens[0] - 1))


def test_the_shortest_first_takes_more(runner: Any, ferry: Any, base: Any) -> None:
    by_length = sorted(ferry.documents, key=lambda page: len(page.text))
    sizes = dict(zip(PAGES, tokens_of(runner, ferry, base), strict=True))
    bound = sum(sizes[page.id] for page in by_length[:5])
    step = LongContext(max_tokens=bound, order="shortest_first")
    system, details = prepared(runner, ferry, base, step)
    (rendered,) = Session(system, runner.pool).render(ferry.test[:1])
    assert [passage.document for passage in rendered.passages] == [p.id for p in by_length[:5]]
    assert details["tokens"] == bound
    _, given = prepared(runner, ferry, base, LongContext(max_tokens=bound))
    assert given["documents"] < 5


@pytest.mark.parametrize("shots", [0, 1])
def test_without_max_tokens_the_window_is_filled_beside_the_longest_question(
    runner: Any, ferry: Any, tiny: Path, shots: int
) -> None:
    """The window of 256 tokens holds the shortest pages; one more would be too many."""
    system = load_system(str(tiny), refusal=ferry.refusal, decoding=Decoding(max_tokens=4))
    steps = [Prompt(shots=shots, instruction="Be brief."), LongContext(order="shortest_first")]
    made, details = prepared(runner, ferry, system, *steps)
    taken = details["documents"]
    assert 0 < taken < 6
    session = Session(made, runner.pool)
    known = [*ferry.train, *ferry.validation]
    most = max(len(session.encode(one.messages)) for one in session.render(known))
    room = 256 - 4 - RESERVE_TOKENS
    assert most <= room
    more, _ = prepared(
        runner, ferry, system, *steps[:1], LongContext(max_tokens=999, order="shortest_first")
    )
    pages = Session(more, runner.pool).render(ferry.test[:1])[0].passages[: taken + 1]
    over = Session(made.model_copy(update={"sources": made.sources[:-1]}), runner.pool).render(
        known, documents=pages
    )
    assert max(len(session.encode(one.messages)) for one in over) > room
    assert all(not answer.failed for answer in session.answer(ferry.test))  # none is too long


def test_context_tokens_and_the_answer_bound_the_room(runner: Any, ferry: Any, base: Any) -> None:
    taken = []
    for decoding in ({"context_tokens": 400}, {"max_tokens": 4096 - 400 - RESERVE_TOKENS}):
        system, details = prepared(runner, ferry, windowed(base, **decoding), LongContext())
        session = Session(system, runner.pool)
        rendered = session.render(ferry.validation)
        assert len(rendered[0].passages) == details["documents"]
        assert max(len(session.encode(one.messages)) for one in rendered) <= 400
        taken.append(details["documents"])
    assert taken[0] == taken[1]
    assert 0 < taken[0] < 6
    with pytest.raises(CannotRun, match=r"crews has \d+ tokens, and beside the longest .* for 0"):
        prepared(runner, ferry, windowed(base, max_tokens=4090), LongContext())


def test_room_is_left_for_what_is_retrieved(
    runner: Any, ferry: Any, base: Any, embedder: str
) -> None:
    rag = RAG(k=3, chunk_tokens=40, overlap_tokens=4, embedder=embedder)
    tight = windowed(base, context_tokens=700)
    system, details = prepared(runner, ferry, tight, rag, LongContext())
    _, alone = prepared(runner, ferry, tight, LongContext())
    assert details["documents"] < alone["documents"]
    for rendered in Session(system, runner.pool).render(ferry.train):
        sources = [passage.source for passage in rendered.passages]
        assert sources == ["documents"] * details["documents"] + ["index"] * 3


def test_the_bound_leaves_out_the_last_documents(runner: Any, ferry: Any, base: Any) -> None:
    system, _ = prepared(runner, ferry, base, LongContext())
    whole = Session(system, runner.pool)
    size = len(whole.encode(whole.render(ferry.test[:1])[0].messages))
    short = Session(windowed(system, context_tokens=size - 1), runner.pool)
    (rendered,) = short.render(ferry.test[:1])
    assert [passage.document for passage in rendered.passages] == PAGES[:5]


def test_an_endpoint_needs_to_be_told_how_much(runner: Any, ferry: Any) -> None:
    reference = EndpointRef(endpoint="http://127.0.0.1:9/v1", model="m")
    remote = EndpointSystem(endpoint=reference, refusal=ferry.refusal)
    with pytest.raises(CannotRun, match=r"m at http.* whose context window is not known here"):
        prepared(runner, ferry, remote, LongContext())
    estimates = [(len(page.text) + 3) // 4 for page in ferry.documents]
    two = sum(estimates[:2])
    for bound, taken in [(two, 2), (two - 1, 1)]:
        system, details = prepared(runner, ferry, remote, LongContext(max_tokens=bound))
        assert (details["documents"], details["tokens"]) == (taken, sum(estimates[:taken]))
    (rendered,) = Session(system, runner.pool).render(ferry.test[:1])
    assert rendered.messages[-1]["content"].startswith("<passage 1>\n# Crews")


def test_a_task_without_documents_cannot_run(runner: Any, ferry: Any, base: Any) -> None:
    with pytest.raises(CannotRun, match="long_context needs documents and the task has none"):
        prepared(runner, replace(ferry, documents=()), base, LongContext())


def test_the_stage_is_another_where_something_that_it_depends_on_is(
    runner: Any, ferry: Any, base: Any
) -> None:
    def key(task: Any, system: Any, *steps: Any) -> str:
        made, _ = runner.builder.prepare(job(task, system, *steps))
        (source,) = [s for s in made.sources if isinstance(s, DocumentsSource)]
        return source.stage.key

    changed = ferry.documents[0].model_copy(update={"text": "# Crews\n\nNobody."})
    step = LongContext()
    keys = [
        key(ferry, base, step),
        key(replace(ferry, documents=(changed, *ferry.documents[1:])), base, step),
        key(replace(ferry, validation=ferry.validation[:1]), base, step),
        key(ferry, windowed(base, max_tokens=8), step),
        key(ferry, base, Prompt(instruction="Be brief."), step),
        key(ferry, base, LongContext(order="shortest_first")),
    ]
    assert len(set(keys)) == len(keys)
    assert key(ferry, base, step) == keys[0]


def test_a_run_keeps_ids_of_the_documents_and_no_retrieval_scores(
    runner: Any, ferry: Any, base: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = replace(ferry, metrics=("exact_match", "recall@2"))
    runner.records = tmp_path / "runs"
    record, _ = runner.run(job(task, base, LongContext()))
    assert record.status == "done", record.reason
    assert record.stages[0].details["documents"] == 6
    assert "index" in record.fingerprints
    assert "recall@2" not in record.quality  # nothing was retrieved
    assert record.work["answer"].tokens_reused > 0
    (file,) = (tmp_path / "runs").glob("**/*.answers.jsonl")
    row = json.loads(file.read_text(encoding="utf-8").split("\n")[0])
    assert [passage["document"] for passage in row["passages"]] == PAGES
    assert all("text" not in passage for passage in row["passages"])
    show_asked("Where?", ask_all(tmp_path / "runs", "Where?", stages=runner.stages))
    shown = capsys.readouterr().out
    assert "6 documents" in shown
    assert "Night Crew" not in shown


def test_faults_are_told_with_their_lines(tmp_path: Path, recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(
        text + "long_context:\n  max_tokens: 0\n  order: random\n  k: 2\n", encoding="utf-8"
    )
    with pytest.raises(RecipeError) as told:
        load_recipe(str(recipe))
    first = text.count("\n") + 2
    for line, key in [(first, "max_tokens"), (first + 1, "order"), (first + 2, "k")]:
        assert f"duo.yaml:{line}: " in str(told.value)
        assert key in str(told.value).split(f"duo.yaml:{line}: ")[1].split("\n")[0]
