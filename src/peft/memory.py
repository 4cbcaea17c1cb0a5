"""How much memory a training needs, asked before it starts.

On a CPU running out of memory is a SIGKILL, not an exception, so sizes come from what is free.
"""

from __future__ import annotations

from typing import Any

from ..errors import CannotRun

ACTIVATION_BYTES_PER_LAYER = 34
"""Bytes kept per token, layer and unit of hidden width in 16-bit training without recomputation
(Korthikanti et al., arXiv 2205.05198, table 2, without the attention-score term)."""
MARGIN = 2.0
"""Times the activations by that formula: LoRA's own, logits and the allocator are not in it
(measured on SmolLM2-135M: 3.5 GB of a LoRA training where the formula alone says 2.1)."""
FLOAT32_BYTES = 4
ADAM_FLOATS = 4
"""Float32 values per trained parameter: master weight, gradient and Adam's two moments."""


def training_bytes(
    parameters: int, trained: int, config: Any, tokens_per_batch: int, *, bf16: bool
) -> int:
    """Bytes for weights, gradients, optimizer and activations of one micro-batch."""
    base = (parameters - trained) * (2 if bf16 else FLOAT32_BYTES)
    copies = trained * 2 if bf16 else 0  # autocast keeps a 16-bit copy of what is trained
    state = trained * FLOAT32_BYTES * ADAM_FLOATS
    width = config.hidden_size * config.num_hidden_layers
    activations = tokens_per_batch * width * ACTIVATION_BYTES_PER_LAYER * (1 if bf16 else 2)
    return int(base + copies + state + MARGIN * activations)


def fitting_batch(
    batch: int, longest: int, *, free: int, parameters: int, trained: int, config: Any, bf16: bool
) -> int:
    """The largest micro-batch, halved from `batch`, that fits into `free` bytes.

    Raises `CannotRun` with both numbers when not even one example fits.
    """
    size = batch
    while True:
        needed = training_bytes(parameters, trained, config, size * longest, bf16=bf16)
        if needed <= free:
            return size
        if size == 1:
            raise CannotRun(
                f"training needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB is free"
            )
        size //= 2
