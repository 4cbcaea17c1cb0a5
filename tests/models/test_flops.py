"""What a model's work is worth: equal to torch's counter on the real thing, and to its formula."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from wattune.measure.work import NO_WORK, Tally
from wattune.models.account import Account, skeleton
from wattune.models.batch import Batch
from wattune.models.flops import costs, count_flops, expected_flops
from wattune.models.local import LocalModel
from wattune.models.quiet import quiet_peft
from wattune.models.sentence_embedder import SentenceEmbedder
from wattune.peft.adapters import LoraSettings, add_adapter
from wattune.peft.batches import TokenisedExample
from wattune.peft.trainer import TrainingSettings, train
from wattune.system import Decoding

if TYPE_CHECKING:
    from wattune.prompt import Message

INSTRUCTION = "Answer in a few words what is asked about the harbour and the bridge. " * 2
QUESTIONS = ["What is the name of the bridge?", "north?", "mill 7", "Who keeps the gate? 0 1 2 3"]


def chats(instruction: str = "") -> list[list[Message]]:
    before: list[Message] = [{"role": "system", "content": instruction}] if instruction else []
    return [[*before, {"role": "user", "content": question}] for question in QUESTIONS]


@pytest.fixture
def model(tiny: Path) -> Any:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as opened:
        yield opened


@pytest.mark.parametrize(
    ("instruction", "options"),
    [
        ("", {}),
        ("", {"rows": 3}),
        ("", {"decoding": Decoding(max_tokens=9, stop=("a", "e", "o", "t"))}),
        (INSTRUCTION, {"rows": 2}),
    ],
    ids=["one batch", "two batches", "rows that end early", "shared prefix"],
)
def test_generation_is_worth_what_torch_counts(
    model: LocalModel, instruction: str, options: dict[str, Any]
) -> None:
    def run() -> None:
        asked = {"decoding": Decoding(max_tokens=9, stop=()), **options}
        model.generate(chats(instruction), **asked)

    counted = count_flops(run)
    work = model.account.work()
    assert work.flops == counted > 0
    assert work.flops_method == "counted"
    mark = model.account.tally
    run()
    assert model.account.work(mark) == work  # the same again
    assert model.account.work(model.account.tally) == NO_WORK
    assert (work.tokens_reused > 0) == bool(instruction)


def test_a_wrapped_adapters_own_tokens_are_counted(tiny: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    kind = PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM")
    base = AutoModelForCausalLM.from_pretrained(tiny)
    with quiet_peft():
        get_peft_model(base, kind).save_pretrained(str(tmp_path))
    with LocalModel.open(tiny, adapters=[tmp_path], dtype="float32", device="cpu") as model:
        counted = count_flops(lambda: model.generate(chats(), Decoding(max_tokens=6, stop=())))
        tally = model.account.tally
    assert model.account.work().flops == counted  # and it may be asked once closed
    assert tally.positions >= tally.tokens_in + 5  # read once, for all questions
    assert tally.heads <= tally.passes * len(QUESTIONS)


def test_what_others_read_is_reused(model: LocalModel) -> None:
    made = model.generate(chats(INSTRUCTION), Decoding(max_tokens=3, stop=()))
    assert made[0].tokens_reused == 0  # it paid
    (reused,) = {one.tokens_reused for one in made[1:]}
    assert 16 < reused < min(one.tokens_in for one in made)
    tally = model.account.tally
    assert tally.tokens_reused == reused * (len(QUESTIONS) - 1)
    assert tally.tokens_in == sum(one.tokens_in for one in made)
    assert tally.tokens_out == sum(one.tokens_out for one in made)
    rests = [one.tokens_in - reused for one in made]
    steps = max(one.tokens_out for one in made)
    assert tally.passes == 1 + steps
    assert tally.positions == reused + len(made) * (max(rests) + steps - 1)
    assert tally.heads == 1 + len(made) * steps
    own = [len(made) * (max(rests) + step) for step in range(steps)]
    assert tally.cached == reused + sum(own) + steps * reused  # what is shared is read once a pass


def test_a_batch_that_did_not_fit_is_counted_once(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tallied(write: Any) -> Tally:
        monkeypatch.setattr(Batch, "_write", write)
        mark = model.account.tally
        model.generate(chats(), Decoding(max_tokens=4, stop=()))
        return model.account.tally - mark

    original = Batch._write

    def at_once(self: Batch, rows: Any, *rest: Any) -> None:
        if len(rows) > 2:
            raise torch.OutOfMemoryError("out of memory")
        original(self, rows, *rest)

    def at_the_end(self: Batch, rows: Any, *rest: Any) -> None:
        original(self, rows, *rest)
        if len(rows) > 2:
            raise torch.OutOfMemoryError("out of memory")

    assert tallied(at_once) == tallied(at_the_end)


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("shares", [False, True], ids=["plain", "shared"])
def test_training_is_worth_what_torch_counts(
    model: LocalModel, tmp_path: Path, adapter: bool, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The passes by which it is tried are no training.
    monkeypatch.setattr("wattune.peft.attempt.can_share", lambda model: shares)
    tuned = add_adapter(model.model, LoraSettings(r=4).config(), seed=0) if adapter else model.model
    examples = [
        TokenisedExample(tuple(range(20, 20 + n)), (*range(40, 40 + n // 3), 1)) for n in (6, 9, 30)
    ]
    results = []

    def run() -> None:
        settings = TrainingSettings(
            learning_rate=1e-3, num_train_epochs=2, per_device_train_batch_size=2
        )
        options: dict[str, Any] = {"seed": 0, "bf16": False, "use_cpu": True}
        results.append(
            train(tuned, model.tokenizer, examples, settings, output_dir=tmp_path, **options)
        )

    counted = count_flops(run)
    (result,) = results
    account = Account(tuned, "training", result.tally)
    work = account.work()
    assert work.flops is not None
    if shares:  # of a beginning the last layer gives keys and values only: no more flows back
        assert counted <= work.flops <= 1.02 * counted
    else:
        assert work.flops == counted
    assert work.flops_method == "counted"
    assert work.tokens_in == result.tokens == 2 * sum(one.length for one in examples)
    tally = result.tally
    if shares:
        assert tally.passes > tally.steps == 4  # some batches have a beginning
        return
    assert (tally.passes, tally.steps) == (4, 4)
    assert result.tokens < tally.positions  # padding is computed too
    assert 0 < tally.heads < tally.positions  # the head of answer columns only
    trained = result.trainable_parameters * 4
    weights = sum(weight.nbytes for weight in tuned.parameters())
    assert work.bytes_moved is not None
    least = 4 * (2 * weights + trained) + 4 * 7 * trained
    assert least <= work.bytes_moved < 1.1 * least


def test_embedding_is_worth_what_torch_counts(embedder: str) -> None:
    texts = ["the old mill", "north", "the gate of the harbour by the river"] * 13
    with SentenceEmbedder.open(Path(embedder), device="cpu") as opened:
        counted = count_flops(lambda: opened.encode_documents(texts))
        tally = opened.account.tally
    work = opened.account.work()
    assert work.flops == counted > 0
    assert work.flops_method == "counted"
    assert (tally.passes, tally.heads) == (2, len(texts))
    assert work.tokens_in == 0  # of the language model


@pytest.fixture(scope="module")
def smollm() -> Any:
    """Four of the thirty layers of SmolLM2-135M, without weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=4,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        return LlamaForCausalLM(config)


