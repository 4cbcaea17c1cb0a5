"""What is sure to be skipped is known from the steps alone, in the sentence of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune import RAG, FromScratch, FullFineTuning, LoRA, Merge, PeftMethod, Prune, Quantize
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.rehearsal import refusal
from wattune.strategies import Classical, Prompt, PromptSearch, Strategy, TreeRAG

LORA = LoRA()
PROMPT = PeftMethod(peft_type="prompt_tuning")
APART = "an adapter that cannot be merged into the weights"
QUANTISED = "quantised by int8_weight_only cannot be trained, pruned or quantised again"
SHOTS = Prompt(shots=2)


def job(task: Any, base: Any, steps: Sequence[Strategy]) -> Job:
    return Job(name="it", strategies=tuple(steps), task=task, system=base)


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((Quantize(), LORA), QUANTISED),
        ((Quantize(), Prune(layers=(0,))), QUANTISED),
        ((Quantize(), RAG(), Quantize()), QUANTISED),
        ((PROMPT, LORA), APART),
        ((PROMPT, RAG(), FullFineTuning()), APART),
        ((LORA, PROMPT, Merge()), APART),
        ((PROMPT, Quantize()), APART),
        ((Merge(),), "there is no adapter to merge"),
        ((Quantize(method="bnb_4bit"),), "needs cuda"),
        ((LoRA(load_in_4bit=True),), r"lora\.load_in_4bit: .* needs cuda"),
        ((LoRA(optim="schedule_free_sgd"),), "needs the package schedulefree"),
        ((Classical(), LORA), "lora needs a language model"),
        ((Classical(), RAG()), "classical looks at the question alone"),
        ((Classical(), SHOTS), "classical looks at the question alone"),
        ((LORA, Classical()), "classical takes the language model's place"),
        ((SHOTS, Classical()), "classical takes the language model's place"),
    ],
)
def test_it_is_refused(
    ferry: Any, base: Any, runner: Any, steps: Sequence[Strategy], sentence: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wattune.strategies.adapters.preferred_device", lambda: "cpu")
        patch.setattr("wattune.strategies.quantize.preferred_device", lambda: "cpu")
        patch.setattr("wattune.peft.optimizers.find_spec", lambda package: None)
        asked = job(ferry, base, steps)
        why = refusal(asked)
        with pytest.raises(CannotRun, match=sentence) as caught:
            runner.builder.prepare(asked)
    assert why == str(caught.value)
    assert not list(Path(runner.stages.root).glob("*"))  # refused before anything was built


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (LORA, LORA, Quantize(), RAG()),
        (PROMPT, FromScratch(), LORA),
        (Quantize(), FromScratch(), Quantize()),
        (FullFineTuning(), PROMPT),
        (Prune(layers=(0,), heal=LORA), LORA, Merge()),
        (PromptSearch(), TreeRAG(rag=RAG()), LORA),
        (SHOTS, PROMPT),
        (Classical(),),
    ],
)
def test_what_may_be_is_let_through(ferry: Any, base: Any, steps: Sequence[Strategy]) -> None:
    assert refusal(job(ferry, base, steps)) == ""


def test_tuning_needs_questions_to_train_on(ferry: Any, base: Any) -> None:
    why = refusal(job(replace(ferry, train=()), base, (LORA,)))
    assert why == "lora needs training examples and the task has none"
