"""What is trained on in tuning.py, and how well it was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wattune.models.chat import chat_ids
from wattune.prompt import Message, Passage, PromptTemplate
from wattune.tasks.load import load_task

BATCH = 8
SEED = 0
RATES = {"lora": 2e-3, "full": 1e-4}
LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "lora_dropout": 0.0}
COUNTS = {"short": 240, "long": 40}
"""Training examples of a case: a minute or two of the slower peer on two cores."""

Pair = tuple[Sequence[Message], str]


@dataclass(frozen=True)
class Case:
    """Prompts with their answers: to train on, and held out."""

    train: list[Pair]
    held_out: list[Pair]


def case_of(name: str) -> Case:
    """harbour's questions alone ("short"), or each after about 250 tokens of its pages ("long")."""
    task = load_task("harbour")
    pages = {page.id: page for page in task.documents}
    template = PromptTemplate()

    def asked(examples: Sequence[Any]) -> list[Pair]:
        pairs: list[Pair] = []
        for example in examples:
            passages = []
            if name == "long":
                first = (*example.evidence, *pages)[0]
                passages = [Passage(text=pages[first].text[:1100], document=first)]
            chat = template.render(
                example.question, refusal=task.refusal, shots=(), passages=passages
            )
            pairs.append((chat, example.answers[0]))
        return pairs

    count = COUNTS[name]
    return Case(asked(task.train[:count]), asked(task.validation[: count // 4]))


def learnt(model: Any, tokenizer: Any, case: Case) -> float:
    """Mean loss of a token of the held-out answers, in float32, one row at a time."""
    model = model.float().eval()
    losses: list[float] = []
    with torch.inference_mode():
        for prompt, answer in case.held_out:
            asked = chat_ids(tokenizer, prompt, add_generation_prompt=True)
            said = [
                *tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id
            ]  # fmt: skip
            logits = model(input_ids=torch.tensor([[*asked, *said]])).logits[0, len(asked) - 1 : -1]
            logs = logits.log_softmax(-1)
            losses += [-float(logs[at, token]) for at, token in enumerate(said)]
    return sum(losses) / len(losses)
