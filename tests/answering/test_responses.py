"""The cache of replies: what is a hit, what is not, and what others may do to it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

import wattune as wt
from wattune.answering.first_costs import Recalled
from wattune.answering.recall import reply_keys
from wattune.answering.responses import ResponseCache, shares
from wattune.answering.session import Session
from wattune.endpoint_ref import EndpointRef
from wattune.errors import StorageError
from wattune.job import Job
from wattune.measure.record import Bill, Phase
from wattune.measure.store import load_answers
from wattune.measure.work import Work
from wattune.models.generation import Reply
from wattune.models.local import LocalModel
from wattune.prompt import Message
from wattune.runner import Runner
from wattune.stages import StageRef
from wattune.strategies import Context, Strategy
from wattune.strategies.base import Part
from wattune.system import Decoding, EndpointSystem, LocalSystem

FORK = multiprocessing.get_context("fork")
PHASE = Phase(duration_s=8.0, energy_j=80.0)


def chat(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def settled(cache: ResponseCache, key: str, reply: Reply) -> None:
    """One reply, made and paid for by itself."""
    batch = cache.begin()
    cache.keep(key, reply, batch)
    cache.settle(batch, {key: reply}, PHASE, lambda: Work(flops=6.0, flops_method="counted"))


@pytest.fixture
def responses(tmp_path: Path) -> Iterator[ResponseCache]:
    made = ResponseCache(tmp_path / "here" / "responses.sqlite")
    yield made
    made.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The last message of every chat that a model of this machine is asked."""
    seen: list[str] = []
    generate = LocalModel.generate

    def watched(self: LocalModel, messages: Any, *args: Any, **options: Any) -> Any:
        seen.extend(chat[-1]["content"] for chat in messages)
        return generate(self, messages, *args, **options)

    monkeypatch.setattr(LocalModel, "generate", watched)
    return seen


@pytest.fixture
def session(base: LocalSystem, runner: Runner, responses: ResponseCache) -> Session:
    """The tiny model with a cache, in memory."""
    runner.pool.responses = responses
    made = Session(base, runner.pool)
    made.load()
    return made


def test_only_what_is_missing_is_asked_and_all_comes_in_order(
    session: Session, responses: ResponseCache, asked: list[str]
) -> None:
    texts = ["Who?", "Where?", "When?"]
    plain = session.uncached().generate([chat(text) for text in texts])
    assert responses.count() == 0
    del asked[:]
    first = session.generate([chat("Where?")])
    told: dict[int, str] = {}
    chats = [chat(text) for text in (*texts, "Who?")]
    second = session.generate(chats, lambda number, reply: told.update({number: reply.text}))
    assert asked == ["Where?", "Who?", "When?"]
    assert [reply.text for reply in second] == [reply.text for reply in (*plain, plain[0])]
    assert second[1] == Reply(**{**first[0].plain(), "first_token_s": None})
    assert told == {number: reply.text for number, reply in enumerate(second)}
    assert [reply.text for reply in session.generate(chats)] == [reply.text for reply in second]
    assert len(asked) == 3
    assert responses.count() == 3


