"""Static embedders: made from a tiny one, read as model2vec reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattune.errors import InputError, ModelError
from wattune.models.distillation import distilled
from wattune.models.embedder import open_embedder
from wattune.models.fetch import resolve
from wattune.models.sentence_embedder import SentenceEmbedder
from wattune.models.static_embedder import StaticEmbedder

TEXTS = ["The boat to Elm leaves", "a dog pays nothing", "The desk \u2603 keeps it", "The"]


@pytest.fixture(scope="module")
def folder(embedder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny embedder of all tests, distilled to 8 dimensions."""
    with SentenceEmbedder.open(Path(embedder), device="cpu") as opened:
        made = distilled(opened, tmp_path_factory.mktemp("static") / "tiny", dimensions=8)
        assert opened.account.tally.positions == 3 * opened.account.tally.heads  # [CLS] a [SEP]
    return made


@pytest.fixture
def static(folder: Path) -> Any:
    with open_embedder(resolve(str(folder), kind="embedder")) as opened:
        assert isinstance(opened, StaticEmbedder)
        yield opened


def test_its_vectors_are_those_of_model2vec(static: StaticEmbedder, folder: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    expected = model2vec.StaticModel.from_pretrained(folder).encode(TEXTS)
    vectors = static.encode_documents(TEXTS)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected, atol=1e-6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors, static.encode_queries(TEXTS))


def test_a_text_is_the_mean_of_its_tokens_without_unknown_ones(static: StaticEmbedder) -> None:
    boat, dog, both = static.encode_documents(["boat", "dog", "dog boat dog boat"])
    rows = {
        word: static._embedding.weight[static._tokenizer.encode(word, add_special_tokens=False).ids]
        for word in ("boat", "dog")
    }
    mean = (rows["boat"].sum(0) + rows["dog"].sum(0)).detach().numpy()
    assert np.allclose(both, mean / np.linalg.norm(mean), atol=1e-5)
    assert not np.allclose(boat, dog, atol=1e-2)
    assert np.allclose(static.encode_documents(["boat \u2603"])[0], boat, atol=1e-6)
    assert not static.encode_documents(["", "\u2603"]).any()
    assert static.encode_documents([]).shape == (0, 8)


def test_what_is_counted_are_rows_read_and_added(static: StaticEmbedder) -> None:
    assert (static.dimensions, static.max_tokens) == (8, None)
    tokens = sum(map(static.count_tokens, TEXTS)) - 1  # the snowman is not looked up
    static.encode_documents(TEXTS)
    work = static.account.work()
    assert work.flops == tokens * 8
    assert work.bytes_moved == tokens * 8 * 4
    assert work.tokens_in == 0


def test_half_precision_and_a_reduced_vocabulary_are_read(
    static: StaticEmbedder, folder: Path, tmp_path: Path
) -> None:
    """As model2vec stores them: rows by a mapping, each with a weight."""
    from safetensors.numpy import load_file, save_file

    table = load_file(folder / "model.safetensors")["embeddings"]
    other = tmp_path / "half"
    other.mkdir()
    for name in ("tokenizer.json", "config.json"):
        (other / name).write_bytes((folder / name).read_bytes())
    lengths = np.linalg.norm(table, axis=1).astype(np.float32) + 1e-6
    save_file(
        {
            "embeddings": (table / lengths[:, None])[::-1].astype(np.float16).copy(),
            "mapping": np.arange(len(table))[::-1].astype(np.int64).copy(),
            "weights": lengths,
        },
        other / "model.safetensors",
    )
    with open_embedder(resolve(str(other), kind="embedder")) as opened:
        near = opened.encode_documents(TEXTS)
    assert near.dtype == np.float32
    assert np.allclose(near, static.encode_documents(TEXTS), atol=5e-3)


def test_a_cut_in_its_tokenizer_is_its_limit(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "cut"
    other.mkdir()
    for name in ("model.safetensors", "config.json"):
        (other / name).write_bytes((folder / name).read_bytes())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with open_embedder(resolve(str(other), kind="embedder")) as opened:
        assert opened.max_tokens == 3
        assert opened.count_tokens("boat " * 9) >= 9
        cut, whole = opened.encode_documents(["The boat to Elm", "The boat to"])
    assert opened.max_tokens == 3
    assert np.allclose(cut, whole, atol=1e-6)


def test_bad_folders_and_dimensions_are_sentences(
    folder: Path, embedder: str, tmp_path: Path
) -> None:
    other = tmp_path / "broken"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ModelError, match="broken: the embedder cannot be opened"):
        StaticEmbedder.open(other)
    with SentenceEmbedder.open(Path(embedder), device="cpu") as opened:
        with pytest.raises(InputError, match="dimensions is 17; 1 to 16 can be kept"):
            distilled(opened, tmp_path / "none", dimensions=17)
        assert not (tmp_path / "none").exists()


def test_a_closed_one_cannot_be_used(folder: Path) -> None:
    static = StaticEmbedder.open(folder)
    static.close()
    static.close()
    with pytest.raises(RuntimeError, match="closed"):
        static.encode_queries(["boat"])


def test_the_command_line_makes_one(wattune: Any, embedder: str, tmp_path: Path) -> None:
    ran = wattune("models", "distil", embedder, tmp_path / "made", "--dimensions", "4")
    assert (ran.code, ran.err) == (0, "")
    assert "4 dimensions" in ran.out
    with open_embedder(resolve(str(tmp_path / "made"), kind="embedder")) as opened:
        assert opened.encode_documents(["boat"]).shape == (1, 4)
