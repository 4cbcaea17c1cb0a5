"""The client of OpenAI-compatible servers, against one on loopback: requests, replies, faults."""

from __future__ import annotations

import json
import logging
import random
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from wattune.endpoint_ref import EndpointRef
from wattune.errors import CannotRun, ModelError
from wattune.measure.work import Work
from wattune.models.endpoint import EndpointModel
from wattune.models.generation import Reply
from wattune.models.pace import MAX_WAIT_S, Pace, back_off, retry_after
from wattune.models.served import plain_counts
from wattune.system import Decoding

KEY = "sk-T0pS3cr3t-7f3a9c"
Open = Callable[..., EndpointModel]


def chats(count: int = 1) -> list[Any]:
    """Chats that differ by a number."""
    return [[{"role": "user", "content": f"question {n}"}] for n in range(count)]


@pytest.fixture
def opened(chat_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens clients of the server, by a key."""
    monkeypatch.setenv("CHAT_KEY", KEY)
    models: list[EndpointModel] = []

    def make(**settings: Any) -> EndpointModel:
        given = {"endpoint": chat_server.url, "model": "m", "key_env": "CHAT_KEY", **settings}
        models.append(EndpointModel(EndpointRef(**given)))
        return models[-1]

    yield make
    for model in models:
        model.close()
        model.close()  # twice does no harm
    assert not [t for t in threading.enumerate() if t.name == "endpoint"]


def test_a_request_holds_what_was_asked_for_and_the_key(chat_server: Any, opened: Open) -> None:
    model = opened(extra={"max_tokens": None, "max_completion_tokens": 9})
    said = model.generate(
        chats(2), Decoding(max_tokens=5, temperature=0.5, top_p=0.9, stop=("\n",)), seed=7
    )
    assert [one.text for one in said] == ["jetty 1"] * 2
    assert [body.pop("seed") for body in chat_server.asked] == [7, 7]  # two chats, each its first
    assert sorted(body.pop("messages")[0]["content"] for body in chat_server.asked) == [
        "question 0",
        "question 1",
    ]
    assert (
        chat_server.asked[0]
        == chat_server.asked[1]
        == {
            "path": "/v1/chat/completions",
            "model": "m",
            "max_completion_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["\n"],
        }
    )
    assert chat_server.keys == [f"Bearer {KEY}"] * 2
    opened(key_env=None).generate(chats(), Decoding(max_tokens=5, stop=()))
    assert chat_server.keys[-1] is None
    assert set(chat_server.asked[-1]) == {"path", "model", "messages", "max_tokens", "temperature"}


def test_tokens_are_those_that_the_server_tells_and_else_unknown(
    chat_server: Any, opened: Open
) -> None:
    model = opened()
    assert model.generate(chats(3), Decoding(max_tokens=5, stop=()))[0].tokens_in == 10
    before = model.account.tally
    assert model.account.work() == Work(tokens_in=30, tokens_out=6)
    usage = {"prompt_tokens": 8, "completion_tokens": 1,
             "prompt_tokens_details": {"cached_tokens": 6}}  # fmt: skip
    cached = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    chat_server.replies = [chat_server.send(json.dumps(cached))]
    assert model.generate(chats(), Decoding(max_tokens=5, stop=()))[0].tokens_reused == 6
    chat_server.replies = [chat_server.say("jetty 2", usage=False)]
    silent = model.generate(chats(), Decoding(max_tokens=5, stop=()))[0]
    assert (silent.text, silent.tokens_in, silent.tokens_out) == ("jetty 2", None, None)
    assert model.account.work(before) == Work(tokens_in=None, tokens_out=None, tokens_reused=6)
    assert model.account.counts["without_token_counts"] == 1


def test_answers_are_cut_as_local_ones_are(chat_server: Any, opened: Open) -> None:
    chat_server.replies = [chat_server.say("\n jetty 4 \nAnd more")]
    assert opened().generate(chats(), Decoding(max_tokens=9, stop=("\n",)))[0].text == "jetty 4"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda s: s.send("busy", 429), "too many requests (HTTP 429)"),
        (lambda s: s.send("busy", 429, Retry_After="0"), "too many requests (HTTP 429)"),
        (lambda s: s.send("{}", 500), "the server failed (HTTP 500)"),
        (lambda s: s.send("{}", 503, Retry_After="0.01"), "the server failed (HTTP 503)"),
        (lambda s: s.send("{}", 408), "time-out (HTTP 408)"),
        (
            lambda s: s.send("{", length=999),
            "the connection broke (RemoteProtocolError)",
        ),
        (lambda s: s.send('{"choices": [{"mess'), "the reply is not JSON"),
        (lambda s: s.send('{"error": {"message": "x"}}'), "the reply is of another form"),
        (lambda s: s.send('{"choices": []}'), "the reply is of another form"),
        (lambda s: s.send(b"\xff\xfe"), "the reply is not JSON"),
        (lambda s: s.hang, "no answer within 0.3 s"),
    ],
)  # fmt: skip
def test_what_may_pass_is_tried_again_and_counted(
    chat_server: Any, opened: Open, fault: Callable[[Any], Any], reason: str
) -> None:
    chat_server.replies = [fault(chat_server), fault(chat_server)]
    model = opened(timeout_s=0.3, concurrency=1)
    said = model.generate(chats(2), Decoding(max_tokens=5, stop=()))
    assert [(one.text, one.failed) for one in said] == [("jetty 1", "")] * 2
    counts = plain_counts(model.account.counts)
    assert counts["reasons"] == {reason: 2}
    assert (counts["questions"], counts["requests"], counts["retries"]) == (2, 4, 2)
    assert counts["rate_limited"] == (2 if "429" in reason else 0)
    assert counts["failed"] == 0


def test_a_stream_tells_the_time_to_its_first_token_and_a_cut_one_is_asked_again(
    chat_server: Any, opened: Open
) -> None:
    model = opened(stream=True)
    cut = chat_server.stream(["jet"], whole=False)
    chat_server.replies = [cut, chat_server.stream(["", "jetty", " 3"])]
    made = model.generate(chats(), Decoding(max_tokens=5, stop=()))[0]
    assert (made.text, made.tokens_in, made.tokens_out) == ("jetty 3", 10, 2)
    assert made.first_token_s is not None
    assert made.first_token_s > 0
    assert model.account.counts["the stream was cut"] == 1
    assert chat_server.asked[0]["stream_options"] == {"include_usage": True}


def test_an_empty_answer_is_asked_for_once_more_without_stop_strings(
    chat_server: Any, opened: Open
) -> None:
    model = opened()
    chat_server.replies = [chat_server.say(""), chat_server.say("\njetty 5\nBecause")]
    made = model.generate(chats(), Decoding(max_tokens=9, stop=("\n",)))[0]
    assert (made.text, made.failed) == ("jetty 5", "")
    assert ["stop" in body for body in chat_server.asked] == [True, False]
    assert model.account.tally.tokens_in == 20  # both were read
    chat_server.replies = [chat_server.say(None), chat_server.say("")]
    assert model.generate(chats(), Decoding(max_tokens=9, stop=()))[0].failed == ""
    chat_server.replies = [chat_server.say("", ended="length")]  # its thoughts took all the tokens
    assert model.generate(chats(), Decoding(max_tokens=9, stop=()))[0].text == ""
    assert len(chat_server.asked) == 5
    assert model.account.counts["failed"] == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [(401, "the key is not accepted"), (404, "the model or the address"), (307, "redirect")],
)
def test_what_concerns_every_question_ends_the_run_at_once(
    chat_server: Any, opened: Open, code: int, words: str
) -> None:
    chat_server.usual = chat_server.send(f"no {KEY}", code, Location="http://127.0.0.1:9/")
    model = opened(concurrency=1)
    with pytest.raises(ModelError, match=words):
        model.generate(chats(50), Decoding(max_tokens=5, stop=()))
    assert len(chat_server.asked) == 1


def test_answers_that_came_are_kept_while_few_are_missing(chat_server: Any, opened: Open) -> None:
    model = opened(concurrency=1, max_retries=1)
    refusal = chat_server.send('{"error": {"message": "too  long\x07"}}', 400)
    chat_server.replies = [refusal, *[chat_server.send("{}", 500)] * 2]
    told: dict[int, Reply] = {}
    said = model.generate(chats(30), Decoding(max_tokens=5, stop=()), told=told.__setitem__)
    assert [one.text for one in said] == ["", "", *["jetty 1"] * 28]
    assert "too long" in said[0].failed
    assert said[1].failed == "the server failed (HTTP 500)"
    assert said[0].tokens_in is None
    assert [told[number] for number in range(30)] == said
    assert model.account.counts["failed"] == 2
    chat_server.usual = refusal
    with pytest.raises(CannotRun, match=r"5 of 40 questions have no answer, more than 10%"):
        model.generate(chats(10), Decoding(max_tokens=5, stop=()))


def test_a_long_rest_is_not_waited_for(chat_server: Any, opened: Open) -> None:
    chat_server.usual = chat_server.send("", 429, Retry_After="7200")
    with pytest.raises(CannotRun, match="and it asks for 7200 s of rest"):
        opened().generate(chats(), Decoding(max_tokens=5, stop=()))
    assert len(chat_server.asked) == 1


def test_a_server_that_is_not_there_is_told_after_bounded_tries(opened: Open) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        model = opened(endpoint=f"http://127.0.0.1:{held.getsockname()[1]}/v1", max_retries=2)
        with pytest.raises(CannotRun, match=r"no connection; is the server running\?"):
            model.generate(chats(), Decoding(max_tokens=5, stop=()))
        assert model.account.counts["requests"] == 3


def test_as_many_questions_are_under_way_as_asked_for(chat_server: Any, opened: Open) -> None:
    together = threading.Barrier(3)

    def meet(handler: Any) -> None:
        together.wait(30)  # all three are there, or the test fails
        chat_server.say("yes")(handler)

    chat_server.replies = [meet] * 9
    assert len(opened(concurrency=3).generate(chats(9), Decoding(max_tokens=5, stop=()))) == 9
    assert chat_server.most == 3


def test_turns_are_evenly_apart_and_none_is_given_while_the_server_rests() -> None:
    pace = Pace(30)
    assert [pace.turn(100.0) for _ in range(3)] == [0.0, 2.0, 4.0]
    assert pace.turn(103.0) == 3.0  # at 106
    pace.rest(120.0)
    assert pace.turn(110.0) == 10.0
    assert pace.turn(200.0) == 0.0
    assert [Pace(None).turn(1.0) for _ in range(3)] == [0.0] * 3


def test_waits_double_are_drawn_and_bounded() -> None:
    chance = random.Random(0)
    waits = [[back_off(retry, chance) for _ in range(50)] for retry in (0, 1, 2, 40)]
    for seconds, longest in zip(waits, (0.5, 1.0, 2.0, MAX_WAIT_S), strict=True):
        assert longest / 2 <= min(seconds) < max(seconds) <= longest


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), ("0.5", 0.5), ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0), (None, None), ("", None),
     ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0), ("soon", None), ("-1", None)],
)  # fmt: skip
def test_the_rest_a_server_asks_for(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, datetime(2026, 3, 1, 12, tzinfo=UTC)) == seconds


def test_the_key_is_in_no_answer_no_error_and_no_log(
    chat_server: Any, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model = opened()
    chat_server.replies = [chat_server.say(f"the key is {KEY}")]
    assert model.generate(chats(), Decoding(max_tokens=5, stop=()))[0].text == "the key is [key]"
    chat_server.usual = chat_server.send(f'{{"error": "bad key {KEY[:9]}***"}}', 400, X_Key="no")
    with pytest.raises(CannotRun) as caught:
        model.generate(chats(), Decoding(max_tokens=5, stop=()))
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    shown = caplog.text + repr(vars(model)) + "".join(map(repr, chain))
    assert KEY[:6] not in shown
    assert caplog.records  # it did look at something


@pytest.mark.parametrize("value", [None, "", "  ", "two words", "schlüssel"])
def test_a_key_that_is_none_is_told_before_anything_is_asked(
    opened: Open, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("CHAT_KEY") if value is None else monkeypatch.setenv("CHAT_KEY", value)
    with pytest.raises(ModelError, match="`key_env` names") as caught:
        opened()
    assert "CHAT_KEY" not in str(caught.value)
