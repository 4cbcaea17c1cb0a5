"""Quantize and Prune are steps like any other: they compose, are billed, and refuse in words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from wattune import RAG, FullFineTuning, LoRA, Prune, Quantize
from wattune.answering.session import Session
from wattune.builder import _inputs
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.strategies import Strategy
from wattune.values import digest

QUICK = {"num_train_epochs": 1, "per_device_train_batch_size": 4, "warmup_steps": 0}
LORA = LoRA.model_validate({"r": 4, "learning_rate": 2e-2, **QUICK})
FULL = FullFineTuning.model_validate({"learning_rate": 5e-3, **QUICK})
HEALED = Prune(layers=(0,), heal=LORA.model_copy(update={"num_train_epochs": 3}))


@pytest.fixture
def small(ferry: Any) -> Any:
    """The task with eight training examples."""
    return replace(ferry, train=ferry.train[:8])


def job(task: Any, base: Any, *steps: Strategy) -> Job:
    return Job(name="it", strategies=steps, task=task, system=base, realtime_questions=1)


def config_of(runner: Any, system: Any) -> dict[str, Any]:
    folder = runner.stages.folder(system.weights)
    content: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=lambda step: step.type)
def test_a_tuned_model_is_quantised_with_its_adapters(
    runner: Any, small: Any, base: Any, tuning: Strategy
) -> None:
    system, (_, bill) = runner.builder.prepare(job(small, base, tuning, Quantize()))
    assert system.adapters == ()
    assert system.quantization is not None
    assert system.quantization.plain() == {"method": "int8_weight_only", "group_size": None}
    assert system.weights_key() == (bill.key,)
    assert bill.details["quantized_bytes"] < bill.details["float_bytes"]
    assert bill.spent.duration_s > 0
    names = {path.name for path in runner.stages.folder(system.weights).iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "stage.json"} <= names
    assert not [name for name in names if name.startswith("tmp")]
    alone, _ = runner.builder.prepare(job(small, base, Quantize()))
    assert alone.weights != system.weights
    before, _ = runner.builder.prepare(job(small, base, tuning))
    texts = [
        [answer.text for answer in Session(made, runner.pool).answer(small.train)]
        for made in (before, system, alone)
    ]
    same = sum(one == other for one, other in zip(texts[0], texts[1], strict=True))
    assert same > sum(one == other for one, other in zip(texts[0], texts[2], strict=True))


def test_a_quantised_model_answers_with_passages_and_its_record_is_whole(
    runner: Any, small: Any, base: Any, embedder: str
) -> None:
    rag = RAG(k=1, chunk_tokens=40, overlap_tokens=4, embedder=embedder)
    record, _ = runner.run(job(small, base, Quantize(), rag))
    assert (record.status, record.reason) == ("done", "")
    assert [stage.strategy for stage in record.stages] == ["quantize", "rag"]
    assert record.system["quantization"]["method"] == "int8_weight_only"
    assert record.phases["load"].duration_s > 0
    work = record.work["answer"]
    plain, _ = runner.run(job(small, base, rag))
    assert work.flops_method == plain.work["answer"].flops_method == "counted"
    per_token = work.bytes_moved / (work.tokens_in + work.tokens_out)
    other = plain.work["answer"]
    assert per_token < other.bytes_moved / (other.tokens_in + other.tokens_out)


@pytest.mark.parametrize("step", [LORA, FULL, Prune(layers=(0,)), Quantize(method="int8_dynamic")])
def test_what_would_change_quantised_weights_is_skipped(
    runner: Any, small: Any, base: Any, step: Strategy
) -> None:
    record, _ = runner.run(job(small, base, Quantize(), step))
    assert record.status == "skipped"
    assert "quantised by int8_weight_only cannot be trained, pruned or quantised" in record.reason


def test_a_method_without_its_hardware_is_skipped(runner: Any, small: Any, base: Any) -> None:
    record, _ = runner.run(job(small, base, Quantize(method="bnb_4bit")))
    assert record.status == "skipped"
    assert "bnb_4bit needs cuda" in record.reason


def test_pruned_layers_are_gone_and_healing_helps(runner: Any, small: Any, base: Any) -> None:
    pruned, (bill,) = runner.builder.prepare(job(small, base, Prune(layers=(0,))))
    assert config_of(runner, pruned)["num_hidden_layers"] == 1
    assert bill.details == {"dropped": [0], "layers": 1}
    assert (Session(pruned, runner.pool).answer([small.train[0]])[0].tokens_out or 0) > 0
    healed, bills = runner.builder.prepare(job(small, base, HEALED))
    assert [stage.strategy for stage in bills] == ["prune", "lora"]
    assert bills[0].key == bill.key  # dropped once, for both
    assert healed.weights == pruned.weights
    assert len(healed.adapters) == 1
    losses = [loss for _, loss in bills[1].details["losses"]]
    assert min(losses[-2:]) < 0.9 * losses[0]  # the first is that of the pruned model
    assert HEALED.heal is not None
    _, same = runner.builder.prepare(job(small, base, Prune(layers=(0,)), HEALED.heal))
    assert [stage.key for stage in same] == [stage.key for stage in bills]


def test_layers_are_chosen_by_their_distance(runner: Any, small: Any, base: Any) -> None:
    system, (bill,) = runner.builder.prepare(job(small, base, Prune(drop=1, prompts=3)))
    distances = bill.details["distances"]
    assert len(distances) == 2
    assert bill.details["dropped"] == [distances.index(min(distances))]
    assert config_of(runner, system)["num_hidden_layers"] == 1
    assert bill.work.flops > 0
    assert bill.work.tokens_in > 3 * 20


def test_small_after_small(runner: Any, small: Any, base: Any) -> None:
    steps = Prune(layers=(1,)), LORA, Quantize(method="int4_weight_only", group_size=32)
    record, _ = runner.run(job(small, base, *steps))
    assert (record.status, record.reason) == ("done", "")
    assert [stage.strategy for stage in record.stages] == ["prune", "lora", "quantize"]


def test_pruning_what_is_not_there_cannot_run(runner: Any, small: Any, base: Any) -> None:
    for step, sentence in (
        (Prune(), "would drop 3 layers and the model has 2"),
        (Prune(layers=(0, 1)), r"would drop layers \[0, 1\] and the model has 2"),
        (Prune(layers=(4,)), r"would drop layers \[4\] and the model has 2, counted from 0"),
    ):
        with pytest.raises(CannotRun, match=sentence):
            runner.builder.prepare(job(small, base, step))
    with pytest.raises(CannotRun, match="the task has none; name them yourself"):
        runner.builder.prepare(job(replace(small, train=()), base, Prune(drop=1)))


@pytest.mark.parametrize(
    ("step", "settings"),
    [
        (Quantize, {"group_size": 100}),
        (Quantize, {"method": "int2"}),
        (Prune, {"layers": []}),
        (Prune, {"layers": [-1]}),
        (Prune, {"heal": {"type": "rag"}}),
    ],
)
def test_settings_that_mean_nothing_are_refused(step: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        step.model_validate(settings)


def test_a_step_comes_back_from_what_a_record_holds_of_it() -> None:
    assert Prune.model_validate(HEALED.plain()) == HEALED
    assert Quantize.model_validate(Quantize().plain()) == Quantize()


def test_what_determines_a_smaller_model_is_its_key(small: Any, base: Any) -> None:
    def key(step: Strategy, system: Any = base) -> str:
        return digest(_inputs(step, system, job(small, system, step)))

    assert key(Quantize()) == key(Quantize(group_size=32))  # of which int8 knows nothing
    int4 = Quantize(method="int4_weight_only")
    others = {key(Quantize()), key(Quantize(method="int8_dynamic")), key(int4)}
    others.add(key(int4.model_copy(update={"group_size": 32})))
    assert len(others) == 4
    assert key(HEALED) == key(Prune(layers=(0,)))  # healing is another stage
    assert HEALED.identity() != Prune(layers=(0,)).identity()
