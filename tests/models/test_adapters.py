"""Adapters: merged where they can be, wrapped where not, and right in both cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open

from wattune.errors import CannotRun, ModelError
from wattune.models.local import LocalModel
from wattune.models.quiet import quiet_peft
from wattune.system import Decoding

if TYPE_CHECKING:
    from wattune.prompt import Message

CHATS: list[list[Message]] = [
    [{"role": "user", "content": text}]
    for text in ("Who keeps the gate?", "north", "the old mill by the river 7 7 7", "9", "8")
]


def save_adapter(tiny: Path, folder: Path, config: Any, seed: int = 0) -> torch.Tensor:
    """Save a random adapter of `tiny` made by PEFT itself; the logits it gives for some tokens."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype="float32")
    with quiet_peft():
        wrapped = get_peft_model(base, config)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if weight.requires_grad:
                weight.normal_(std=1.0 if "prompt" in name else 0.5)
    wrapped.save_pretrained(str(folder))
    wrapped.eval()
    with torch.inference_mode():
        made: torch.Tensor = wrapped(torch.tensor([[3, 40, 41, 42]])).logits
    return made


def lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")


def prompt_tuning() -> Any:
    from peft import PromptTuningConfig

    return PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM")


def logits(model: LocalModel) -> torch.Tensor:
    with torch.inference_mode():
        made: torch.Tensor = model.model(torch.tensor([[3, 40, 41, 42]])).logits
    return made


def test_an_adapter_is_merged_into_the_weights(tiny: Path, tmp_path: Path) -> None:
    expected = save_adapter(tiny, tmp_path / "lora", lora())
    with LocalModel.open(
        tiny, adapters=[tmp_path / "lora"], dtype="float32", device="cpu"
    ) as model:
        assert type(model.model).__name__ == "LlamaForCausalLM"
        assert torch.allclose(logits(model), expected, atol=1e-4)
        # As opened it can be tuned further: merging alone would leave it frozen.
        assert all(weight.requires_grad for weight in model.model.parameters())
        model.generate(CHATS, Decoding(max_tokens=3, stop=()))


def test_adapters_are_applied_one_after_another(tiny: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        save_adapter(tiny, folder, lora(), seed)
    plain = AutoModelForCausalLM.from_pretrained(tiny, dtype="float32")
    for folder in folders:
        with quiet_peft():
            plain = PeftModel.from_pretrained(plain, folder).merge_and_unload()
    with (
        LocalModel.open(tiny, adapters=folders, dtype="float32", device="cpu") as model,
        torch.inference_mode(),
    ):
        assert torch.allclose(logits(model), plain(torch.tensor([[3, 40, 41, 42]])).logits)


def test_merging_happens_in_float32_over_the_weights_that_answer(
    tiny: Path, tmp_path: Path
) -> None:
    save_adapter(tiny, tmp_path / "lora", lora())
    with LocalModel.open(tiny, dtype="bfloat16", device="cpu") as base:
        rounded = {name: weight.float() for name, weight in base.model.named_parameters()}
    with safe_open(tmp_path / "lora" / "adapter_model.safetensors", framework="pt") as stored:
        factors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    for name, down in factors.items():
        if "lora_A" in name:
            at = name.removeprefix("base_model.model.").replace("lora_A.", "")
            rounded[at] += factors[name.replace("lora_A", "lora_B")] @ down * 2.0  # 8 / 4
    with LocalModel.open(
        tiny, adapters=[tmp_path / "lora"], dtype="bfloat16", device="cpu"
    ) as merged:
        for name, weight in merged.model.named_parameters():
            assert torch.equal(weight, rounded[name].to(torch.bfloat16)), name


def test_prompt_tuning_stays_wrapped_and_batches_equal_one_by_one(
    tiny: Path, tmp_path: Path
) -> None:
    expected = save_adapter(tiny, tmp_path / "prompt", prompt_tuning())
    with LocalModel.open(
        tiny, adapters=[tmp_path / "prompt"], dtype="float32", device="cpu"
    ) as model:
        assert torch.allclose(logits(model), expected, atol=1e-4)
        together = model.generate(CHATS, Decoding(max_tokens=8, stop=()))
        alone = [model.generate([chat], Decoding(max_tokens=8, stop=()))[0] for chat in CHATS]
    assert [one.text for one in together] == [one.text for one in alone]
    with LocalModel.open(tiny, dtype="float32", device="cpu") as base:
        assert base.generate(CHATS, Decoding(max_tokens=8, stop=())) != together


def test_nothing_can_follow_an_adapter_that_cannot_be_merged(tiny: Path, tmp_path: Path) -> None:
    save_adapter(tiny, tmp_path / "prompt", prompt_tuning())
    save_adapter(tiny, tmp_path / "lora", lora())
    with pytest.raises(CannotRun, match=r"prompt cannot be merged .* put it last"):
        LocalModel.open(tiny, adapters=[tmp_path / "prompt", tmp_path / "lora"], device="cpu")


def test_adapters_that_do_not_fit_are_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none has no adapter_model\.safetensors"):
        LocalModel.open(tiny, adapters=[tmp_path / "none"], device="cpu")
    save_adapter(tiny, tmp_path / "lora", lora())
    config = tmp_path / "lora" / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 4', '"r": 8'))
    with pytest.raises(ModelError, match="the adapter does not fit the model"):
        LocalModel.open(tiny, adapters=[tmp_path / "lora"], device="cpu")