def test_what_changes_a_reply_is_in_its_key_and_nothing_else(base: LocalSystem) -> None:
    def key(system: Any, text: str = "Who?", seed: int = 0) -> str:
        return reply_keys(system, [chat(text)], seed)[0]

    def decoded(**changes: Any) -> Any:
        plain = {**base.decoding.plain(), **changes}
        return base.model_copy(update={"decoding": Decoding(**plain)})

    adapted = base.model_copy(update={"adapters": (StageRef(key="a"),)})
    tuned = base.model_copy(update={"weights": StageRef(key="w")})
    ref = EndpointRef(endpoint="https://x/v1", model="m", concurrency=2)
    served = EndpointSystem(endpoint=ref, refusal="no")
    warm = decoded(temperature=0.7)
    different = [
        key(base), key(base, "Where?"), key(adapted), key(tuned), key(decoded(max_tokens=5)),
        key(decoded(stop=(".",))), key(decoded(choices=("a", "b"))), key(served), key(warm),
        key(warm, seed=1),
        key(served.model_copy(update={"endpoint": ref.model_copy(update={"model": "n"})})),
        key(served.model_copy(update={"endpoint": ref.model_copy(update={"extra": {"a": 1}})})),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert key(base, seed=1) == key(base)  # greedy: no seed decides
    assert key(decoded(context_tokens=64)) == key(base)
    assert key(decoded(temperature=0.7, samples=3)) == key(warm)
    other = ref.model_copy(update={"concurrency": 8, "key_env": "KEY", "timeout_s": 9.0})
    assert key(served.model_copy(update={"endpoint": other})) == key(served)
    samples = reply_keys(warm, [chat("Who?")] * 3, 0)
    assert len(set(samples)) == 3
    assert len(set(reply_keys(base, [chat("Who?")] * 3, 0))) == 1


def test_samples_are_all_known_or_all_asked_for(
    base: LocalSystem, runner: Runner, responses: ResponseCache, asked: list[str]
) -> None:
    warm = base.model_copy(update={"decoding": Decoding(max_tokens=6, temperature=2.0)})
    runner.pool.responses = responses
    session = Session(warm, runner.pool)
    session.load()
    del asked[:]
    one = session.generate([chat("Who?")])
    three = session.generate([chat("Who?")] * 3)
    assert asked == ["Who?"] * 4
    again = session.generate([chat("Who?")] * 3)
    assert [reply.text for reply in again] == [reply.text for reply in three]
    assert session.generate([chat("Who?")]) == again[:1]
    assert len(asked) == 4
    runner.pool.seed = 1
    assert session.generate([chat("Who?")])[0].text != one[0].text
    assert len(asked) == 5


def test_another_run_carries_the_first_joules_and_spends_only_its_own(
    tmp_path: Path, ferry: Any, base: Any, asked: list[str]
) -> None:
    def run(runs: str, **changes: Any) -> wt.Record:
        task = replace(ferry, test=ferry.test[: changes.get("questions", 12)])
        return wt.run(
            [], task, base, meter=meter, realtime_questions=1, runs=tmp_path / runs,
            responses=ResponseCache(),
        )  # fmt: skip

    def ours(record: wt.Record) -> float:
        """Seconds spent on answering and loading."""
        loads = record.phases["load"].duration_s if record.name == "first" else 0.0
        return record.spent.duration_s - record.phases["realtime"].duration_s - loads

    with wt.Meter() as meter:
        first = run("a", questions=8)
        generated = meter.phases["generate"].duration_s
        answered = meter.phases["answer"].duration_s
        del asked[:]
        second = run("b")
        measured = meter.phases["answer"].duration_s - answered
    real = ferry.test[0].question
    assert [text for text in asked if text != "Hello"].count(real) == 1  # one at a time, never kept
    assert len([text for text in asked if text != "Hello"]) == 4 + 1
    assert (first.environment["cached_replies"], second.environment["cached_replies"]) == (0, 8)
    assert second.phases["answer"].duration_s == pytest.approx(measured + generated)
    bill = second.spent.duration_s - second.phases["realtime"].duration_s
    assert bill == pytest.approx(measured + second.phases["load"].duration_s)
    work, before = second.work["answer"], first.work["answer"]
    answers = load_answers(tmp_path / "b", second)
    assert work.tokens_in == sum(answer.tokens_in or 0 for answer in answers)
    assert before.flops is not None
    assert work.flops is not None
    assert work.flops > before.flops
    assert work.flops_method == "counted"
    texts = [answer.text for answer in load_answers(tmp_path / "a", first)]
    assert [answer.text for answer in answers[:8]] == texts


class Trying(Strategy):
    """Asks the validation questions while it is built."""

    type: Literal["trying"] = "trying"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[Part]] = frozenset({"system", "validation"})
    note: str = ""

    def build(self, system: Any, ctx: Context) -> None:
        ctx.open(system).answer(ctx.task.validation)
        (ctx.workdir / "done").write_text(self.note)

    def attach(self, system: Any, stage: Any) -> Any:
        return system


