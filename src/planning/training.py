"""A training that is planned: its batches as the trainer would make them, its passes tallied.

material (examples as tokens) ─▶ rows ─▶ LengthGroupedSampler, epoch by epoch ─▶ the collator
─▶ per batch: the shared beginning once, then the rest of each row, as `AnswerTrainer` tallies
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..measure.memory import available_memory_bytes
from ..measure.predicted import Expected
from ..measure.work import Tally
from ..peft.batches import IGNORED, AnswerCollator, TokenisedExample, checked, columns
from ..peft.memory import FLOAT32_BYTES, fitting, scored_columns, training_bytes
from ..peft.packing import packed
from ..peft.settings import TrainingSettings
from .weightless import Ways, virtual_tokens

MOMENTS = 2
"""Numbers that AdamW keeps of each weight (arXiv 1711.05101); others keep fewer."""


@dataclass(frozen=True)
class PlannedTraining:
    """Passes with their backward passes, passes over validation examples, and memory in bytes.

    `saved_bytes` are those of all checkpoints and of what is kept in the end.
    """

    trained: Ways
    judged: Ways
    held: Expected
    saved_bytes: int
    batch: int
    steps: int
    ends_early: bool


def planned_training(
    model: Any,
    tokenizer: Any,
    settings: TrainingSettings,
    examples: Sequence[TokenisedExample],
    validation: Sequence[TokenisedExample],
    *,
    seed: int,
    bf16: bool,
    shares: bool,
    on_cpu: bool,
) -> PlannedTraining:
    """What training `model`, a skeleton, would do. Raises as the training would: `InputError` for
    examples too long, `CannotRun` where not one row fits into memory."""
    checked(examples, settings.max_length)
    checked(validation, settings.max_length, "validation")
    rows: list[tuple[TokenisedExample, ...]] = [(example,) for example in examples]
    if settings.packing:
        rows = packed(examples, settings.max_length)
    longest = max(sum(example.length for example in row) for row in rows)
    batch, checkpointing = (
        settings.per_device_train_batch_size,
        bool(settings.gradient_checkpointing),
    )
    if on_cpu:
        free = available_memory_bytes()
        batch, checkpointing = fitting(model, settings, rows, free=free, bf16=bf16)
    accumulation = (
        settings.gradient_accumulation_steps * settings.per_device_train_batch_size // batch
    )
    plain = settings.packing or checkpointing or settings.neftune_noise_alpha is not None
    collate = AnswerCollator(
        tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        packing=settings.packing,
        pads_right=virtual_tokens(model) > 0,
        shares=shares and not plain,
    )
    virtual = _virtual(model)
    each_epoch = math.ceil(math.ceil(len(rows) / batch) / accumulation)
    steps = settings.max_steps
    if steps < 1:
        steps = math.ceil(each_epoch * settings.num_train_epochs)
    only = settings.completion_only_loss
    table = _table(columns(rows, completion_only=only))
    trained, taken = Tally(), 0
    by_epoch: list[Tally] = []
    for order in _orders([len(row["input_ids"]) for row in table], batch * accumulation, seed):
        before = trained
        for first in range(0, len(order), batch * accumulation):
            if taken == steps:
                break
            step = order[first : first + batch * accumulation]
            for at in range(0, len(step), batch):
                trained += _passes(collate([table[n] for n in step[at : at + batch]]), virtual)
            taken += 1
        by_epoch.append(trained - before)
        if taken == steps:
            break
    trained += Tally(steps=steps)
    judged, ends_early = Tally(), False
    evaluations = 0
    if validation and settings.eval_strategy != "no":
        held = sorted(validation, key=lambda example: example.length)
        alone = AnswerCollator(collate.pad_token_id, pads_right=collate.pads_right,
                               shares=collate.shares)  # fmt: skip
        kept = _table(columns([(one,) for one in held], completion_only=only))
        once = sum(
            (_passes(alone(kept[n : n + batch]), virtual) for n in range(0, len(kept), batch)),
            Tally(),
        )
        evaluations = len(by_epoch)
        if settings.eval_strategy == "steps":
            every = settings.eval_steps or 1.0
            evaluations = int(steps / (every if every >= 1 else max(1.0, steps * every)))
        judged = once.times(evaluations)
        ends_early = (
            settings.early_stopping_patience is not None or settings.frugal_gain_per_kj is not None
        )
    shortest = 1.0
    if ends_early and evaluations:  # the earliest that a rule can stop it
        rules = [settings.early_stopping_patience]
        rules += [settings.frugal_patience] if settings.frugal_gain_per_kj is not None else []
        patience = min(rule for rule in rules if rule is not None)
        shortest = min(1.0, (patience + 1) / evaluations)
    weights = list(model.parameters())
    learnt = FLOAT32_BYTES * sum(weight.numel() for weight in weights if weight.requires_grad)
    saves = evaluations if settings.eval_strategy == "steps" else len(by_epoch)
    config = model.config.get_text_config()
    scores = (
        batch
        * scored_columns(rows, settings, pads_right=collate.pads_right)
        * int(config.vocab_size)
    )

    def formula(tokens: int) -> float:
        """The trainer's own figure, with twice the activations: as its docstring says, LoRA's own
        and the allocator are in that. Without any it is the least that there can be."""
        return float(
            training_bytes(
                sum(weight.numel() for weight in weights),
                sum(weight.numel() for weight in weights if weight.requires_grad),
                config,
                tokens,
                bf16=bf16,
                checkpointing=checkpointing,
                scores=scores,
            )
        )

    return PlannedTraining(
        trained=Ways(trained, trained.times(shortest), trained),
        judged=Ways(judged, judged.times(shortest), judged),
        held=Expected(
            likely=(formula(0) + formula(batch * longest)) / 2,
            low=formula(0),
            high=formula(batch * longest),
        ),
        saved_bytes=learnt * (saves * (1 + MOMENTS) + 1),
        batch=batch,
        steps=steps,
        ends_early=ends_early,
    )


def _orders(lengths: list[int], together: int, seed: int) -> Iterator[list[int]]:
    """The rows of each epoch in the trainer's order, without end."""
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler

    sampler = LengthGroupedSampler(together, lengths=lengths, generator=torch.Generator())
    epoch = 0
    while True:
        assert sampler.generator is not None
        sampler.generator.manual_seed(seed + epoch)
        yield list(sampler)
        epoch += 1


def _table(made: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Columns as rows."""
    return [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]


def _passes(inputs: dict[str, Any], virtual: tuple[int, int]) -> Tally:
    """The passes over a batch and its tokens; see `AnswerTrainer`."""
    labels = inputs["labels"]
    rows, length = labels.shape
    scored = (labels != IGNORED).any(dim=0).nonzero()[:, 0]
    before, past = virtual
    packed_rows = "position_ids" in inputs
    heads = len(scored) if packed_rows else length - int(scored[0]) + 1
    done = Tally(tokens_in=int(inputs["lengths"].sum()))
    if "beginning" in inputs:
        past = inputs["beginning"].shape[1]
        done += Tally.of_pass(1, past, heads=1)
    return done + Tally.of_pass(rows, before + length, heads=rows * heads, past=past)


def _virtual(model: Any) -> tuple[int, int]:
    """Positions before the text's own and keys without positions, of a learnt prompt."""
    count = virtual_tokens(model)
    if not count:
        return 0, 0
    prefix = model.active_peft_config.peft_type.value == "PREFIX_TUNING"
    return (0, count) if prefix else (count, 0)
