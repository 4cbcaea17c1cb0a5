"""Adapters on one base: put on and taken off without a trace, as if opened anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from wattune.errors import ModelError
from wattune.models import adapters
from wattune.models.adapters import Base, check_base
from wattune.models.local import LocalModel
from wattune.models.quiet import quiet_peft
from wattune.system import Decoding

if TYPE_CHECKING:
    from wattune.prompt import Message

IDS = torch.tensor([[3, 40, 41, 42]])
CHATS: list[list[Message]] = [
    [{"role": "user", "content": text}] for text in ("Who keeps the gate?", "north", "9 8 7")
]
FREE = Decoding(max_tokens=8, stop=())


def save_adapter(base: Path, folder: Path, config: Any, seed: int = 0) -> Path:
    """A random adapter of `base` made by PEFT itself."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    with quiet_peft():
        wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * (1.0 if "prompt" in name else 0.3))
    wrapped.save_pretrained(str(folder))
    return folder


def lora(**settings: Any) -> Any:
    from peft import LoraConfig

    chosen = {"r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"], **settings}
    return LoraConfig(task_type="CAUSAL_LM", **chosen)


def ia3() -> Any:
    from peft import IA3Config

    return IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    )  # fmt: skip


def loha() -> Any:
    from peft import LoHaConfig

    return LoHaConfig(r=2, target_modules=["o_proj", "up_proj"], task_type="CAUSAL_LM")


def layer_norms() -> Any:
    from peft import LNTuningConfig

    return LNTuningConfig(target_modules=["input_layernorm"], task_type="CAUSAL_LM")


def prompt_tuning() -> Any:
    from peft import PromptTuningConfig

    return PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM")


KINDS: dict[str, Callable[[], Any]] = {
    "lora": lora,
    "dora": lambda: lora(use_dora=True),
    "rslora": lambda: lora(use_rslora=True, r=8),
    "olora": lambda: lora(init_lora_weights="olora"),
    "whole layers": lambda: lora(modules_to_save=["norm"]),
    "ia3": ia3,
    "loha": loha,
    "layer norms": layer_norms,
    "prompt tuning": prompt_tuning,
}


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One adapter of each kind, and a second LoRA."""
    root = tmp_path_factory.mktemp("adapters")
    folders = {kind: save_adapter(tiny, root / kind, config()) for kind, config in KINDS.items()}
    folders["other"] = save_adapter(tiny, root / "other", lora(), seed=1)
    return folders


def logits(model: LocalModel) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.model(IDS).logits
    return found


def state(model: LocalModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) and value.dtype == other[name].dtype
        for name, value in one.items()
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_switching_equals_opening_anew(
    tiny: Path, made: dict[str, Path], kind: str, dtype: str
) -> None:
    options: dict[str, Any] = {"dtype": dtype, "device": "cpu"}
    with LocalModel.open(tiny, **options) as switched:
        own, of_base = state(switched), logits(switched)
        kinds_before = [type(module) for module in switched.model.modules()]
        for worn in ([made["other"]], [made[kind]], [made["other"], made[kind]]):
            switched.adapt(worn)
            assert switched.adapters == tuple(worn)
            assert not torch.equal(logits(switched), of_base)
            if worn == [made["other"]]:
                continue
            with LocalModel.open(tiny, adapters=worn, **options) as fresh:
                assert same(state(switched), state(fresh))
                assert torch.equal(logits(switched), logits(fresh))
        switched.adapt([])
        assert torch.equal(logits(switched), of_base)
        assert same(state(switched), own)
        assert [type(module) for module in switched.model.modules()] == kinds_before
        assert all(weight.requires_grad for weight in switched.model.parameters())


def test_what_was_read_with_other_weights_is_forgotten(tiny: Path, made: dict[str, Path]) -> None:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as switched:
        of_base = switched.generate(CHATS, FREE)
        for kind in ("lora", "prompt tuning"):
            with LocalModel.open(tiny, adapters=[made[kind]], dtype="float32", device="cpu") as one:
                switched.adapt([made[kind]])
                written = switched.generate(CHATS, FREE)
                assert written == one.generate(CHATS, FREE)
                assert written != of_base
        switched.adapt([])
        assert switched.generate(CHATS, FREE) == of_base


def test_only_what_an_adapter_touched_is_copied(tiny: Path, made: dict[str, Path]) -> None:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        layer = model.model.model.layers[0].self_attn
        kept, replaced = layer.k_proj.weight.data_ptr(), layer.q_proj.weight.data_ptr()
        model.adapt([made["lora"]])
        assert layer.k_proj.weight.data_ptr() == kept
        assert layer.q_proj.weight.data_ptr() != replaced


def test_the_account_goes_on_over_merged_adapters(tiny: Path, made: dict[str, Path]) -> None:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        account = model.account
        model.generate(CHATS, FREE)
        done = account.tally
        model.adapt([made["lora"]])
        model.generate(CHATS, FREE)
        assert model.account is account
        assert account.tally.tokens_in == 2 * done.tokens_in


def test_without_room_for_copies_the_weights_must_be_opened_anew(
    tiny: Path, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        monkeypatch.setattr(adapters, "available_memory_bytes", lambda: 1000)
        model.adapt([made["lora"]])
        assert not model.adaptable
        with LocalModel.open(tiny, adapters=[made["lora"]], dtype="float32", device="cpu") as fresh:
            assert torch.equal(logits(model), logits(fresh))
        with pytest.raises(RuntimeError, match="open them anew"):
            model.adapt([])


def test_an_adapter_of_another_base_is_named_and_leaves_nothing_behind(
    tiny: Path, tmp_path: Path, made: dict[str, Path]
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    others = {}
    for name, change in {"wide": {"intermediate_size": 96}, "deep": {"num_hidden_layers": 3},
                         "shallow": {"num_hidden_layers": 1}}.items():  # fmt: skip
        config = AutoConfig.from_pretrained(tiny, **change)
        classes: Any = AutoModelForCausalLM
        classes.from_config(config).save_pretrained(tmp_path / name)
        others[name] = save_adapter(tmp_path / name, tmp_path / f"for-{name}", lora())
    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        own = state(model)
        for name, adapter in others.items():
            with pytest.raises(ModelError, match=f"for-{name}: the adapter does not fit the model"):
                model.adapt([made["other"], adapter])
            assert model.adapters == ()
            assert same(state(model), own)


def test_an_adapter_of_another_revision_is_refused(tmp_path: Path, tiny: Path) -> None:
    config = lora(revision="a" * 40)
    folder = save_adapter(tiny, tmp_path / "made", config)
    check_base(folder, "a" * 40)
    check_base(folder, "local-digest")
    with pytest.raises(ModelError, match=f"revision {'a' * 40} of its base, .* {'b' * 40}"):
        check_base(folder, "b" * 40)


def test_a_base_that_wears_nothing_has_nothing_to_take_off(tiny: Path) -> None:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        base = Base(model.model)
        base.take_off()
        assert base.wear([]) is model.model
