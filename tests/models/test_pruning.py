"""Layers that do nothing are found, and a model without some is one with fewer layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.errors import CannotRun
from wattune.models.loading import load_weights
from wattune.models.pruning import block_distances, decoder_layers, drop_layers

PROMPTS = [[5, 9, 12, 40], [7, 7, 30], [2, 60, 61, 62, 63]]


@pytest.fixture
def deep(chat_model: Path) -> Any:
    """A Llama of five layers, of which the third adds nothing to the residual stream."""
    from transformers import LlamaForCausalLM

    config = load_weights(chat_model, "float32").config
    config.num_hidden_layers = 5
    torch.manual_seed(1)
    model: Any = LlamaForCausalLM(config)
    model.eval()
    for name, weight in model.model.layers[2].named_parameters():
        if "o_proj" in name or "down_proj" in name:
            weight.data.zero_()
    return model


def test_a_layer_that_changes_nothing_has_no_distance(deep: Any) -> None:
    distances = block_distances(deep, PROMPTS, 1)
    assert len(distances) == 5
    assert distances[2] == pytest.approx(0, abs=1e-4)
    assert all(0.01 < distance < 1 for i, distance in enumerate(distances) if i != 2)
    assert len(block_distances(deep, PROMPTS, 4)) == 2


def test_the_distance_is_the_angle_between_hidden_states(deep: Any) -> None:
    with torch.inference_mode():
        states = deep(torch.tensor([PROMPTS[0]]), output_hidden_states=True).hidden_states
    # All but the last of transformers' states stand before the final norm.
    run = torch.stack([state[0, -1] for state in states[:-1]]).double()
    cosine = torch.nn.functional.cosine_similarity(run[:-2], run[2:])
    expected = (cosine.arccos() / torch.pi).tolist()
    assert block_distances(deep, PROMPTS[:1], 2)[:-1] == pytest.approx(expected, abs=1e-6)


def test_without_an_idle_layer_the_model_says_the_same(deep: Any, tmp_path: Path) -> None:
    ids = torch.tensor([PROMPTS[0]])
    with torch.inference_mode():
        before = deep(ids).logits
    deep.config.layer_types = ["a", "b", "c", "d", "e"]
    drop_layers(deep, [2])
    assert deep.config.layer_types == ["a", "b", "d", "e"]
    deep.config.layer_types = None
    deep.save_pretrained(tmp_path)
    again = load_weights(tmp_path, "float32").eval()
    assert again.config.num_hidden_layers == len(decoder_layers(again)) == 4
    with torch.inference_mode():
        assert torch.allclose(again(ids).logits, before, atol=1e-5)


def test_a_model_without_a_list_of_layers_cannot_be_pruned(deep: Any) -> None:
    deep.config.num_hidden_layers = 7
    with pytest.raises(CannotRun, match="LlamaForCausalLM keeps its layers in no list"):
        decoder_layers(deep)