def test_a_stage_has_two_bills_where_replies_were_kept(
    ferry: Any, base: Any, runner: Runner, responses: ResponseCache
) -> None:
    runner.pool.responses = responses

    def stage(note: str, name: str) -> tuple[Any, float]:
        before = runner.meter.phases.get(name, Phase(duration_s=0.0, energy_j=0.0)).duration_s
        job = Job(name="a", strategies=(Trying(note=note),), task=ferry, system=base)
        _, (record,) = runner.builder.prepare(job)
        return record, runner.meter.phases[name].duration_s - before

    first, generated = stage("one", "generate")
    assert first.spent == first.attributed
    assert "cached_replies" not in first.details
    second, measured = stage("two", "prepare")
    assert second.details == {"cached_replies": 8}
    assert second.spent.duration_s == pytest.approx(measured)
    assert second.attributed.duration_s == pytest.approx(measured + generated)
    assert second.work.flops == pytest.approx(first.work.flops)
    assert second.work.tokens_in == first.work.tokens_in
    again, _ = stage("two", "prepare")
    assert (again.spent, again.attributed) == (Bill(), second.attributed)


def test_shares_go_by_tokens_read_anew_and_written() -> None:
    long = Reply(text="a", tokens_in=50, tokens_out=10, tokens_reused=30)
    short = Reply(text="b", tokens_in=8, tokens_out=2)
    assert shares([long, short]) == [0.75, 0.25]
    assert shares([long, short, Reply(text="c")]) == [1 / 3] * 3
    assert shares([Reply(text="c", tokens_in=0, tokens_out=0)]) == [1.0]


def test_a_reply_counts_once_and_not_where_it_was_made(responses: ResponseCache) -> None:
    start = responses.mark()
    reply = Reply(text="a", tokens_in=8, tokens_out=2)
    settled(responses, "k", reply)
    responses.use(responses.find(["k"]))
    assert responses.recalled_since(start) == Recalled()
    later = responses.mark()
    for _ in range(2):
        responses.use(responses.find(["k"]))
    recalled = responses.recalled_since(later)
    assert recalled.replies == 1
    assert recalled.added_to(Phase(duration_s=1.0, energy_j=5.0, repeats=1)).duration_s == 9.0
    assert (recalled.work.flops, recalled.work.tokens_in, recalled.work.tokens_out) == (6, 8, 2)
    assert responses.recalled_since(responses.mark()).replies == 0


def write_and_die(path: Path) -> None:
    cache = ResponseCache(path)
    cache.keep("k", Reply(text="a", first_token_s=0.5), cache.begin())
    os.kill(os.getpid(), signal.SIGKILL)


def test_replies_of_a_killed_process_are_there_and_not_settled(responses: ResponseCache) -> None:
    worker = FORK.Process(target=write_and_die, args=(responses.path,))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    kept = responses.find(["k", "none"])
    assert kept["k"].share is None
    assert kept["k"].made == Reply(text="a")  # what was waited then is not waited now
    assert kept.keys() == {"k"}


def test_a_local_model_is_asked_again_for_what_is_not_settled(
    session: Session, responses: ResponseCache, asked: list[str]
) -> None:
    key = reply_keys(session.system, [chat("Who?")], 0)[0]
    responses.keep(key, Reply(text="half-way"), responses.begin())
    del asked[:]
    (made,) = session.generate([chat("Who?")])
    assert asked == ["Who?"]
    assert made.text != "half-way"
    assert responses.find([key])[key].share == 1.0
    assert responses.find([key])[key].made.text == made.text


