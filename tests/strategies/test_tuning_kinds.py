"""Each kind of tuning on the tiny model: it learns, is kept as it was trained, and answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from wattune import ContinuedPretraining, FromScratch, FullFineTuning, LoRA, Merge, PeftMethod
from wattune.answering.session import Session
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.models.local import LocalModel
from wattune.peft.vocabulary import learn_tokenizer
from wattune.strategies import STRATEGIES, Strategy
from wattune.strategies.pretraining import windows
from wattune.tasks.task import Document

QUICK = {"num_train_epochs": 4, "per_device_train_batch_size": 4, "warmup_steps": 0}
LORA = LoRA.model_validate({"r": 4, "learning_rate": 2e-2, **QUICK})
IA3 = PeftMethod.model_validate({"learning_rate": 5e-2, **QUICK})
PROMPT = PeftMethod.model_validate(
    {**QUICK, "peft_type": "prompt_tuning", "learning_rate": 0.2, "num_train_epochs": 6}
)
PISSA = LORA.model_copy(update={"init_lora_weights": "pissa", "learning_rate": 5e-3})
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64, "vocab_size": 400}


@pytest.fixture
def small(ferry: Any) -> Any:
    """The task with eight training and four validation examples."""
    return replace(ferry, train=ferry.train[:8], validation=ferry.validation[:4])


def prepared(runner: Any, task: Any, base: Any, *steps: Strategy) -> Any:
    return runner.builder.prepare(Job(name="it", strategies=steps, task=task, system=base))


def sums(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def texts(runner: Any, system: Any, task: Any) -> list[str]:
    return [answer.text for answer in Session(system, runner.pool).answer(task.train)]


def falls(bill: Any) -> bool:
    losses: list[float] = [loss for _, loss in bill.details["losses"]]
    return min(losses[-2:]) < 0.9 * losses[0]


@pytest.mark.parametrize("step", [IA3, PROMPT, PISSA], ids=["ia3", "prompt_tuning", "pissa"])
def test_an_adapter_learns_and_answers_over_the_base_as_it_was(
    runner: Any, small: Any, base: Any, chat_model: Path, step: Strategy
) -> None:
    before = sums(chat_model)
    system, (bill,) = prepared(runner, small, base, step)
    assert sums(chat_model) == before
    assert falls(bill)
    folder = runner.stages.folder(system.adapters[0])
    names = {path.name for path in folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "stage.json"}
    assert bill.details["data"]["kept"] == 8
    assert len(bill.details["validation_losses"]) >= 1
    assert not {"tally", "validation_tally"} & bill.details.keys()
    assert bill.work.flops > 0
    assert texts(runner, system, small) != texts(runner, base, small)


def test_a_merged_adapter_answers_as_before_and_is_one_folder(
    runner: Any, small: Any, base: Any
) -> None:
    tuned, _ = prepared(runner, small, base, LORA)
    merged, bills = prepared(runner, small, base, LORA, Merge())
    assert [bill.strategy for bill in bills] == ["lora", "merge"]
    assert bills[0].reused
    assert merged.adapters == ()
    names = {path.name for path in runner.stages.folder(merged.weights).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert texts(runner, merged, small) == texts(runner, tuned, small)


def test_what_cannot_be_merged_is_told(runner: Any, small: Any, base: Any) -> None:
    with pytest.raises(CannotRun, match="merge: there is no adapter to merge"):
        prepared(runner, small, base, Merge())
    once = PROMPT.model_copy(update={"max_steps": 1})
    for after in (Merge(), LORA):
        with pytest.raises(
            CannotRun, match=r"cannot be merged into the weights \(a learnt prompt\)"
        ):
            prepared(runner, small, base, once, after)


def test_documents_are_read_in_windows_and_some_are_held_out(
    runner: Any, small: Any, base: Any
) -> None:
    step = ContinuedPretraining.model_validate({**QUICK, "learning_rate": 5e-3, "max_length": 32})
    system, (bill,) = prepared(runner, small, base, step)
    assert falls(bill)
    assert system.adapters == ()
    assert system.weights is not None
    report = bill.details["data"]
    assert report["documents"] == len(small.documents)
    assert report["held_out"] == (report["windows"] + report["held_out"]) // 20 > 0
    assert len(bill.details["validation_losses"]) >= 1
    assert texts(runner, system, small) != texts(runner, base, small)
    assert "train" not in step.depends_on()
    with pytest.raises(CannotRun, match="continued_pretraining needs documents and the task has"):
        prepared(runner, replace(small, documents=()), base, step)


def test_windows_hold_every_token_once() -> None:
    pages = [Document(id="a", title="Fares", text="four crowns " * 9), Document(id="b", text="No.")]
    tokenizer = learn_tokenizer(["four crowns"], 300)
    made = windows(pages, tokenizer, 16)
    stream = [token for window in made for token in window.answer]
    assert all(window.prompt == () for window in made)
    assert {window.length for window in made[:-1]} == {16}
    assert tokenizer.decode(stream) == f"Fares\n\n{pages[0].text}<|end|>No.<|end|>"
    assert windows(pages[1:], tokenizer, 4)[-1].length > 1  # one token alone predicts nothing


def test_a_vocabulary_is_small_equal_for_equal_texts_and_writes_anything() -> None:
    corpus = ["The boat to Alder leaves from jetty 1. " * 4, "jetty"]
    one, same = (learn_tokenizer(corpus, 300) for _ in range(2))
    assert one.get_vocab() == same.get_vocab()
    assert 259 < len(one) <= 300
    assert (one.pad_token, one.eos_token) == ("<|pad|>", "<|end|>")
    assert one.decode(one("Zürich 東")["input_ids"]) == "Zürich 東"
    chat = [{"role": "user", "content": "jetty"}]
    made = one.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert made == "<|start|>user\njetty<|end|>\n<|start|>assistant\n"


def test_from_scratch_makes_a_model_of_its_own(runner: Any, small: Any, base: Any) -> None:
    step = FromScratch.model_validate(
        {**QUICK, **SMALL, "learning_rate": 1e-2, "num_train_epochs": 12}
    )
    system, (bill,) = prepared(runner, small, base, step)
    assert falls(bill)
    folder = runner.stages.folder(system.weights)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] == 1
    assert config["vocab_size"] == bill.details["data"]["vocabulary"] <= 400
    assert config["max_position_embeddings"] == 2048
    assert (folder / "tokenizer.json").is_file()
    assert bill.details["data"]["windows"] > 0
    with LocalModel.open(folder, dtype="float32", device="cpu") as opened:
        assert opened.model.num_parameters() == bill.details["trainable_parameters"]
        assert "<|start|>" in opened.tokenizer.get_vocab()
    # Eight questions are soon known by heart: asked in its own tokens, it says so.
    answers = texts(runner, system, small)
    assert sum(text.startswith("jetty") for text in answers) >= 6


def test_four_bits_need_a_gpu(
    runner: Any, small: Any, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    step = LORA.model_copy(update={"load_in_4bit": True})
    record, _ = runner.run(Job(name="it", strategies=(step,), task=small, system=base))
    assert record.status == "skipped"
    assert record.reason.startswith("lora.load_in_4bit: ")
    assert "needs cuda" in record.reason


def test_tuning_starts_from_what_the_data_settings_leave(
    runner: Any, small: Any, base: Any
) -> None:
    few = LORA.model_copy(update={"data": LORA.data.model_copy(update={"max_examples": 3})})
    _, (bill,) = prepared(runner, small, base, few)
    assert bill.details["examples"] == bill.details["data"]["kept"] == 3
    more = few.model_copy(update={"data": few.data.model_copy(update={"paraphrases": 1})})
    _, (bill,) = prepared(runner, small, base, more)
    written = bill.details["data"]["paraphrasing"]
    assert written["asked"] == 3
    assert bill.details["examples"] == 3 + written["kept"]
    assert bill.work.tokens_out > 0  # the model that reworded wrote something


def test_what_is_opened_within_a_stage_is_spent_once(runner: Any, small: Any, base: Any) -> None:
    data = LORA.data.model_copy(update={"max_examples": 3, "paraphrases": 1})
    step = LORA.model_copy(update={"data": data})
    record, _ = runner.run(Job(name="it", strategies=(step,), task=small, system=base))
    phases = ("load", "answer", "realtime", "general")
    parts = [record.phases[name].duration_s for name in phases if name in record.phases]
    parts.append(record.stages[0].spent.duration_s)
    assert record.spent.duration_s == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    ("step", "settings", "sentence"),
    [
        (PeftMethod, {"peft_type": "ia"}, 'PEFT has no method "ia"; did you mean "ia3"'),
        (PeftMethod, {"peft_type": "adalora"}, "adalora cannot be trained here"),
        (PeftMethod, {"peft_type": "oft"}, "oft has no learning_rate of its own here; give one"),
        (PeftMethod, {"config": {"rank": 4}}, 'IA3Config has no field "rank"'),
        (LoRA, {"init_lora_weights": "corda"}, "is worked out from data"),
        (LoRA, {"init_lora_weights": "pissa", "load_in_4bit": True}, "4 bits do not hold exactly"),
        (FromScratch, {"hidden_size": 100, "num_attention_heads": 8}, "multiple of twice"),
        (FromScratch, {"vocab_size": 100}, "greater than or equal to 259"),
        (FromScratch, {"max_length": 4096}, "max_length 4096 is more than max_position_embeddings"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    step: Any, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        step.model_validate(settings)


def test_rates_are_those_of_the_method() -> None:
    assert PeftMethod().learning_rate == 3e-2
    assert PeftMethod(peft_type="prompt_tuning").learning_rate == 3e-2
    given = PeftMethod.model_validate({"peft_type": "oft", "learning_rate": 1e-3})
    assert PeftMethod.model_validate(given.plain()) == given


@pytest.mark.parametrize(
    "made",
    [IA3, PROMPT, PISSA, Merge(), FromScratch(), ContinuedPretraining(), FullFineTuning()],
    ids=lambda step: step.type,
)
def test_a_step_comes_back_from_what_a_record_holds_of_it(made: Strategy) -> None:
    assert STRATEGIES[made.type] is type(made)
    assert type(made).model_validate(made.plain()) == made


def test_all_processes_tune_and_one_merges() -> None:
    together: Sequence[type[Strategy]] = [
        LoRA, PeftMethod, FullFineTuning, ContinuedPretraining, FromScratch,
    ]  # fmt: skip
    assert all(step.distributed for step in together)
    assert not Merge.distributed
