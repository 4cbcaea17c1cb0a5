"""From rendered prompts and their answers to training batches that score the answer only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .beginnings import shared_tokens

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""The label that torch's cross entropy leaves out."""


@dataclass(frozen=True)
class TokenisedExample:
    """Prompt and answer as token ids; the loss is taken on the answer alone.

    With an empty prompt it is taken on all tokens but the first, which nothing predicts.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    id: str = ""

    @property
    def length(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.prompt) + len(self.answer)


def tokenise(
    prompts: Sequence[Sequence[int]],
    answers: Sequence[str],
    tokenizer: Any,
    max_length: int,
    ids: Sequence[str] = (),
) -> list[TokenisedExample]:
    """Append each answer and the end-of-turn token to its prompt; `ids` name the examples.

    Raises `InputError` for an answer without text, and as `checked` does.
    """
    names = [str(name) for name in ids] or [str(n) for n in range(1, len(prompts) + 1)]
    examples: list[TokenisedExample] = []
    for name, prompt, answer in zip(names, prompts, answers, strict=True):
        if not answer.strip():
            raise InputError(
                f"training example {name} has an empty answer; there is nothing to learn from it"
            )
        tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
        examples.append(TokenisedExample(tuple(prompt), (*tokens, tokenizer.eos_token_id), name))
    checked(examples, max_length)
    return examples


def checked(examples: Sequence[TokenisedExample], max_length: int, kind: str = "training") -> None:
    """Raise `InputError` where an example has nothing to score or is too long.

    Cutting a long one would train on an answer whose question is lost.
    """
    for number, example in enumerate(examples, start=1):
        if not example.answer or example.length < 2:
            raise InputError(
                f"{kind} example {example.id or number} has no answer token to predict; "
                "its template leaves the answer out, or the answer is empty"
            )
    over = [example for example in examples if example.length > max_length]
    if over:
        longest = max(over, key=lambda example: example.length)
        raise InputError(
            f"{len(over)} of {len(examples)} {kind} examples are longer than max_length "
            f"({max_length} tokens); the longest, {longest.id or 'without an id'}, has "
            f"{longest.length}; raise max_length, or give fewer or shorter passages"
        )


def columns(
    rows: Sequence[Sequence[TokenisedExample]], *, completion_only: bool = True
) -> dict[str, list[Any]]:
    """The columns of a trainer's data set, each row one example or several packed ones.

    `positions` restart with each example. The first token of an example is never scored: what
    stands before it is padding or another example. `number` is the row's own.
    """
    made: dict[str, list[Any]] = {
        "input_ids": [], "labels": [], "positions": [], "number": list(range(len(rows)))
    }  # fmt: skip
    for row in rows:
        tokens: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        for example in row:
            whole = [*example.prompt, *example.answer]
            unscored = max(1, len(example.prompt)) if completion_only else 1
            tokens += whole
            labels += [IGNORED] * unscored + whole[unscored:]
            positions += range(len(whole))
        made["input_ids"].append(tokens)
        made["labels"].append(labels)
        made["positions"].append(positions)
    return made


@dataclass(frozen=True)
class AnswerCollator:
    """Pads on the left, so that all answers end in the same column.

    Then the model needs to compute logits for the last few columns only (`logits_to_keep`), which
    works alike through adapters and through distributed wrappers. With `packing` there is no
    attention mask but position ids, from whose restarts transformers tells what may see what; the
    padding is then a text of its own that is not scored. `pads_right` is for learnt prompts: PEFT
    puts them at the very beginning, and padding must not stand between them and the text. With
    `shares` the tokens that all rows begin with are given once (see `beginnings`).
    """

    pad_token_id: int
    packing: bool = False
    pads_right: bool = False
    shares: bool = False

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (rows, longest), labels -100 outside the answers; and of shape (rows),
        `lengths` without padding and `number`. Where a beginning is shared it is left out of them
        and given as `beginning`, of shape (1, its tokens)."""
        import torch

        lengths = [len(row["input_ids"]) for row in rows]
        ids = [list(row["input_ids"]) for row in rows]
        labels = [list(row["labels"]) for row in rows]
        shared = shared_tokens(list(map(_prompt, ids, labels))) if self.shares else 0
        beginning = ids[0][:shared]
        ids, labels = [one[shared:] for one in ids], [one[shared:] for one in labels]
        longest = max(map(len, ids))

        def padded(row: Sequence[int], filling: Sequence[int]) -> list[int]:
            return [*row, *filling] if self.pads_right else [*filling, *row]

        pads = [longest - len(row) for row in ids]
        made: dict[str, Any] = {
            "input_ids": [
                padded(row, [self.pad_token_id] * n) for row, n in zip(ids, pads, strict=True)
            ],
            "labels": [padded(row, [IGNORED] * n) for row, n in zip(labels, pads, strict=True)],
            "lengths": lengths,
            "number": [row["number"] for row in rows],
        }
        if self.packing:
            made["position_ids"] = [
                [*range(n), *row["positions"]] for row, n in zip(rows, pads, strict=True)
            ]
        else:
            made["attention_mask"] = [
                padded([1] * len(row), [0] * n) for row, n in zip(ids, pads, strict=True)
            ]
        if shared:
            made["beginning"] = [beginning]
        return {name: torch.tensor(values) for name, values in made.items()}


def _prompt(ids: Sequence[int], labels: Sequence[int]) -> Sequence[int]:
    """What stands before the first scored token."""
    return ids[: next((at for at, label in enumerate(labels) if label != IGNORED), len(ids))]
