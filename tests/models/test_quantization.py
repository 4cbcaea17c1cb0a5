"""Quantised weights answer alike, are smaller, come back from safetensors, and say their size."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.errors import CannotRun
from wattune.models import quantization as room
from wattune.models.account import Account
from wattune.models.devices import required_memory_bytes
from wattune.models.loading import load_weights
from wattune.models.local import LocalModel
from wattune.models.quantization import check_quantizer, quantize, stored_bytes
from wattune.models.quiet import quiet_transformers
from wattune.prompt import Message
from wattune.system import Decoding, Quantization

CHAT: list[list[Message]] = [[{"role": "user", "content": "Who keeps the gate?"}]]
INT8 = Quantization(method="int8_weight_only")
INT4 = Quantization(method="int4_weight_only", group_size=32)
DYNAMIC = Quantization(method="int8_dynamic")
TOLERANCE = {"int8_weight_only": 0.01, "int8_dynamic": 0.02, "int4_weight_only": 0.15}
"""Of the logits' norm: rounding to 8 bits errs by up to 1/254 of the largest weight of a row, to
4 bits by up to 1/30 of a group's range; activations rounded as well add as much again."""


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory, chat_model: Path) -> Path:
    """The tiny model with weights a tenth as wide: its attention does not magnify what is small."""
    folder = tmp_path_factory.mktemp("even") / "model"
    shutil.copytree(chat_model, folder)
    model = load_weights(chat_model, "float32")
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "embed" not in name:
            weight.data.mul_(0.1)
    with quiet_transformers():
        model.save_pretrained(folder)
    return folder


def saved(source: Path, folder: Path, quantization: Quantization) -> Path:
    model = quantize(source, quantization, device="cpu", dtype="float32")
    with quiet_transformers():
        model.save_pretrained(folder)
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(torch.arange(3, 40)[None]).logits
    return found


def size(model: Any) -> int:
    return sum(stored_bytes(weight) for weight in model.parameters())


@pytest.mark.parametrize("quantization", [INT8, INT4, DYNAMIC], ids=lambda q: q.method)
def test_it_answers_nearly_alike_from_fewer_bytes(
    even: Path, tmp_path: Path, quantization: Quantization
) -> None:
    folder = saved(even, tmp_path / "small", quantization)
    plain = LocalModel.open(even, dtype="float32", device="cpu")
    small = LocalModel.open(even, weights=folder, dtype="float32", device="cpu")
    with plain, small:
        expected, found = logits(plain.model), logits(small.model)
        error = float((found - expected).norm() / expected.norm())
        assert 0 < error < TOLERANCE[quantization.method], error
        assert size(small.model) < size(plain.model)
        (answer,) = small.generate(CHAT, Decoding(max_tokens=6, stop=()))
        assert answer.tokens_out > 0
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json", ".jinja"}
    assert required_memory_bytes(folder, "float32") < required_memory_bytes(even, "float32")


@pytest.mark.parametrize("quantization", [INT8, INT4, DYNAMIC], ids=lambda q: q.method)
def test_operations_are_those_of_the_floats_and_bytes_are_fewer(
    chat_model: Path, tmp_path: Path, quantization: Quantization
) -> None:
    folder = saved(chat_model, tmp_path / "small", quantization)
    with LocalModel.open(chat_model, dtype="float32", device="cpu") as plain:
        floats = Account(plain.model, "answering").costs
        saved_bytes = size(plain.model)
    with LocalModel.open(chat_model, weights=folder, dtype="float32", device="cpu") as small:
        fewer = small.account.costs
        saved_bytes -= size(small.model)
    assert fewer.method == floats.method == "counted"
    assert fewer.flops_per_position == floats.flops_per_position
    assert fewer.flops_per_pair == floats.flops_per_pair
    half = 2 if quantization == INT4 else 1  # which computes in bfloat16
    assert fewer.bytes_per_cached is not None
    assert fewer.bytes_per_cached * half == floats.bytes_per_cached
    assert fewer.bytes_per_pass is not None
    assert floats.bytes_per_pass is not None
    assert floats.bytes_per_pass - fewer.bytes_per_pass == saved_bytes > 0


def test_the_head_and_the_embeddings_stay_as_they_are(chat_model: Path) -> None:
    model = quantize(chat_model, INT8, device="cpu", dtype="float32")
    kinds = {
        name: type(module.weight.data).__name__
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding)
    }
    floats = {name for name, kind in kinds.items() if kind == "Tensor"}
    assert floats == {"lm_head", "model.embed_tokens"}
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_what_does_not_fit_is_said_before(chat_model: Path) -> None:
    wide = Quantization(method="int4_weight_only", group_size=128)
    with pytest.raises(CannotRun, match=r"group_size 128 does not divide the width 32 of model"):
        quantize(chat_model, wide, device="cpu", dtype="float32")


@pytest.mark.parametrize(
    ("method", "device", "sentence"),
    [
        ("bnb_8bit", "cpu", "bnb_8bit needs cuda; here is cpu"),
        ("int8_dynamic", "mps", "int8_dynamic needs cpu or cuda; here is mps"),
    ],
)
def test_a_machine_that_cannot_is_told(method: Any, device: str, sentence: str) -> None:
    with pytest.raises(CannotRun, match=sentence):
        check_quantizer(Quantization(method=method), device)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(CannotRun, match=r"the package torchao: pip install 'wattune\[quant\]'"):
        check_quantizer(INT8, "cpu")
    with pytest.raises(CannotRun, match=r"bitsandbytes: pip install 'wattune\[gpu\]'"):
        check_quantizer(Quantization(method="bnb_4bit"), "cuda:0")