def test_what_came_before_a_stop_is_paid_for(
    session: Session, responses: ResponseCache, asked: list[str]
) -> None:
    def stop(number: int, reply: Reply) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.generate([chat("Who?")], stop)
    del asked[:]
    assert session.generate([chat("Who?")])[0].tokens_out
    assert asked == []


def write_many(path: Path, name: str, count: int) -> None:
    cache = ResponseCache(path)
    for number in range(count):
        settled(cache, f"{name}-{number}", Reply(text=f"{name}{number}"))
        settled(cache, "both", Reply(text=name))
    cache.close()


def test_two_processes_write_at_once(responses: ResponseCache) -> None:
    workers = [FORK.Process(target=write_many, args=(responses.path, name, 40)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert responses.count() == 81
    found = responses.find(["a-7", "b-39", "both"])
    assert (found["a-7"].made.text, found["b-39"].made.text) == ("a7", "b39")
    assert found["both"].made.text in "ab"


def test_a_damaged_file_is_moved_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    for content in (b"no database at all" * 300, b""):
        path.write_bytes(content)
        said: list[str] = []
        cache = ResponseCache(path, said.append)
        settled(cache, "k", Reply(text="a"))
        assert cache.find(["k"])["k"].made.text == "a"
        cache.close()
        assert len(said) == bool(content)
    assert path.with_name("responses.sqlite.damaged").read_bytes().startswith(b"no database")
    # Pages that broke later, and the tables of another program.
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    path.write_bytes(bytes(whole))
    cache = ResponseCache(path, said.append)
    assert cache.find(["k"]) == {}
    cache.close()
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE replies (id INTEGER)")
    other.close()
    cache = ResponseCache(path, said.append)
    assert cache.find(["k"]) == {}
    cache.close()
    assert len(said) == 2
    assert "is damaged: it is responses.sqlite.damaged now" in said[0]


def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "responses.sqlite").mkdir()
    cache = ResponseCache(tmp_path / "responses.sqlite")
    with pytest.raises(StorageError, match=r"cannot be used .* run with --no-cache"):
        cache.find(["k"])
    cache.close()


def test_a_full_disk_is_a_sentence_and_what_is_kept_stays(responses: ResponseCache) -> None:
    settled(responses, "k", Reply(text="a"))
    responses._database.do(lambda db: db.execute("PRAGMA max_page_count = 8").fetchone())
    with pytest.raises(StorageError, match=r"the disk is full: .* was not written"):
        responses.keep("long", Reply(text="long " * 9000), "b")
    assert responses.find(["k"])["k"].made.text == "a"


def test_the_cache_is_on_by_default_on_the_command_line(
    wattune: Any, recipe: Path, cache: Path, asked: list[str]
) -> None:
    def run(runs: str, *more: str) -> int:
        del asked[:]
        assert wattune("compare", recipe, "--runs", runs, *more).code == 0
        return len([text for text in asked if text != "Hello"])

    one_by_one = 2  # a question of each run, never from the cache
    assert run("a", "--no-cache") == 2 * 12 + one_by_one
    assert not (cache / "responses.sqlite").exists()
    assert run("b") == 2 * 12 + one_by_one
    assert run("c") == one_by_one
    assert run("d", "--no-cache") == 2 * 12 + one_by_one
    told = " ".join(wattune("compare", "c").out.split())
    assert re.search(r"taken from the cache: (\S+) \(12\), (?!\1)\S+ \(12\)\. Their", told)
    assert "taken from the cache" not in wattune("compare", "b").out
    assert "(24 answers)" in wattune("cache", "info").out
    assert wattune("cache", "prune").out.startswith("removed 1 stage(s)")
    assert wattune("cache", "prune", "--responses").out.startswith("removed the kept answers, 0.")
    assert "(0 answers)" in wattune("cache", "info").out
    assert not (cache / "responses.sqlite").exists()
