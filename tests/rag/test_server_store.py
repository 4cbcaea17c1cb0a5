"""A LangChain store behind a server of its own process: filled, asked, changed, shared, lost.

Runs where Chroma is installed: pip install chromadb langchain-chroma
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune import LangChainRAG
from wattune.answering.pool import Pool
from wattune.answering.session import Session
from wattune.errors import ModelError
from wattune.job import Job
from wattune.measure.meter import Meter
from wattune.stages import StageStore
from wattune.tasks.task import Document, Example

PACKAGES = ("chromadb", "langchain_chroma")
WHY = "needs a Chroma server: pip install chromadb langchain-chroma"
STARTS_WITHIN_S = 60.0
CODE = '''
import os
import zlib

import chromadb
from chromadb.config import Settings
from langchain_chroma import Chroma
from langchain_core.embeddings import Embeddings


class Words(Embeddings):
    """How often each word stands in a text."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        vector = [0.001] * 128
        for word in text.lower().replace(".", " ").replace("?", " ").split():
            vector[zlib.crc32(word.encode()) % 128] += 1
        return vector


def make():
    client = chromadb.HttpClient(
        host="127.0.0.1",
        port=int(os.environ["PORT_OF_CHROMA"]),
        settings=Settings(anonymized_telemetry=False),
    )
    return Chroma(
        collection_name="handbook",
        embedding_function=Words(),
        client=client,
        collection_configuration={"hnsw": {"space": "cosine"}},
    )
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A Chroma server on a free port of this machine, which the environment tells the factory."""
    for package in PACKAGES:
        pytest.importorskip(package, reason=WHY)
    folder = tmp_path_factory.mktemp("chroma")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = "import sys; from chromadb.cli.cli import app; sys.argv[0] = 'chroma'; app()"
    where = ["--path", str(folder / "data"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", start, "run", *where], stdout=log, stderr=log
        )
    until = time.monotonic() + STARTS_WITHIN_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"no Chroma server: {(folder / 'log.txt').read_text()}")
        time.sleep(0.2)
    os.environ["PORT_OF_CHROMA"] = str(port)
    yield process
    del os.environ["PORT_OF_CHROMA"]
    process.kill()
    process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/heartbeat", timeout=1) as got:
            return bool(got.status == 200)
    except OSError:
        return False


@pytest.fixture
def step(server: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LangChainRAG:
    """The step, with the server filled by it."""
    (tmp_path / "chroma_of_mine.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "chroma_of_mine", raising=False)
    return LangChainRAG(
        factory="chroma_of_mine:make@this_machine",
        k=2,
        fill=True,
        chunk_tokens=40,
        overlap_tokens=4,
    )


def held() -> int:
    """How many texts the server holds."""
    import importlib

    store = importlib.import_module("chroma_of_mine").make()
    return len(store.get(include=[])["ids"])


def prepared(runner: Any, task: Any, base: Any, step: LangChainRAG) -> tuple[Session, Any]:
    job = Job(name="it", strategies=(step,), task=task, system=base)
    system, (bill,) = runner.builder.prepare(job)
    return Session(system, runner.pool), bill


def found(session: Session, question: str) -> list[Any]:
    (rendered,) = session.render([Example(id="", question=question, answers=())])
    return list(rendered.passages)


def changed(task: Any) -> Any:
    """The task after one page was rewritten and one taken out."""
    pages = [page for page in task.documents if page.id != "storms"]
    return replace(
        task,
        documents=tuple(
            Document(id=page.id, text=page.text.replace("tickets", "stamps"), title=page.title)
            for page in pages
        ),
    )


def test_a_server_is_filled_asked_and_brought_up_to_date(
    runner: Any, ferry: Any, base: Any, step: LangChainRAG
) -> None:
    before, bill = prepared(runner, ferry, base, step)
    question = "Who sells tickets and keeps what was lost?"
    first, second = found(before, question)
    assert (first.document, first.id) == ("shore/desk", "shore/desk#1")
    assert 1 >= first.score > second.score
    whole = held()
    assert bill.details["put_into_the_store"] == bill.details["chunks"] == whole
    assert before.answer([question])[0].passages[0].document == "shore/desk"

    with Meter() as meter:  # as another process: the server kept all, so nothing is put in
        again = Session(before.system, Pool(runner.stages, meter))
        assert found(again, question) == [first, second]
    assert held() == whole

    after, refilled = prepared(runner, changed(ferry), base, step)
    assert refilled.details["put_into_the_store"] == 1
    assert held() == whole + 1
    assert "sells stamps" in found(after, "Who sells stamps?")[0].text
    asked = "Above wind force nine no boat sails. The flag at the jetty is then red."
    assert found(before, asked)[0].document == "storms"
    assert "storms" not in {passage.document for passage in found(after, asked)}


def test_two_at_once_put_in_the_same_and_lose_nothing(
    ferry: Any, base: Any, step: LangChainRAG, tmp_path: Path
) -> None:
    from wattune.runner import Runner

    documents = tuple(
        Document(id=f"page-{at}", text=f"Page {at} tells of the pier {at * 7}.")
        for at in range(300)
    )
    task = replace(ferry, documents=documents)
    counted: dict[int, Any] = {}
    before = held()

    def one(number: int) -> None:
        with Meter() as meter:  # with stages of its own, so that both fill
            runner = Runner(meter=meter, stages=StageStore(tmp_path / f"stages-{number}"))
            session, bill = prepared(runner, task, base, step)
            counted[number] = (bill.details["chunks"], found(session, "the pier 703"))
            runner.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted[1] == counted[2]
    assert counted[1][0] == 300
    assert held() == before + 300


def test_a_server_that_is_gone_is_said_in_a_sentence(
    server: subprocess.Popen[bytes], runner: Any, ferry: Any, base: Any, step: LangChainRAG
) -> None:
    session, _ = prepared(runner, ferry, base, step)
    assert found(session, "Who sells tickets?")
    server.kill()
    server.wait()
    with pytest.raises(ModelError, match=r"chroma_of_mine:make. failed when it was asked .*server"):
        found(session, "Who sells tickets?")
    with Meter() as meter:
        gone = Session(session.system, Pool(runner.stages, meter))
        with pytest.raises(ModelError, match="cannot be made: it failed"):
            found(gone, "Who sells tickets?")
