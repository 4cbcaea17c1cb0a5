"""The head multiplies two matrices, whatever of the hidden states is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.models.loading import load_weights


@pytest.mark.parametrize(("rows", "kept"), [(3, 1), (3, 4), (1, 1)])
def test_the_head_reads_its_rows_as_one_matrix(tiny: Path, rows: int, kept: int) -> None:
    model = load_weights(tiny, "float32").eval()
    strides: list[tuple[int, ...]] = []

    def note(head: Any, given: tuple[torch.Tensor, ...]) -> None:
        strides.append(given[0].stride())

    model.get_output_embeddings().register_forward_pre_hook(note)
    ids = torch.arange(rows * 9).reshape(rows, 9) % 50
    with torch.inference_mode():
        whole = model(input_ids=ids).logits[:, -kept:]
        found = model(input_ids=ids, logits_to_keep=kept).logits
    width = model.config.hidden_size
    # PyTorch multiplies in batches, with a copy of the weights for each row, by any other strides.
    assert strides == [(9 * width, width, 1), (kept * width, width, 1)]
    assert torch.allclose(found, whole, atol=1e-5)
