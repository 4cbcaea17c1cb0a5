"""The settings of RAG with real indexes, a tiny embedder and a tiny cross-encoder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wattune import RAG
from wattune.answering.answer import Answer
from wattune.answering.session import Session
from wattune.context_sources import IndexSource
from wattune.errors import ModelError
from wattune.job import Job
from wattune.models.reranker import Reranker
from wattune.prompt import Passage, fenced
from wattune.scoring import score_answers
from wattune.search import Search
from wattune.stages import StageRef


@pytest.fixture
def rag(embedder: str) -> RAG:
    return RAG(k=2, chunk_tokens=40, overlap_tokens=4, embedder=embedder)


@pytest.fixture(scope="session")
def reranker(embedder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random cross-encoder of one layer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("reranker") / "tiny-cross"
    tokenizer: Any = AutoTokenizer.from_pretrained(embedder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def changed(rag: RAG, **settings: Any) -> RAG:
    return RAG(**(rag.plain() | settings))


def prepared(runner: Any, ferry: Any, base: Any, *steps: Any) -> tuple[Session, Any]:
    job = Job(name="it", strategies=steps, task=ferry, system=base)
    system, (bill,) = runner.builder.prepare(job)
    return Session(system, runner.pool), bill


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search": "dense", "weight": 0.7}, "weight is 0.7, which only search: hybrid"),
        ({"search": "hybrid", "fusion": "rrf", "weight": 0.7}, "with fusion: min_max uses"),
        (
            {"search": "dense", "fusion": "rrf"},
            "fusion is rrf and search dense; only hybrid has two to fuse",
        ),
        ({"search": "lexical", "mmr": 0.5}, "mmr compares vectors and search: lexical has none"),
        (
            {"search": "dense", "candidates": 9},
            "candidates is 9, and without hybrid, reranker or mmr",
        ),
        ({"search": "hybrid", "fusion": "rrf", "threshold": 0.1}, "rrf knows ranks only"),
        ({"search": "lexical", "index": "hnsw"}, "search: lexical has no vectors; leave it out"),
    ],
)
def test_what_does_nothing_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RAG(**settings)


def test_settings_survive_being_written() -> None:
    full = RAG(search="hybrid", weight=0.7, where={"year": [2024, "new"]}, mmr=0.5, threshold=0.2)
    assert RAG(**full.plain()) == full
    assert full._search().by == "hybrid"


def test_a_source_of_an_older_record_is_still_one() -> None:
    old = {"type": "index", "stage": {"key": "i"}, "embedder": "minilm", "k": 3}
    source = IndexSource.model_validate(old)
    assert (source.search, source.retriever) == (Search(), "index")
    with pytest.raises(ValidationError, match="lexical search has no embedder"):
        IndexSource(stage=StageRef(key="i"), embedder="minilm", k=1, search=Search(by="lexical"))


def test_by_words_no_embedder_is_opened(runner: Any, ferry: Any, base: Any) -> None:
    lexical = RAG(k=1, search="lexical", chunk_tokens=20, overlap_tokens=2, embedder="no-such")
    session, bill = prepared(runner, ferry, base, lexical)
    (found,) = session.render([ferry.test[0]])
    assert [passage.document for passage in found.passages] == ["jetties"]
    assert found.passages[0].id.startswith("jetties#")
    assert runner.pool.loads_of(session.system) == []
    folder = runner.stages.root / bill.key
    assert not (folder / "index.faiss").exists()
    assert max(map(len, (p.text.split() for p in found.passages))) <= 20


def test_each_way_of_searching_has_its_stage_and_the_rest_costs_none(
    runner: Any, ferry: Any, base: Any, rag: RAG
) -> None:
    hybrid = changed(rag, search="hybrid")
    _, dense = prepared(runner, ferry, base, changed(rag, search="dense"))
    session, both = prepared(runner, ferry, base, hybrid)
    _, same = prepared(runner, ferry, base, changed(hybrid, weight=0.9, k=1, order="best_last"))
    assert dense.key != both.key
    assert (same.key, same.reused) == (both.key, True)
    (found,) = session.render([ferry.test[0]])
    assert len(found.passages) == 2


def test_the_oracle_looks_into_the_evidence_alone(
    runner: Any, ferry: Any, base: Any, rag: RAG
) -> None:
    session, _ = prepared(runner, ferry, base, changed(rag, retriever="oracle", k=9))
    asked, person, moon = (
        next(example for example in ferry.test if example.id == name)
        for name in ("test-at-elm", "test-mate", "test-moon")
    )
    known, none, _ = session.render([asked, person, moon])
    assert {passage.document for passage in known.passages} == {"jetties"}
    assert none.passages == ()
    assert session.system.plain()["sources"][0]["retriever"] == "oracle"
    lost = asked.model_copy(update={"evidence": ("gone",)})
    assert session.render([lost])[0].passages == ()


def test_equal_embedders_in_two_places_share_a_stage_that_both_can_open(
    runner: Any, ferry: Any, base: Any, rag: RAG, embedder: str, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(embedder, copy)
    first, bill = prepared(runner, ferry, base, rag)
    second, same = prepared(runner, ferry, base, changed(rag, embedder=str(copy)))
    assert same.key == bill.key
    found = [
        [passage.id for passage in session.render(ferry.test[:3])[0].passages]
        for session in (first, second)
    ]
    assert found[0] == found[1] != []


def test_the_best_last_stands_next_to_the_question(
    runner: Any, ferry: Any, base: Any, rag: RAG
) -> None:
    first, _ = prepared(runner, ferry, base, rag)
    last, _ = prepared(runner, ferry, base, changed(rag, order="best_last"))
    (one,), (two,) = first.render([ferry.test[0]]), last.render([ferry.test[0]])
    assert one.passages == two.passages  # scored and left out by their rank
    best, second = one.passages
    for asked, shown in ((one, [best, second]), (two, [second, best])):
        assert asked.messages[-1]["content"].startswith(f"{fenced(shown, 'tags')}\n\n")


def test_a_reranker_scores_is_metered_and_charged(
    runner: Any, ferry: Any, base: Any, rag: RAG, reranker: str
) -> None:
    session, _ = prepared(runner, ferry, base, changed(rag, reranker=reranker, candidates=4))
    session.load()
    assert reranker in runner.pool.loads_of(session.system)
    mark = runner.pool.mark()
    (found,) = session.render([ferry.test[0]])
    assert (runner.pool.work_since(mark).flops or 0) > 0
    texts = [passage.text for passage in found.passages]
    with Reranker.open(Path(reranker)) as judge:
        scores = judge.score([(ferry.test[0].question, text) for text in texts])
    assert [passage.score for passage in found.passages] == pytest.approx(scores.tolist(), abs=1e-5)
    assert sorted(scores, reverse=True) == scores.tolist()


def test_what_is_no_reranker_is_refused(embedder: str) -> None:
    base = str(Path(embedder).parent / "base")
    with pytest.raises(ModelError, match=r"is no reranker: it holds BertModel and a cross-encoder"):
        Reranker.open(Path(base))


def test_metadata_narrow_what_is_found(runner: Any, ferry: Any, base: Any, rag: RAG) -> None:
    pages = tuple(
        page.model_copy(update={"metadata": {"shore": page.id.startswith("shore/")}})
        for page in ferry.documents
    )
    told = replace(ferry, documents=pages)
    session, _ = prepared(runner, told, base, changed(rag, where={"shore": True}))
    (found,) = session.render([ferry.test[0]])
    assert {passage.document.split("/")[0] for passage in found.passages} == {"shore"}


def test_an_answer_cites_the_passages_it_stands_in(ferry: Any) -> None:
    passages = (
        Passage(text="The boat to Elm leaves from Jetty 5.", document="jetties", id="jetties#1"),
        Passage(text="A single fare is four crowns.", document="fares", id="fares#1"),
    )
    example = next(one for one in ferry.test if one.id == "test-at-elm")
    answer = Answer(text="jetty 5.", passages=passages, tokens_in=1, tokens_out=1)
    assert answer.cited == (True, False)
    ((scored,), _) = score_answers([example], [answer], ferry)
    shown = [(one["id"], one["document"], one["cited"]) for one in scored.passages]
    assert shown == [("jetties#1", "jetties", True), ("fares#1", "fares", False)]
    empty = answer.model_copy(update={"text": ""})
    assert empty.cited == (False, False)
