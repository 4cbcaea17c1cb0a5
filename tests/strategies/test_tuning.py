"""LoRA and full fine-tuning train for real, leave the base alone, and are trained once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune import RAG, FullFineTuning, LoRA, Prompt, TreeRAG
from wattune.answering.session import Session
from wattune.builder import Builder, _inputs
from wattune.errors import CannotRun
from wattune.fold import Fold
from wattune.job import Job
from wattune.strategies.tuning import Tuning
from wattune.values import digest

QUICK = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "warmup_steps": 0}
TUNED = [
    LoRA.model_validate({"r": 4, "learning_rate": 2e-2, **QUICK}),
    FullFineTuning.model_validate({"learning_rate": 5e-3, **QUICK}),
]


@pytest.fixture
def small(ferry: Any) -> Any:
    """The task with eight training examples."""
    return replace(ferry, train=ferry.train[:8])


def job(task: Any, base: Any, *steps: Any, seed: int = 0) -> Job:
    return Job(name="it", strategies=steps, task=task, system=base, seed=seed)


def sums(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.parametrize("strategy", TUNED, ids=lambda s: s.type)
def test_tuning_learns_and_leaves_the_base_alone(
    runner: Any, small: Any, base: Any, chat_model: Path, strategy: Tuning
) -> None:
    before = sums(chat_model)
    system, (bill,) = runner.builder.prepare(job(small, base, strategy))
    assert sums(chat_model) == before
    losses = [loss for _, loss in bill.details["losses"]]
    assert bill.details["steps"] == len(losses) == 6
    assert min(losses[-2:]) < 0.8 * losses[0]
    folder = runner.stages.folder((*system.adapters, system.weights)[0])
    names = {path.name for path in folder.iterdir()}
    if strategy.type == "lora":
        assert {"adapter_model.safetensors", "adapter_config.json"} <= names
        assert system.weights is None
    else:
        assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
        assert system.adapters == ()
    assert not names & {"trainer", "README.md", "optimizer.pt", "training_args.bin"}
    assert bill.spent == bill.attributed
    assert bill.spent.duration_s > 0
    question = small.train[0]
    (tuned,) = Session(system, runner.pool).answer([question])
    (plain,) = Session(base, runner.pool).answer([question])
    assert tuned.text != plain.text


def test_lora_serves_t_rag_too_and_is_billed_to_both(
    runner: Any, small: Any, base: Any, embedder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    build = Builder._build

    def spy(self: Builder, strategy: Any, *rest: Any) -> Any:
        built.append(strategy.type)
        return build(self, strategy, *rest)

    monkeypatch.setattr(Builder, "_build", spy)
    lora = TUNED[0].model_copy(update={"num_train_epochs": 1})
    rag = RAG(k=1, chunk_tokens=40, overlap_tokens=4, embedder=embedder)
    _, (alone,) = runner.builder.prepare(job(small, base, lora))
    system, bills = runner.builder.prepare(job(small, base, lora, TreeRAG(rag=rag)))
    assert built == ["lora", "rag", "tree_rag"]
    assert [bill.reused for bill in bills] == [True, False, False]
    assert bills[0].key == alone.key
    assert bills[0].spent.energy_j == 0
    assert bills[0].attributed == alone.attributed
    assert len(system.adapters) == 1
    assert [source.type for source in system.sources] == ["index", "tree"]
    # Trained on prompts with passages it is another adapter.
    _, reversed_bills = runner.builder.prepare(job(small, base, rag, lora))
    assert reversed_bills[-1].key != alone.key
    assert built == ["lora", "rag", "tree_rag", "lora"]


def test_training_examples_are_asked_as_the_incoming_system_would_ask(
    runner: Any, small: Any, base: Any
) -> None:
    context = runner.builder._context(Fold(job(small, base)))
    system = runner.builder.prepare(
        job(small, base, Prompt(instruction="Be brief.", question="Q: {question}"))
    )[0]
    session = Session(system, runner.pool)
    made = TUNED[0]._material(session, context)
    tokenizer, examples = session.tokenizer, made.examples
    assert len(examples) == len(made.validation) == 8
    assert made.report["kept"] == 8
    prompt = tokenizer.decode(examples[0].prompt)
    assert "Be brief." in prompt
    assert f"Q: {small.train[0].question}" in prompt
    assert prompt.endswith("<|start|>assistant\n")
    assert tokenizer.decode(examples[0].answer) == "jetty 1<|end|>"


def test_what_determines_a_training_is_its_key(small: Any, base: Any) -> None:
    def key(task: Any, step: Any, seed: int = 0, system: Any = base) -> str:
        return digest(_inputs(step, system, job(task, system, step, seed=seed)))

    lora = TUNED[0]
    first = key(small, lora)
    assert key(replace(small, documents=(), hierarchy=None, test=small.test[:2]), lora) == first
    unjudged = lora.model_copy(update={"eval_strategy": "no"})
    assert key(replace(small, validation=()), unjudged) == key(small, unjudged)
    others = [
        key(replace(small, train=small.train[:6]), lora),
        key(replace(small, validation=()), lora),
        key(small, unjudged),
        key(small, lora, seed=1),
        key(small, lora.model_copy(update={"r": 2})),
        key(small, lora, system=base.model_copy(update={"refusal": "No."})),
        key(small, TUNED[1]),
    ]
    assert len({first, *others}) == 8


def test_tuning_without_examples_or_memory_cannot_run(
    runner: Any, small: Any, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotRun, match="lora needs training examples and the task has none"):
        runner.builder.prepare(job(replace(small, train=()), base, TUNED[0]))
    monkeypatch.setattr("wattune.peft.attempt.available_memory_bytes", lambda: 1000)
    with pytest.raises(CannotRun, match=r"training needs about 0\.0 GB and 0\.0 GB is free"):
        runner.builder.prepare(job(small, base, TUNED[1]))
    assert not list(runner.stages.root.glob("*.partial"))
    assert not list(runner.stages.root.glob("*/stage.json"))
