"""From rendered prompts and their answers to training batches that score the answer only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""The label that torch's cross entropy leaves out."""


@dataclass(frozen=True)
class TokenisedExample:
    """Prompt and answer as token ids; the loss is taken on the answer alone."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.prompt) + len(self.answer)


def tokenise(
    prompts: Sequence[Sequence[int]], answers: Sequence[str], tokenizer: Any, max_length: int
) -> list[TokenisedExample]:
    """Append each answer and the end-of-turn token to its prompt.

    Raises `InputError` when an example does not fit into `max_length` tokens: cutting it would
    train on an answer whose question is lost.
    """
    examples: list[TokenisedExample] = []
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), start=1):
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        example = TokenisedExample(tuple(prompt), (*ids, tokenizer.eos_token_id))
        if example.length > max_length:
            raise InputError(
                f"training example {number} has {example.length} tokens and max_length is "
                f"{max_length}; raise max_length, or give fewer or shorter passages"
            )
        examples.append(example)
    return examples


@dataclass(frozen=True)
class AnswerCollator:
    """Pads on the left, so that all answers end in the same column.

    Then the model needs to compute logits for the last few columns only (`logits_to_keep`), which
    works alike through adapters and through distributed wrappers.
    """

    pad_token_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (rows, longest); labels hold -100 outside the answers."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)
        input_ids, mask, labels = [], [], []
        for row in rows:
            pad = longest - len(row["input_ids"])
            input_ids.append([self.pad_token_id] * pad + list(row["input_ids"]))
            mask.append([0] * pad + [1] * len(row["input_ids"]))
            labels.append([IGNORED] * pad + list(row["labels"]))
        return {
            "input_ids": torch.tensor(input_ids),
            "attention_mask": torch.tensor(mask),
            "labels": torch.tensor(labels),
        }


def columns(examples: Sequence[TokenisedExample]) -> dict[str, list[list[int]]]:
    """The columns a trainer's data set is made of."""
    return {
        "input_ids": [[*example.prompt, *example.answer] for example in examples],
        "labels": [[*([IGNORED] * len(example.prompt)), *example.answer] for example in examples],
    }
