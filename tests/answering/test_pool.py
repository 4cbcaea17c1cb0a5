"""The pool: one base in memory whose adapters come and go, each opening booked once; weights that
bring a tokenizer of their own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.answering.pool import Pool
from wattune.answering.session import Session
from wattune.errors import CannotRun, ModelError
from wattune.measure.record import Bill
from wattune.models import adapters
from wattune.models.local import LocalModel
from wattune.models.quiet import quiet_peft
from wattune.runner import Runner
from wattune.stages import StageManifest, StageRef, StageStore
from wattune.system import Decoding, LocalSystem

CHAT: list[Any] = [{"role": "user", "content": "Where does the boat to Elm leave?"}]


def stage(store: StageStore, key: str, source: Path) -> StageRef:
    """A finished stage that holds the files of a folder."""
    with store.building(key) as partial:
        assert partial is not None
        shutil.copytree(source, partial, dirs_exist_ok=True)
        store.finish(partial, StageManifest(key=key, strategy="lora", inputs={}, bill=Bill()))
    return StageRef(key=key)


def adapter(model: Path, folder: Path, seed: int, config: Any = None) -> Path:
    """A random adapter of a model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = config or LoraConfig(r=4, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(seed)
    with quiet_peft():
        wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    with torch.no_grad():
        for weight in wrapped.parameters():
            if weight.requires_grad:
                weight.normal_(std=0.5)
    wrapped.save_pretrained(str(folder))
    return folder


@pytest.fixture
def tuned(
    runner: Runner, base: LocalSystem, chat_model: Path, tmp_path: Path
) -> dict[str, LocalSystem]:
    """The base, and two Systems with an adapter each."""
    systems = {"base": base}
    for seed, name in enumerate(("one", "two")):
        ref = stage(runner.stages, name, adapter(chat_model, tmp_path / name, seed))
        systems[name] = base.model_copy(update={"adapters": (ref,)})
    return systems


def written(pool: Pool, system: LocalSystem) -> str:
    (reply,) = pool.model(system).generate([CHAT], Decoding(max_tokens=12, stop=()))
    return reply.text


def test_adapters_switch_on_one_base_in_memory(
    runner: Runner, tuned: dict[str, LocalSystem], chat_model: Path
) -> None:
    pool = runner.pool
    order = ("base", "one", "two", "one", "base")
    models = [pool.model(tuned[name]) for name in order]
    assert len({id(model) for model in models}) == 1
    texts = {name: written(pool, tuned[name]) for name in order}
    assert len(set(texts.values())) == 3
    for name, system in tuned.items():
        folders = [runner.stages.folder(ref) for ref in system.adapters]
        with LocalModel.open(chat_model, adapters=folders) as alone:
            (reply,) = alone.generate([CHAT], Decoding(max_tokens=12, stop=()))
        assert texts[name] == reply.text


def test_a_bill_is_the_load_of_the_base_and_the_switch(
    runner: Runner, tuned: dict[str, LocalSystem]
) -> None:
    pool = runner.pool
    for name in ("one", "two", "base"):
        pool.model(tuned[name])
    bills = {name: pool.loads_of(system) for name, system in tuned.items()}
    assert {name: len(bill) for name, bill in bills.items()} == {"base": 1, "one": 2, "two": 2}
    opened = bills["base"][0]
    assert all(bill[0] is opened for bill in bills.values())
    assert bills["one"][1] is not bills["two"][1]
    # What took the adapters off was spent, and belongs to no bill.
    assert len(pool.loads) == 4
    pool.model(tuned["base"])
    pool.model(tuned["base"])
    assert len(pool.loads) == 4
    assert pool.loads_of(tuned["one"]) == bills["one"]


def test_merged_adapters_share_an_account(runner: Runner, tuned: dict[str, LocalSystem]) -> None:
    pool = runner.pool
    for name in ("one", "two"):
        mark = pool.mark()
        written(pool, tuned[name])
        done = pool.work_since(mark)
        assert done.tokens_out == 12
        assert done.flops
    assert len(pool.accounts) == 1


def test_without_room_for_copies_the_base_is_opened_anew(
    runner: Runner, tuned: dict[str, LocalSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = runner.pool
    texts = {name: written(pool, system) for name, system in tuned.items()}
    monkeypatch.setattr(adapters, "available_memory_bytes", lambda: 0)
    pool.drop_model()
    first = pool.model(tuned["one"])
    assert pool.model(tuned["one"]) is first
    assert {name: written(pool, system) for name, system in tuned.items()} == texts
    assert pool.model(tuned["two"]) is not first


def test_a_damaged_adapter_leaves_the_pool_usable(
    runner: Runner, tuned: dict[str, LocalSystem]
) -> None:
    pool = runner.pool
    before = written(pool, tuned["one"])
    (ref,) = tuned["two"].adapters
    weights = runner.stages.folder(ref) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-16])
    with pytest.raises(ModelError, match="the adapter does not fit the model"):
        pool.model(tuned["two"])
    assert written(pool, tuned["one"]) == before


def test_a_learnt_prompt_comes_and_goes(
    runner: Runner, tuned: dict[str, LocalSystem], chat_model: Path, tmp_path: Path
) -> None:
    from peft import PromptTuningConfig

    config = PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    ref = stage(runner.stages, "learnt", adapter(chat_model, tmp_path / "learnt", 5, config))
    learnt = tuned["base"].model_copy(update={"adapters": (ref,)})
    first = tuned["one"].model_copy(update={"adapters": (ref, *tuned["one"].adapters)})
    pool = runner.pool
    texts = [written(pool, system) for system in (tuned["base"], learnt, tuned["one"])]
    assert len(set(texts)) == 3
    again = [written(pool, system) for system in (learnt, tuned["base"], tuned["one"])]
    assert again == [texts[1], texts[0], texts[2]]
    with pytest.raises(CannotRun, match=r"learnt cannot be merged .* put it last"):
        pool.model(first)


@pytest.fixture
def scratch(runner: Runner, base: LocalSystem, chat_model: Path, tmp_path: Path) -> LocalSystem:
    """A System with weights, a window and a tokenizer of their own: one token a character."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path / "scratch"
    letters = sorted({chr(code) for code in range(32, 127)} | {"\n"})
    vocabulary = {token: n for n, token in enumerate(["<unk>", "<end>", *letters])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, unk_token="<unk>", eos_token="<end>", pad_token="<end>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=96,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return base.model_copy(update={"weights": stage(runner.stages, "scratch", folder)})


def test_weights_that_bring_a_tokenizer_are_read_with_it(
    runner: Runner, base: LocalSystem, scratch: LocalSystem
) -> None:
    own, of_base = Session(scratch, runner.pool), Session(base, runner.pool)
    assert own.count_tokens(["the boat"]) == [8]
    assert of_base.count_tokens(["the boat"]) != [8]
    assert (own.context_window, of_base.context_window) == (96, 4096)
    assert len(own.encode(CHAT)) == len(CHAT[0]["content"]) + 1
    model = runner.pool.model(scratch)
    assert isinstance(model, LocalModel)
    assert (model.context_window, len(model.tokenizer)) == (96, len(own.tokenizer))
    (answer,) = own.uncached().generate([CHAT])
    assert answer.tokens_in == len(own.encode(CHAT))
    trained, _ = own.training_model(trains_base=True)
    assert trained.get_input_embeddings().weight.shape[0] == len(own.tokenizer)


def test_weights_without_a_tokenizer_are_read_with_the_models(
    runner: Runner, base: LocalSystem, chat_model: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copyfile(chat_model / name, bare / name)
    system = base.model_copy(update={"weights": stage(runner.stages, "bare", bare)})
    assert written(runner.pool, system) == written(runner.pool, base)
