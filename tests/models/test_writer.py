"""Writing with what prompts share read once: equal, token by token, to one prompt at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from wattune.models.attention import window_of
from wattune.models.local import LocalModel
from wattune.models.quiet import quiet_peft
from wattune.models.rows import Rows
from wattune.models.writer import Writer
from wattune.system import Decoding

if TYPE_CHECKING:
    from wattune.models.generation import Generation
    from wattune.prompt import Message

LONG = "The harbour of Norden lies on the river, and its master keeps the gate since the year 7. "
OTHER = "The old mill stands by the bridge in the east, where the river is deep and slow. "
ASKED = [
    (LONG, "Who keeps the gate?"),
    (OTHER, "Where does the mill stand?"),
    (LONG, "north?"),
    ("", "9"),
    (LONG, "Since when, and by which river, and what is its name?"),
    (OTHER, "7 7"),
]


def chats(system: str = "") -> list[list[Message]]:
    said: list[Message] = [{"role": "system", "content": system}] if system else []
    return [[*said, {"role": "user", "content": f"{text}\n\n{asked}"}] for text, asked in ASKED]


def alone(model: LocalModel, chat: list[Message], most: int) -> list[int]:
    """New token ids by plain `generate` of transformers, or of PEFT where an adapter is around."""
    ids = torch.tensor([model.encode_chat(chat)])
    with quiet_peft(), torch.inference_mode():
        made = model.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=sorted(model.end_tokens),
        )
    return [int(token) for token in made[0, ids.shape[1] :]]


def equal(model: LocalModel, asked: list[list[Message]], made: Sequence[Generation]) -> None:
    assert len({answer.text for answer in made}) > 2  # the prompts do matter
    for chat, answer in zip(asked, made, strict=True):
        ids = alone(model, chat, 12)
        assert answer.tokens_out == len(ids)
        assert answer.text == model.tokenizer.decode(ids, skip_special_tokens=True).strip()


@pytest.fixture
def model(tiny: Path) -> Any:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as opened:
        yield opened


FREE = Decoding(max_tokens=12, stop=())


@pytest.mark.parametrize("system", ["", "Answer in a few words what is asked about the harbour."])
@pytest.mark.parametrize("limits", [{}, {"rows": 2}, {"columns": 300}, {"rows": 1}])
def test_trunk_heads_and_batches_change_no_text(
    model: LocalModel, system: str, limits: dict[str, Any]
) -> None:
    asked = chats(system)
    made = model.generate(asked, FREE, **limits)
    equal(model, asked, made)
    assert [one.tokens_in for one in made] == [len(model.encode_chat(chat)) for chat in asked]


def test_what_is_shared_is_read_once(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    step = Writer.step

    def spy(self: Writer, rows: Rows, ids: Any, fresh: Any, **more: Any) -> Any:
        read.append((len(rows), int(fresh.sum())))
        return step(self, rows, ids, fresh, **more)

    monkeypatch.setattr(Writer, "step", spy)
    asked = chats("Answer in a few words what is asked about the harbour.")
    lengths = [len(model.encode_chat(chat)) for chat in asked]
    made = model.generate(asked, Decoding(max_tokens=1, stop=()))
    trunk, heads, rests = read[0], read[1], read[2:]
    assert trunk[0] == 1
    assert heads[0] == 2  # LONG and OTHER
    assert sum(one.tokens_reused for one in made) + sum(n for _, n in read) == sum(lengths)
    assert sum(n for _, n in rests) < sum(lengths) / 3
    assert made[0].tokens_reused == 0  # it paid for the trunk, and for its passage
    assert made[2].tokens_reused == made[4].tokens_reused > trunk[1]


def test_finished_rows_leave_the_batch(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    step = Writer.step

    def spy(self: Writer, rows: Rows, ids: Any, fresh: Any, **more: Any) -> Any:
        if ids.shape[1] == 1:
            sizes.append(len(rows))
        return step(self, rows, ids, fresh, **more)

    monkeypatch.setattr(Writer, "step", spy)
    asked = chats()
    free = model.generate(asked, Decoding(max_tokens=30, stop=()))
    stop = tuple({one.text[2:4] for one in free[1:]} - {free[0].text[:4]})
    sizes.clear()
    made = model.generate(asked, Decoding(max_tokens=30, stop=stop))
    ended = sum(one.tokens_out < 30 for one in made)
    assert ended > 1
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= len(asked) - ended + 1
    for whole, cut in zip(free, made, strict=True):
        places = [at for text in stop if (at := whole.text.find(text)) >= 0]
        assert cut.text == whole.text[: min(places, default=None)].strip()


def test_single_questions_keep_what_they_have_in_common(model: LocalModel) -> None:
    asked = chats("Answer in a few words what is asked about the harbour.")
    made = [model.generate([chat], FREE)[0] for chat in asked]
    equal(model, asked, made)
    assert made[0].tokens_reused == 0
    assert all(one.tokens_reused >= 16 for one in made[1:])
    assert all((one.first_token_s or 0) > 0 for one in made)
    # Another instruction: nothing in common, and from then on that one.
    others = chats("You translate whatever is said into the language of birds, in one word.")
    first, second = (model.generate([chat], FREE)[0] for chat in (others[0], others[3]))
    assert first.tokens_reused < second.tokens_reused
    equal(model, others, model.generate(others, FREE))


def test_several_questions_do_not_profit_from_those_before(model: LocalModel) -> None:
    asked = chats("Answer in a few words what is asked about the harbour.")
    first = model.generate(asked, FREE)
    assert model.generate(asked, FREE) == first  # what a run costs is its own
    assert all(one.first_token_s is None for one in first)


def test_each_reply_is_told_once_as_it_ends(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, Any]] = []
    step = Writer.step
    broken: list[int] = []

    def short(self: Writer, rows: Rows, ids: Any, fresh: Any, **more: Any) -> Any:
        # The whole batch writes a few tokens, then memory is short.
        if len(rows) > 3 and ids.shape[1] == 1 and len(told) > 0:
            broken.append(len(rows))
            raise torch.OutOfMemoryError("out of memory")
        return step(self, rows, ids, fresh, **more)

    asked = chats()
    stop = tuple({model.generate(asked, FREE)[0].text[:2]})
    monkeypatch.setattr(Writer, "step", short)
    made = model.generate(
        asked,
        Decoding(max_tokens=12, stop=stop),
        told=lambda number, reply: told.append((number, reply)),
    )
    assert broken
    assert sorted(number for number, _ in told) == list(range(len(asked)))
    assert all(made[number] == reply for number, reply in told)
    assert model.account.tally.tokens_out == sum(one.tokens_out for one in made) + 12 * len(asked)


def tuned(kind: str) -> Any:
    from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig

    return {
        "lora": LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        "prompt": PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"),
        "p_tuning": PromptEncoderConfig(
            num_virtual_tokens=4, encoder_hidden_size=16, task_type="CAUSAL_LM"
        ),
        "prefix": PrefixTuningConfig(num_virtual_tokens=6, task_type="CAUSAL_LM"),
    }[kind]


@pytest.mark.parametrize("kind", ["lora", "prompt", "p_tuning", "prefix"])
def test_adapters_write_the_same_text_in_batches(tiny: Path, tmp_path: Path, kind: str) -> None:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with quiet_peft():
        wrapped = get_peft_model(
            AutoModelForCausalLM.from_pretrained(tiny, dtype="float32"), tuned(kind)
        )
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if weight.requires_grad:
                weight.normal_(std=1.0 if "prompt" in name else 0.3)
    wrapped.save_pretrained(str(tmp_path / kind))
    asked = chats("Answer in a few words what is asked about the harbour.")
    with LocalModel.open(tiny, dtype="float32", device="cpu") as base:
        plain = base.generate(asked, FREE)
    with LocalModel.open(tiny, adapters=[tmp_path / kind], dtype="float32", device="cpu") as model:
        made = model.generate(asked, FREE)
        equal(model, asked, made)
        single = [model.generate([chat], FREE)[0] for chat in asked]
    assert [one.text for one in single] == [one.text for one in made]
    assert [one.text for one in made] != [one.text for one in plain]


SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
KINDS: list[tuple[str, dict[str, Any], bool]] = [
    ("llama", {}, True),
    ("qwen2", {}, True),
    ("qwen3", {}, True),
    ("mistral", {"sliding_window": 400}, True),
    ("mistral", {"sliding_window": 60}, False),
    (
        "gemma3_text",
        {"sliding_window": 400, "query_pre_attn_scalar": 8, "tie_word_embeddings": False},
        True,
    ),
    (
        "gemma3_text",
        {"sliding_window": 60, "query_pre_attn_scalar": 8, "tie_word_embeddings": False},
        False,
    ),
    ("gemma2", {"query_pre_attn_scalar": 8, "tie_word_embeddings": False}, False),
    ("phi3", {}, True),
    ("olmo2", {}, True),
    ("granite", {}, True),
    ("gpt_neox", {}, True),
    ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}, True),
    ("mamba", {"state_size": 4}, False),
]


@pytest.mark.parametrize(("kind", "sizes", "shares"), KINDS)
def test_models_of_other_kinds_write_the_same_text_in_batches(
    model: LocalModel, kind: str, sizes: dict[str, Any], shares: bool
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    untyped: Any = AutoConfig
    config = untyped.for_model(kind, vocab_size=len(model.tokenizer), **{**SIZES, **sizes})
    causal: Any = AutoModelForCausalLM
    made_model = causal.from_config(config).eval()
    with torch.no_grad():
        for weight in made_model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
    other = LocalModel(made_model, model.tokenizer, device="cpu", dtype="float32")
    window = window_of(made_model)
    asked = chats("Answer in a few words what is asked about the harbour.")
    longest = max(len(other.encode_chat(chat)) for chat in asked) + 12
    assert (window is None or longest <= window) == shares
    before = made_model.config._attn_implementation
    made = other.generate(asked, FREE)
    assert made_model.config._attn_implementation == before
    equal(other, asked, made)
    assert any(one.tokens_reused for one in made) == shares