@pytest.mark.parametrize(
    ("kind", "adapter", "times"),
    [("answering", False, 2), ("training", False, 6), ("training", True, 4)],
    ids=["generation", "full", "lora"],
)
def test_what_is_counted_is_what_is_expected(
    smollm: Any, kind: Any, adapter: bool, times: int
) -> None:
    head = 49152 * 576
    body = sum(weight.numel() for weight in smollm.parameters()) - head
    model = skeleton(smollm)
    if adapter:
        model = add_adapter(model, LoraSettings(r=16).config(), seed=0)
    found = costs(model, kind)
    assert found.method == "counted"
    counted = (found.flops_per_position, found.flops_per_pair, found.flops_per_head)
    # A first layer's input needs no gradient where the embedding is frozen.
    assert counted == pytest.approx(expected_flops(model, kind), rel=0.03)
    # An adapter adds its own weights to the four of each frozen one.
    assert found.flops_per_position == pytest.approx(times * body, rel=0.08 if adapter else 0.01)
    assert found.flops_per_head == times * head
    assert found.flops_per_pair == 4 * 4 * 576 * (3 if kind == "training" else 1)


def test_bytes_are_of_weights_read_and_of_the_cache(model: LocalModel) -> None:
    found = costs(skeleton(model.model), "answering")
    assert found.bytes_per_pass == 4 * model.model.num_parameters()  # the table is the head
    assert found.bytes_per_position == 4 * 32
    assert found.bytes_per_cached == 4 * 2 * 2 * 2 * 8  # keys and values, layers, heads, width
    half = costs(skeleton(model.model.to(torch.bfloat16)), "answering")
    assert half.bytes_per_pass == 2 * model.model.num_parameters()
    assert half.flops_per_position == found.flops_per_position


def test_an_embedding_table_apart_from_the_head_is_not_read_whole() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=500,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    found = costs(model, "answering")
    assert found.bytes_per_pass == 4 * (model.num_parameters() - 500 * 32)
    assert found.flops_per_head == 2 * 500 * 32


def test_a_skeleton_holds_no_numbers_and_stays_tied(model: LocalModel) -> None:
    add_adapter(model.model, LoraSettings(r=2).config(), seed=0)
    bones = skeleton(model.model)
    assert {weight.device.type for weight in bones.parameters()} == {"meta"}
    assert {buffer.device.type for buffer in bones.buffers()} <= {"meta"}
    assert bones.lm_head.weight is bones.model.embed_tokens.weight
    asked = [weight.requires_grad for weight in model.model.parameters()]
    assert [weight.requires_grad for weight in bones.parameters()] == asked
    assert True in asked
    assert False in asked
    assert all(weight.device.type == "cpu" for weight in model.model.parameters())


def test_layers_that_look_back_less_far_get_the_expected_figure() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=64,
    )
    with torch.device("meta"):
        model = MistralForCausalLM(config)
    found = costs(model, "answering")
    assert found.method == "expected"
    assert found.flops_per_pair == 4 * 2 * 32
    assert found.flops_per_head == 2 * 100 * 32


def test_experts_are_not_guessed_at() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
    )
    with torch.device("meta"):
        model = MixtralForCausalLM(config)
    work = costs(model, "answering").work(Tally.of_pass(1, 5, heads=1, cached=True))
    assert work.flops is None
    assert work.flops_method == ""
