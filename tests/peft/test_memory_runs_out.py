"""What does not fit is made smaller: by what is free on a CPU, by the exception on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.effort import Effort
from wattune.errors import CannotRun
from wattune.peft.adapters import LoraSettings, adapter_config, add_adapter
from wattune.peft.memory import training_bytes


def small_gpu(model: Any, rows: int, after: int = 0) -> Any:
    """Let the model behave as on a GPU whose memory ends above so many rows, once `after` passes
    went well."""
    passes = 0

    def look(module: Any, args: Any, given: dict[str, Any]) -> None:
        nonlocal passes
        passes += 1
        if given["input_ids"].shape[0] > rows and passes > after:
            raise torch.cuda.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB.\n..."
            )

    model.register_forward_pre_hook(look, with_kwargs=True)
    return model


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=0, atol=1e-5) for name in one)


@pytest.mark.parametrize("after", [0, 4])
def test_out_of_memory_halves_the_rows_and_keeps_the_effective_batch(
    fit: Callable[..., Any], fresh: Callable[[], Any], after: int
) -> None:
    asked = fit()
    found = fit(small_gpu(fresh(), 2, after), use_cpu=False)
    result = found.result
    assert (result.per_device_train_batch_size, result.gradient_accumulation_steps) == (2, 2)
    assert result.notes == ("GPU memory ran out; went on with 2 rows a pass",)
    assert [loss for _, loss in result.losses] == pytest.approx(
        [loss for _, loss in asked.result.losses], rel=1e-4
    )
    assert result.tokens == asked.result.tokens
    assert same(found.weights, asked.weights)


def test_it_goes_on_from_the_last_checkpoint(
    fit: Callable[..., Any], fresh: Callable[[], Any], tmp_path: Path
) -> None:
    effort, seen = Effort(tmp_path / "stage"), []
    found = fit(
        small_gpu(fresh(), 2, after=4), use_cpu=False, effort=effort, save_steps=1,
        progress=lambda done, of: seen.append(done),
    )  # fmt: skip
    assert seen == [1, 2, 3, 4, 5, 6]  # none twice
    assert found.result.resumed_from_step is None
    assert same(found.weights, fit().weights)


def test_at_last_it_recomputes_and_then_says_that_it_cannot(
    fit: Callable[..., Any], fresh: Callable[[], Any]
) -> None:
    with pytest.raises(CannotRun, match=r"GPU memory does not suffice for one row .*2\.00 GiB"):
        fit(small_gpu(fresh(), 0), use_cpu=False)
    with pytest.raises(CannotRun, match="GPU memory does not suffice"):
        fit(small_gpu(fresh(), 0), use_cpu=False, gradient_checkpointing=False)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Say how many bytes are free."""

    def say(count: int) -> None:
        monkeypatch.setattr("wattune.peft.attempt.available_memory_bytes", lambda: count)

    return say


def test_on_a_cpu_the_rows_follow_from_what_is_free(
    fit: Callable[..., Any], fresh: Callable[[], Any], examples: Any, free: Callable[[int], None]
) -> None:
    model = fresh()
    count, longest = model.num_parameters(), max(one.length for one in examples)

    def needed(rows: int, **more: bool) -> int:
        scores = rows * (max(len(one.answer) for one in examples) + 1) * model.config.vocab_size
        return training_bytes(
            count, count, model.config, rows * longest, bf16=False, scores=scores, **more
        )

    def used() -> tuple[int, int, bool]:
        found = fit(max_steps=1).result
        return (
            found.per_device_train_batch_size,
            found.gradient_accumulation_steps,
            found.gradient_checkpointing,
        )

    free(needed(4))
    assert used() == (4, 1, False)
    free(needed(4) - 1)
    assert used() == (2, 2, False)
    free(needed(1))
    assert used() == (1, 4, False)
    free(needed(1) - 1)  # less than one row, unless layers are computed again
    size, times, checkpointing = used()
    assert checkpointing
    assert size * times == 4
    with pytest.raises(CannotRun, match=r"training needs about 0\.0 GB and 0\.0 GB is free"):
        fit(gradient_checkpointing=False)
    free(needed(1, checkpointing=True) - 1)
    with pytest.raises(CannotRun, match="training needs about"):
        fit()


def test_checkpointing_changes_no_loss_and_is_off_again(
    fit: Callable[..., Any], fresh: Callable[[], Any]
) -> None:
    for adapted in (False, True):

        def made(adapted: bool = adapted) -> Any:
            model = fresh()
            if not adapted:
                return model
            return add_adapter(model, LoraSettings(r=4, lora_alpha=8).config(), seed=0)

        model = made()
        found = fit(model, gradient_checkpointing=True)
        assert found.result.gradient_checkpointing
        assert found.result.losses == fit(made()).result.losses
        assert not model.is_activation_checkpointing
        assert model.config.use_cache


def test_noise_is_added_once_also_after_memory_ran_out(
    fit: Callable[..., Any], fresh: Callable[[], Any]
) -> None:
    model, hooks = small_gpu(fresh(), 2), []
    embeddings = model.get_input_embeddings()
    fit(
        model, use_cpu=False, neftune_noise_alpha=5.0,
        progress=lambda done, of: hooks.append(len(embeddings._forward_hooks)),
    )  # fmt: skip
    assert set(hooks) == {1}
    assert not embeddings._forward_hooks


def test_prompts_are_recomputed_and_prefixes_are_not(
    fit: Callable[..., Any], fresh: Callable[[], Any]
) -> None:
    def made(kind: str) -> Any:
        return add_adapter(fresh(), adapter_config(kind, {"num_virtual_tokens": 4}), seed=0)

    prompt = fit(made("prompt_tuning"), gradient_checkpointing=True, max_steps=2)
    assert prompt.result.losses == fit(made("prompt_tuning"), max_steps=2).result.losses
    for use_cpu in (True, False):
        with pytest.raises(CannotRun, match="prefix tuning cannot be trained with gradient_check"):
            fit(made("prefix_tuning"), gradient_checkpointing=True, use_cpu=use_cpu)
