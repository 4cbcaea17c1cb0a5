"""What all tests share: a cache of their own, tiny models made here, a small task, the CLI."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

CORPUS = [
    "The harbour of Norden lies on the river. Its master keeps the gate.",
    "What is the name of the bridge? The bridge is named after the mill.",
    "system user assistant 0 1 2 3 4 5 6 7 8 9 north south east west",
    "You answer the question with a few words.\n\nAnswer: the old mill.",
]
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
PORTS = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel")
PAGES = {
    "jetties": "# Jetties\n\n"
    + " ".join(f"The boat to {port} leaves from jetty {n}." for n, port in enumerate(PORTS, 1)),
    "fares": "# Fares\n\nA single fare is four crowns. A child pays half, a dog pays nothing.",
    "crews": "# Crews\n\nThe Night Crew sails after ten. The Day Crew sails from six to ten.",
    "shore/desk": "# Ticket Desk\n\nThe Ticket Desk sells tickets and keeps what was lost.",
    "shore/shop": "# Workshop\n\nThe Workshop mends engines in winter and paints in spring.",
    "storms": "# Storms\n\nAbove wind force nine no boat sails. The flag at the jetty is then red.",
}
HIERARCHY = """\
name: Skerry Lines
level: company
children:
  - name: Deck Division
    level: division
    roles: [{role: head, person: Ada Lund}]
    children:
      - {name: Night Crew, level: crew, roles: [{role: mate, person: Per Holm}]}
      - {name: Day Crew, level: crew}
  - name: Shore Division
    level: division
    children:
      - {name: Ticket Desk, level: desk, aliases: [the desk]}
      - {name: Workshop, level: shop}
  - {name: Kitchen Division, level: division}
"""


def save_tokenizer(folder: Path, template: str | None = TEMPLATE) -> int:
    """Train a byte-level BPE tokenizer into `folder`; the number of its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|end|>"
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_llama(folder: Path, *, window: int = 256) -> Path:
    """A random two-layer Llama with its tokenizer, saved in `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary = save_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        initializer_range=0.4,  # wide, so that greedy text depends on the prompt
        eos_token_id=1,
        pad_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_embedder(base: Path, folder: Path) -> Path:
    """A random one-layer BERT with mean pooling, as a sentence-transformers model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    made.train_from_iterator(PAGES.values(), trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    tokenizer.save_pretrained(base)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(base)
    words = Transformer(str(base), max_seq_length=64)
    pooling = Pooling(words.get_embedding_dimension())
    SentenceTransformer(modules=[words, pooling]).save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny chat model with a window of 256 tokens."""
    return save_llama(tmp_path_factory.mktemp("tiny") / "tiny-llama")


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny chat model whose window holds passages and shots."""
    return save_llama(tmp_path_factory.mktemp("chat") / "tiny-chat", window=4096)


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny embedder, as a recipe names it."""
    made = tmp_path_factory.mktemp("embedder")
    return str(save_embedder(made / "base", made / "tiny-bert"))


@pytest.fixture(autouse=True)
def _frozen() -> None:
    """Each run collects garbage several times; what is imported by now need not be looked at."""
    gc.freeze()


@pytest.fixture(autouse=True)
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; tests of the real model use the usual one, which holds it."""
    from wattune.files import cache_folder

    if request.node.get_closest_marker("real_model"):
        return cache_folder()
    folder = tmp_path / "cache"
    monkeypatch.setenv("WATTUNE_CACHE", str(folder))
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _asked(split: str, wording: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{split}-{wording.split()[0].lower()}-{port.lower()}",
            "question": wording.format(port),
            "answers": [f"jetty {number}"],
            "kind": "fact",
            "evidence": ["jetties"],
        }
        for number, port in enumerate(PORTS[:count], 1)
    ]


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    """A task of 24 training, 8 validation and 12 test questions, 6 pages and 8 entities."""
    folder = tmp_path / "ferry"
    (folder / "documents" / "shore").mkdir(parents=True)
    for name, text in PAGES.items():
        (folder / "documents" / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (folder / "hierarchy.yaml").write_text(HIERARCHY, encoding="utf-8")
    (folder / "task.yaml").write_text(
        "name: ferry\nversion: '1'\ntrain: train.jsonl\nvalidation: validation.jsonl\n"
        "test: test.jsonl\ndocuments: documents\nhierarchy: hierarchy.yaml\n"
        "refusal: The handbook does not say.\n",
        encoding="utf-8",
    )
    people = [
        ("head", "Who heads the Deck Division?", "Ada Lund"),
        ("mate", "Who is mate of the Night Crew?", "Per Holm"),
        ("over", "What is the Workshop a part of?", "Shore Division"),
    ]
    tree = [
        {"id": f"test-{name}", "question": asked, "answers": [answer], "kind": "hierarchy"}
        for name, asked, answer in people
    ]
    silent = {"id": "test-moon", "question": "Who sails to the moon?", "kind": "unanswerable"}
    train = [
        *_asked("train", "Where does the boat to {} leave?", 8),
        *_asked("train", "From which jetty can one sail to {}?", 8),
        *[dict(row, kind="form") for row in _asked("train", "Name the jetty for {}.", 8)],
    ]
    write_rows(folder / "train.jsonl", train)
    write_rows(folder / "validation.jsonl", _asked("val", "Which jetty serves {}?", 8))
    asked = _asked("test", "At which jetty do I board for {}?", 8)
    write_rows(folder / "test.jsonl", [*asked, *tree, silent])
    return folder


@pytest.fixture
def ferry(task_folder: Path) -> Any:
    """The small task, loaded."""
    from wattune import load_task

    return load_task(task_folder)


@pytest.fixture
def base(chat_model: Path, ferry: Any) -> Any:
    """The tiny model as a System that answers with four tokens."""
    from wattune import load_system
    from wattune.system import Decoding

    return load_system(str(chat_model), refusal=ferry.refusal, decoding=Decoding(max_tokens=4))


@pytest.fixture
def runner(cache: Path) -> Iterator[Any]:
    """A Runner that keeps no records; its stages lie in the test's cache."""
    from wattune.measure.meter import Meter
    from wattune.runner import Runner

    with Meter(place="FRA") as meter:
        made = Runner(meter=meter)
        yield made
        made.close()


class Ran(NamedTuple):
    """What a command of the CLI did."""

    code: int
    out: str
    err: str


@pytest.fixture
def wattune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run a command line in this process, inside tmp_path, through the real entry point."""
    from wattune.cli.app import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["wattune", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def recipe(tmp_path: Path, task_folder: Path, chat_model: Path) -> Path:
    """A recipe of two quick runs on the small task; tests change its text."""
    path = tmp_path / "duo.yaml"
    path.write_text(
        f"task: {task_folder.name}\nmodel: {chat_model}\nplace: FRA\nrealtime_questions: 1\n"
        "baseline_s: 0\ndecoding: {max_tokens: 4}\n"
        "runs:\n  zero-shot: []\n  few-shot: [{prompt: {shots: 2}}]\n",
        encoding="utf-8",
    )
    return path
