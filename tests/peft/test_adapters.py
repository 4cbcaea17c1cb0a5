"""Adapters: PEFT's own names, refused in words where they mean nothing, and saved as trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.errors import CannotRun, InputError
from wattune.models.local import LocalModel
from wattune.peft.adapters import (
    VIRTUAL_TOKENS,
    LoraSettings,
    adapter_config,
    add_adapter,
    changes_base,
    check_unsharded,
    layers,
    save_adapter,
)

IDS = torch.tensor([[3, 40, 41, 42, 50, 60, 70]])
PATTERN = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 8}}


@pytest.fixture
def opened(tiny: Path) -> Any:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        yield model


def logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        made: torch.Tensor = model(IDS).logits[:, -IDS.shape[1] :]
    return made


def steps(model: Any, count: int = 6) -> list[float]:
    """A few steps of training; the loss before each."""
    model.train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=2e-2)
    losses = []
    for _ in range(count):
        made = model(input_ids=IDS, attention_mask=torch.ones_like(IDS), use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(made[0, -IDS.shape[1] : -1], IDS[0, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        PATTERN,
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "mica"},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_16", "use_rslora": True},
        {"init_lora_weights": "pissa", **PATTERN},
        {"init_lora_weights": "olora"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) if settings else "plain",
)
def test_what_is_saved_is_what_was_trained_over_the_base_as_it_was(
    opened: Any, tiny: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    before = logits(opened.model)
    made = LoraSettings(r=4, lora_alpha=8, **settings)
    model = add_adapter(opened.model, made.config(), seed=1)
    assert torch.allclose(logits(model), before, atol=1e-4)  # training starts from the base
    initial = None
    if changes_base(made.config()):
        initial = tmp_path / "initial"
        save_adapter(model, initial)
    losses = steps(model)
    assert losses[-1] < losses[0]
    save_adapter(model, tmp_path / "adapter", initial=initial)
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors"}
    expected = logits(model)
    with LocalModel.open(
        tiny, adapters=[tmp_path / "adapter"], dtype="float32", device="cpu"
    ) as again:
        assert torch.allclose(logits(again.model), expected, atol=1e-4)
    assert not torch.allclose(before, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ia3", {}),
        ("prompt_tuning", {}),
        ("p_tuning", {"num_virtual_tokens": 3}),
        ("prefix_tuning", {"num_virtual_tokens": 3}),
        ("loha", {"r": 2}),
        ("lokr", {"r": 2}),
        ("oft", {}),
        ("vera", {"r": 4}),
    ],
)
def test_methods_of_peft_come_back_as_they_were_trained(
    opened: Any, tiny: Path, tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    before = logits(opened.model)
    model = add_adapter(opened.model, adapter_config(kind, settings), seed=0)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert trained
    assert all(weight.dtype == torch.float32 for weight in trained)
    losses = steps(model)
    assert losses[-1] < losses[0]
    expected = logits(model)
    save_adapter(model, tmp_path / "adapter")
    with LocalModel.open(
        tiny, adapters=[tmp_path / "adapter"], dtype="float32", device="cpu"
    ) as again:
        assert torch.allclose(logits(again.model), expected, atol=1e-4)
    assert not torch.allclose(before, expected, atol=1e-2)


def test_equal_seeds_start_equally(tiny: Path) -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        with LocalModel.open(tiny, dtype="float32", device="cpu") as opened:
            model = add_adapter(opened.model, LoraSettings(r=2).config(), seed=seed)
            return [weight for weight in model.parameters() if weight.requires_grad]

    pairs = list(zip(weights(1), weights(1), weights(2), strict=True))
    assert all(torch.equal(one, same) for one, same, _ in pairs)
    assert any(not torch.equal(one, other) for one, _, other in pairs)


def test_a_learnt_prompt_has_twenty_tokens_unless_told() -> None:
    assert adapter_config("prompt_tuning", {}).num_virtual_tokens == VIRTUAL_TOKENS == 20
    assert adapter_config("p_tuning", {"num_virtual_tokens": 3}).num_virtual_tokens == 3


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        ("ia", {}, 'PEFT has no method "ia"; did you mean "ia3"'),
        ("adalora", {}, r"adalora cannot be trained here: .*update_and_allocate"),
        ("adamss", {}, r"adamss cannot be trained here: .*update_and_allocate"),
        ("xlora", {}, "xlora cannot be trained here: it mixes adapters"),
        ("poly", {}, "poly cannot be trained here: it needs the number of a task"),
        ("lora", {"init_lora_weights": "eva"}, 'init_lora_weights "eva" is worked out from data'),
        ("lora", {"init_lora_weights": "pisa"}, 'unknown init_lora_weights "pisa"; did you mean'),
        ("lora", {"r": 0}, "lora: PEFT refuses these settings|r"),
        ("ia3", {"task_type": "SEQ_CLS"}, '"task_type" follows from the task'),
        (
            "ia3",
            {"target_modules": ["k_proj"], "feedforward_modules": ["up_proj"]},
            "ia3: PEFT refuses these settings: `feedforward_modules` should be a subset",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    opened: Any, kind: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        add_adapter(opened.model, adapter_config(kind, settings), seed=0)


def test_all_unknown_fields_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        adapter_config("prompt_tuning", {"num_virtual_token": 5, "nonsense": 1, "more": 2})
    assert str(caught.value).startswith(
        'PromptTuningConfig has no field "num_virtual_token"; did you mean "num_virtual_tokens"; '
        'PromptTuningConfig has no field "nonsense"; PromptTuningConfig has no field "more"; '
        "known: "
    )
    assert str(caught.value).count("known: ") == 1


def test_layers_that_are_not_there_are_named(opened: Any) -> None:
    assert {"q_proj", "down_proj", "embed_tokens"} <= set(layers(opened.model))
    with pytest.raises(
        InputError, match=r'lora\.target_modules: .* no layer "q_prj"; did you mean'
    ):
        add_adapter(opened.model, LoraSettings(target_modules=("q_prj",)).config(), seed=0)
    add_adapter(opened.model, LoraSettings(target_modules=("self_attn.q_proj",)).config(), seed=0)


def test_an_architecture_that_peft_does_not_know_is_told_with_its_layers(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = opened.model.config
    for place in (config, type(config)):
        monkeypatch.setattr(place, "model_type", "novel")
    with pytest.raises(InputError, match=r"which layers of novel to adapt; name them .*k_proj"):
        add_adapter(opened.model, adapter_config("ia3", {}), seed=0)


@pytest.mark.parametrize("kind", ["lily", "beft"])
def test_what_could_not_be_answered_with_is_told_before_it_is_trained(
    opened: Any, kind: str
) -> None:
    with pytest.raises(InputError, match=f"{kind}: PEFT cannot adapt this model"):
        add_adapter(opened.model, adapter_config(kind, {}), seed=0)


@pytest.mark.parametrize("more", [{"use_dora": True}, {"use_rslora": True, **PATTERN}])
def test_starts_that_peft_cannot_take_back_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="init_lora_weights pissa goes neither with use_dora nor"):
        LoraSettings(init_lora_weights="pissa", **more).config()


def test_parted_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_unsharded("pissa")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(CannotRun, match="pissa needs all weights in each process, and FSDP"):
        check_unsharded("pissa")


@pytest.mark.parametrize("end", ["lm_head", "embed_tokens"])
def test_an_adapter_on_embeddings_that_are_one_weight_is_refused(opened: Any, end: str) -> None:
    assert opened.model.config.tie_word_embeddings
    settings = LoraSettings(r=2, target_modules=(end, "q_proj"))
    with pytest.raises(InputError, match=r"input and the output embeddings .* are one weight"):
        add_adapter(opened.model, settings.config(), seed=0)
