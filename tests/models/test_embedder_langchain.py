"""Any LangChain `Embeddings` as an embedder, by the name of a factory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wattune.errors import ModelError
from wattune.measure.record import Phase
from wattune.measure.work import NO_WORK, Tally
from wattune.models.embedder import Embedder, open_embedder
from wattune.models.fetch import resolve
from wattune.models.served import Served

CODE = """
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings


class Odd(Embeddings):
    def __init__(self, vector):
        self.vector = vector

    def embed_documents(self, texts):
        return [self.vector] * len(texts)

    def embed_query(self, text):
        raise ConnectionError("the key is sk-secret")


def fake():
    return DeterministicFakeEmbedding(size=12)

def short():
    return Odd([])

def nan():
    return Odd([float("nan"), 1.0])

def flat():
    return Odd(1.0)

def none():
    return 7

def fails():
    raise ValueError("sk-secret")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module of the user's; another one for each test, for imports stay."""
    name = f"embeddings_of_{request.node.name.partition('[')[0]}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def opened(name: str) -> Embedder:
    return open_embedder(resolve(f"langchain:{name}", kind="embedder"))


def test_vectors_have_length_one_and_keep_the_order(module: str) -> None:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    texts = ["north", "the old mill", "x", "north"]
    done: list[int] = []
    with opened(f"{module}:fake") as embedder:
        vectors = embedder.encode_documents(texts, progress=done.append)
        assert np.array_equal(vectors, embedder.encode_queries(texts))
        assert (embedder.dimensions, embedder.max_tokens) == (12, None)
    expected = np.array(DeterministicFakeEmbedding(size=12).embed_documents(texts))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected, atol=1e-6)
    assert done == [4]
    with pytest.raises(RuntimeError, match="closed"):
        embedder.encode_documents(texts)


def test_tokens_are_estimated_and_dimensions_are_asked_for_once(module: str) -> None:
    with opened(f"{module}:fake") as embedder:
        assert embedder.count_tokens("four") == 1
        assert embedder.count_tokens("") == 1
        assert embedder.count_tokens("north east") == 3
        assert embedder.count_tokens("北東" * 6) == 9
        assert embedder.encode_documents([]).shape == (0, 12)
        assert embedder.dimensions == 12
        assert isinstance(embedder.account, Served)
        assert embedder.account.counts["requests"] == 1


def test_energy_is_not_known_unless_it_runs_here(module: str) -> None:
    phase = Phase(duration_s=1.0, energy_j=5.0)
    for name, managed in ((f"{module}:fake", True), (f"{module}:fake@this_machine", False)):
        with opened(name) as embedder:
            account = embedder.account
            assert isinstance(account, Served)
            assert account.billed(phase, account.tally) == phase
            assert account.work() == NO_WORK
            embedder.encode_documents(["north"])
            billed = account.billed(phase, Tally())
            assert account.managed is managed
            assert (account.work().flops, account.work().tokens_in) == (None, 0)
        failed = [part for part in billed.components.values() if part.provenance == "failed"]
        assert len(failed) == managed
        assert billed.energy_j == 5.0


def test_its_revision_is_of_the_name_and_the_file(module: str, tmp_path: Path) -> None:
    def revision(factory: str) -> str:
        return resolve(f"langchain:{module}:{factory}", kind="embedder").revision

    first = revision("fake")
    assert revision("fake@this_machine") == first
    assert revision("nan") != first
    path = tmp_path / f"{module}.py"
    path.write_text(path.read_text().replace("size=12", "size=16"))
    assert revision("fake") != first


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (":none", "made an object of type int; a LangChain embedder"),
        (":fails", r"cannot be made: it failed \(ValueError\)"),
        (":missing", "cannot be imported"),
        ("", "is no dotted name"),
        (":fake; import os", "is no dotted name"),
        (".x:fake", "there is no module"),
    ],
)
def test_what_cannot_be_made_is_a_sentence_without_keys(
    module: str, factory: str, told: str
) -> None:
    with pytest.raises(ModelError, match=told) as error:
        opened(f"{module}{factory}")
    assert "sk-secret" not in str(error.value)


@pytest.mark.parametrize("factory", ["short", "nan", "flat"])
def test_what_is_no_vector_is_refused(module: str, factory: str) -> None:
    with (
        opened(f"{module}:{factory}") as embedder,
        pytest.raises(ModelError, match=r"gave an array of shape .* finite numbers are expected"),
    ):
        embedder.encode_documents(["north", "south"])


def test_a_failed_request_is_a_sentence_without_keys(module: str) -> None:
    with (
        opened(f"{module}:nan") as embedder,
        pytest.raises(ModelError, match=r"failed \(ConnectionError\)") as error,
    ):
        embedder.encode_queries(["north"])
    assert "sk-secret" not in str(error.value)


def test_it_is_no_language_model(module: str) -> None:
    with pytest.raises(ModelError):
        resolve(f"langchain:{module}:fake", kind="causal_lm")
