"""How much memory a training needs, asked before it starts.

On a CPU running out of memory is a SIGKILL, not an exception, so sizes come from what is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import CannotRun
from .batches import TokenisedExample
from .settings import TrainingSettings

ACTIVATION_BYTES_PER_LAYER = 34
"""Bytes kept per token, layer and unit of hidden width in 16-bit training without recomputation
(Korthikanti et al., arXiv 2205.05198, table 2, without the attention-score term)."""
MARGIN = 2.0
"""Times the activations by that formula: LoRA's own and the allocator are not in it (measured on
SmolLM2-135M: 3.5 GB of a LoRA training where the formula alone says 2.1)."""
SCORE_BYTES = 16
"""Of each score of the head for the loss: the score and its gradient in 16 bits, their copies in
float32, and the log-softmax. Of full text and a large vocabulary they are most of the memory."""
FLOAT32_BYTES = 4
ADAM_FLOATS = 4
"""Float32 values per trained parameter: master weight, gradient and Adam's two moments."""


def training_bytes(
    parameters: int,
    trained: int,
    config: Any,
    tokens_per_batch: int,
    *,
    bf16: bool,
    checkpointing: bool = False,
    scores: int = 0,
) -> int:
    """Bytes for weights, gradients, optimizer and activations of one micro-batch, of whose head so
    many `scores` are computed (positions times vocabulary).

    With gradient checkpointing each layer keeps its 16-bit input and one layer at a time all the
    rest (the same paper, section 5, "full activation recomputation").
    """
    base = (parameters - trained) * (2 if bf16 else FLOAT32_BYTES)
    copies = trained * 2 if bf16 else 0  # autocast keeps a 16-bit copy of what is trained
    state = trained * FLOAT32_BYTES * ADAM_FLOATS
    layers = config.num_hidden_layers
    per_token = ACTIVATION_BYTES_PER_LAYER * (1 if checkpointing else layers)
    if checkpointing:
        per_token += 2 * layers
    activations = tokens_per_batch * config.hidden_size * per_token * (1 if bf16 else 2)
    return int(base + copies + state + MARGIN * activations + SCORE_BYTES * scores)


def scored_columns(
    rows: Sequence[Sequence[TokenisedExample]],
    settings: TrainingSettings,
    *,
    pads_right: bool = False,
) -> int:
    """The most columns of a micro-batch that the head is computed for: those from the first answer
    on, since answers end in the same column; all where they stand anywhere: in packed rows, and
    where the padding is on the right, as it is for learnt prompts."""
    whole = settings.packing or pads_right or not settings.completion_only_loss
    return max(sum(one.length for one in row) if whole else len(row[0].answer) + 1 for row in rows)


def fitting_batch(
    batch: int,
    longest: int,
    *,
    free: int,
    parameters: int,
    trained: int,
    config: Any,
    bf16: bool,
    checkpointing: bool = False,
    scored: int = 0,
) -> int:
    """The largest micro-batch, a divisor of `batch` by halving, that fits into `free` bytes; of
    each row the head is computed for `scored` columns.

    Raises `CannotRun` with both numbers when not even one example fits.
    """
    size = batch
    while True:
        needed = training_bytes(
            parameters, trained, config, size * longest, bf16=bf16, checkpointing=checkpointing,
            scores=size * scored * int(config.vocab_size) if scored else 0,
        )  # fmt: skip
        if needed <= free:
            return size
        if size == 1:
            raise CannotRun(
                f"training needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB is free"
            )
        size = smaller(size)


def smaller(size: int) -> int:
    """The largest divisor of `size` of at most its half: the effective batch can stay as it is."""
    return next(part for part in range(size // 2, 0, -1) if size % part == 0)


def learns_prompt(model: Any) -> bool:
    """Whether it is a prompt of PEFT's that is trained, behind which the text is padded."""
    config = getattr(model, "active_peft_config", None)
    return bool(getattr(config, "is_prompt_learning", False))


def can_recompute(model: Any) -> bool:
    """Whether gradient checkpointing goes with the model. Prefix tuning hands each layer keys and
    values in a cache, which has grown when the layer is computed again; other learnt prompts are
    read as text is."""
    from peft import PeftModel

    adapted = isinstance(model, PeftModel)
    return not adapted or model.active_peft_config.peft_type.value != "PREFIX_TUNING"


def fitting(
    model: Any,
    settings: TrainingSettings,
    rows: Sequence[Sequence[TokenisedExample]],
    *,
    free: int,
    bf16: bool,
) -> tuple[int, bool]:
    """The micro-batch, and whether with gradient checkpointing: where nothing is said of that, only
    if not even one row fits without it. As `fitting_batch` raises."""
    weights = list(model.parameters())
    longest = max(sum(example.length for example in row) for row in rows)
    asked = settings.gradient_checkpointing

    def fit(checkpointing: bool) -> int:
        return fitting_batch(
            settings.per_device_train_batch_size,
            longest,
            free=free,
            parameters=sum(weight.numel() for weight in weights),
            trained=sum(weight.numel() for weight in weights if weight.requires_grad),
            config=model.config.get_text_config(),
            bf16=bf16,
            checkpointing=checkpointing,
            scored=scored_columns(rows, settings, pads_right=learns_prompt(model)),
        )

    try:
        return fit(bool(asked)), bool(asked)
    except CannotRun:
        if asked is not None or not can_recompute(model):
            raise
        return fit(True), True
