"""Whole runs with an endpoint as the model: recipes, records, energies, and where no key may be."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import wattune as wt
from wattune.ask import ask_all
from wattune.endpoint_ref import EndpointRef
from wattune.errors import CannotRun, InputError, RecipeError
from wattune.loading import load_system
from wattune.measure.accounts.endpoint_energy import TokenEnergy
from wattune.measure.accounts.yaml_table import shipped_table
from wattune.measure.store import load_answers
from wattune.recipe import parse_recipe
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe
from wattune.runner import UNANSWERED
from wattune.system import EndpointSystem, parse_system, with_weights

KEY = "sk-T0pS3cr3t-7f3a9c"
RUNS = (
    "runs: {plain: [], shots: [{prompt: {shots: 2}}], rag: [rag], tree: [tree_rag], lora: [lora]}"
)

Write = Callable[..., Path]


@pytest.fixture
def write(
    tmp_path: Path,
    task_folder: Path,
    embedder: str,
    chat_server: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Write:
    """Writes a recipe that asks the server; the key stands in the environment."""
    monkeypatch.setenv("CHAT_KEY", KEY)

    def make(more: str = "", runs: str = "runs: {plain: []}") -> Path:
        path = tmp_path / "served.yaml"
        path.write_text(
            f"task: {task_folder.name}\nplace: FRA\nrealtime_questions: 2\nbaseline_s: 0\n"
            f"model: {{endpoint: {chat_server.url}, model: m, key_env: CHAT_KEY{more}}}\n"
            f"rag: {{embedder: {embedder}, chunk_tokens: 40, overlap_tokens: 4}}\n{runs}\n",
            encoding="utf-8",
        )
        return path

    return make


def test_every_strategy_that_needs_no_weights_works_and_the_others_are_skipped(
    tmp_path: Path, write: Write, chat_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    recipe = load_recipe(str(write(runs=RUNS)))
    records = run_recipe(recipe, tmp_path / "runs", say=told.append)
    assert [(r.name, r.status) for r in records] == [
        ("plain", "done"), ("shots", "done"), ("rag", "done"), ("tree", "done"), ("lora", "skipped")
    ]  # fmt: skip
    assert "lora needs the model's weights, and m at http" in records[-1].reason
    plain, shots, rag = records[:3]
    assert plain.quality["exact_match"].value == pytest.approx(1 / 12)  # "jetty 1" to all of them
    assert plain.work["answer"].tokens_in == 120
    assert plain.work["answer"].flops is None
    assert plain.environment["endpoint"] == {
        "questions": 14, "requests": 14, "retries": 0, "rate_limited": 0, "empty": 0, "failed": 0,
        "without_token_counts": 0, "reasons": {},
    }  # fmt: skip
    assert plain.realtime is not None
    assert len(plain.realtime.latency_s) == plain.realtime.questions == 2
    assert plain.realtime.first_token_s == ()  # it does not stream
    assert plain.realtime.first_token_p50_s is None
    # The server is on this machine, where the meter sees it: nothing is modelled.
    assert "endpoint" not in plain.phases["answer"].components
    assert plain.fingerprints["model"] == rag.fingerprints["model"]
    assert "weights" not in plain.fingerprints
    last = [body["messages"][-1]["content"] for body in chat_server.asked]
    assert any("\n\nQuestion: At which" in text for text in last)
    assert max(len(body["messages"]) for body in chat_server.asked) == 6  # two shots
    assert set(chat_server.keys) == {f"Bearer {KEY}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 12
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in caplog.text + "".join(told)
    # A record can be run again, and asked.
    asked = len(chat_server.asked)
    again = run_recipe(parse_recipe(shots.recipe, name="again"), tmp_path / "runs2")
    assert [r.quality for r in again] == [shots.quality]
    assert run_recipe(recipe, tmp_path / "runs")[0].key == plain.key
    assert len(chat_server.asked) == asked + 14
    assert {a.answer.text for a in ask_all(tmp_path / "runs2", "Where to Elm?") if a.answer} == {
        "jetty 1"
    }


def test_a_stream_tells_the_wait_for_the_first_token(
    tmp_path: Path, write: Write, chat_server: Any
) -> None:
    chat_server.usual = chat_server.stream(["jetty", " 1"])
    path = write(", stream: true", "runs: {plain: [], rag: [rag]}")
    for record in run_recipe(load_recipe(str(path)), tmp_path / "runs"):
        found = record.realtime
        assert found is not None
        assert len(found.first_token_s) == len(found.latency_s) == 2
        assert found.first_token_p95_s is not None


def test_a_question_without_an_answer_has_no_wait(
    tmp_path: Path, write: Write, chat_server: Any
) -> None:
    said, refused = chat_server.say("jetty 1"), chat_server.send("{}", 400)
    chat_server.replies = [*[said] * 12, refused, said]  # all at once, then two alone
    (record,) = run_recipe(load_recipe(str(write())), tmp_path / "runs")
    assert record.realtime is not None
    assert record.realtime.questions == 2
    assert len(record.realtime.latency_s) == 1
    assert record.realtime.latency_p50_s == record.realtime.latency_p95_s


def test_a_managed_endpoint_s_energy_is_modelled_in_every_phase_that_asks_it(
    tmp_path: Path, write: Write
) -> None:
    more = ", where: managed, energy: gpt-4o"
    (record,) = run_recipe(load_recipe(str(write(more))), tmp_path / "runs")
    # 12 questions of 10 tokens in and 2 out, at 0.18 and 0.50 Wh per 1,000; 2 of them alone too.
    for name, questions in (("answer", 12), ("realtime", 2)):
        phase = record.phases[name]
        part = phase.components["endpoint"]
        assert part.provenance == "modelled_tokens"
        assert part.energy_j == pytest.approx(questions * (10 * 0.18 + 2 * 0.50) * 3.6)
        assert "range " in part.detail
        assert "Epoch AI" in part.detail
        known = [c.energy_j or 0.0 for c in phase.components.values()]
        assert phase.energy_j == pytest.approx(sum(known))
    both = sum(record.phases[name].energy_j or 0.0 for name in ("answer", "realtime"))
    assert (record.spent.energy_j or 0.0) >= both


def test_without_figures_or_tokens_the_energy_has_failed(
    tmp_path: Path, write: Write, chat_server: Any
) -> None:
    (record,) = run_recipe(load_recipe(str(write(", where: managed"))), tmp_path / "one")
    part = record.phases["answer"].components["endpoint"]
    assert (part.energy_j, part.provenance) == (None, "failed")
    assert "give `energy`" in part.detail
    chat_server.usual = chat_server.say("jetty 1", usage=False)
    more = ", where: managed, energy: {wh_per_1000_tokens_in: 1, wh_per_1000_tokens_out: 2}"
    (record,) = run_recipe(load_recipe(str(write(more))), tmp_path / "two")
    assert "did not say how many tokens" in record.phases["answer"].components["endpoint"].detail
    assert record.work["answer"].tokens_in is None
    assert {a.tokens_in for a in load_answers(tmp_path / "two", record)} == {None}
    with pytest.raises(InputError, match='did you mean "gpt-4o-mini"'):
        load_system(EndpointRef(endpoint="https://x/v1", model="m", energy="gpt4o-mini"))


def test_failures_are_counted_in_the_record_whether_or_not_it_is_done(
    tmp_path: Path, write: Write, chat_server: Any
) -> None:
    busy, refused = chat_server.send("", 429), chat_server.send("", 400)
    chat_server.replies = [busy, refused]
    (record,) = run_recipe(load_recipe(str(write(", concurrency: 1"))), tmp_path / "one")
    counts = record.environment["endpoint"]
    assert (counts["rate_limited"], counts["retries"], counts["failed"]) == (1, 1, 1)
    assert UNANSWERED in record.flags
    assert [a.text for a in load_answers(tmp_path / "one", record)].count("") == 1
    chat_server.usual = chat_server.send(f"wrong key {KEY}", 401)
    recipe = load_recipe(str(write(", concurrency: 2")))
    (record,) = run_recipe(recipe, tmp_path / "two")
    assert record.status == "skipped"
    assert record.reason.endswith("the key is not accepted (HTTP 401)")
    assert 1 <= record.environment["endpoint"]["requests"] <= 2
    assert not [p for p in tmp_path.rglob("*.json*") if KEY.encode() in p.read_bytes()]


def test_a_pasted_key_is_refused_and_shown_nowhere(
    wattune: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write()
    done = wattune("validate", path, f"model.key_env={KEY}")
    assert done.code == 2
    assert "key_env is the name of an environment variable" in done.err
    assert KEY not in done.out + done.err
    for key in ("timeout_s", "endpoint", "extra", "where"):
        with pytest.raises(RecipeError) as caught:
            parse_recipe(
                {"task": "harbour", "runs": {"a": []},
                 "model": {"endpoint": "https://x/v1", "model": "m", key: KEY}},
                name="a",
            )  # fmt: skip
        assert KEY not in str(caught.value)
    monkeypatch.delenv("CHAT_KEY")
    done = wattune("run", path)
    assert done.code == 2
    assert "`key_env` names is not set" in done.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, 'give either "endpoint'),
        ({"endpoint": "https://x/v1"}, "needs `model`"),
        ({"endpoint": "ftp://x/v1", "model": "m"}, "reads https://host/v1"),
        ({"endpoint": "https://a:b@x/v1", "model": "m"}, "reads https://host/v1"),
        ({"endpoint": "https://x/v1?key=1", "model": "m"}, "reads https://host/v1"),
        ({"endpoint": "https://x:99999/v1", "model": "m"}, "reads https://host/v1"),
        ({"endpoint": "http://x/v1", "model": "m", "key_env": "K"}, "use https"),
        ({"endpoint": "https://x/v1", "model": "m", "extra": {"api_key": "1"}}, "holds no keys"),
        ({"endpoint": "https://x/v1", "model": "m", "extra": {"stream": True}}, "cannot set"),
        ({"endpoint": "http://[::1]:1/v1", "model": "m", "energy": "gpt-4o"}, "the meter sees it"),
        ({"langchain": "a:b", "model": "m"}, "not for langchain"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EndpointRef(**given)


def test_an_endpoint_system_is_a_value_without_weights() -> None:
    ref = EndpointRef(endpoint="https://x/v1/", model="m", key_env="ONE")
    system = EndpointSystem(endpoint=ref, refusal="no")
    assert ref.endpoint == "https://x/v1"
    assert not ref.on_this_machine
    assert EndpointRef(endpoint="http://localhost:1/v1", model="m").on_this_machine
    assert parse_system(json.loads(json.dumps(system.plain()))) == system
    other = ref.model_copy(update={"key_env": "TWO"})
    assert system.identity() == system.model_copy(update={"endpoint": other}).identity()
    assert isinstance(system, EndpointSystem)
    with pytest.raises(CannotRun, match="full_fine_tuning needs the model's weights"):
        with_weights(system, "full_fine_tuning")
    assert wt.load_system is load_system


def test_the_recipes_of_the_documentation_are_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text(encoding="utf-8")
    recipes = [body.split("```")[0] for body in page.split("```yaml\n")[1:]]
    assert len(recipes) == 4
    for text in recipes:
        assert parse_recipe(yaml.safe_load(text), name="page").runs
    for row, figures in shipped_table("endpoints", TokenEnergy).items():
        shown = f"| `{row}` | {figures.wh_per_1000_tokens_in:g} | "
        assert f"{shown}{figures.wh_per_1000_tokens_out:.2f} | × {figures.low:g} to" in page
