"""Running: whole records, reuse, runs that cannot be done, slices, overlap, and the API."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import wattune as wt
from wattune.errors import CannotRun, TaskError
from wattune.job import OVERLAP_ALLOWED, Job, jobs_of
from wattune.measure.noise import CONTENDED
from wattune.measure.record import SCHEMA_VERSION
from wattune.measure.serving import percentile
from wattune.measure.store import load_answers
from wattune.recipe import Limit, Recipe, parse_recipe
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe
from wattune.runner import Runner
from wattune.slices import limited, spread
from wattune.system import Decoding


def settled(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Flags that do not depend on what else the machine does."""
    return tuple(flag for flag in flags if not flag.startswith(CONTENDED))


@pytest.fixture
def recipe(tmp_path: Path, task_folder: Path, chat_model: Path, embedder: str) -> Recipe:
    """Three runs on the small task; `huge` asks for more shots than there are examples."""
    path = tmp_path / "trio.yaml"
    path.write_text(
        f"task: {task_folder.name}\nmodel: {chat_model}\nplace: FRA\nrealtime_questions: 1\n"
        f"baseline_s: 0\ndecoding: {{max_tokens: 4}}\n"
        f"rag: {{embedder: {embedder}, chunk_tokens: 40, overlap_tokens: 4}}\n"
        "runs:\n  zero-shot: []\n  huge: [{prompt: {shots: 60}}]\n  rag: [rag]\n",
        encoding="utf-8",
    )
    return load_recipe(str(path))


def test_a_record_has_all_its_fields_and_survives_json(
    tmp_path: Path, ferry: Any, base: Any, embedder: str
) -> None:
    steps = [wt.Prompt(shots=1), wt.RAG(k=1, chunk_tokens=40, overlap_tokens=4, embedder=embedder)]
    with wt.Meter(place="FRA") as meter:
        record = wt.run(steps, ferry, base, meter=meter, realtime_questions=2, runs=tmp_path / "r")
    assert (record.name, record.status, record.reason) == ("prompt+rag", "done", "")
    assert set(record.phases) == {"load", "answer", "realtime", "scoring"}
    for phase in record.phases.values():
        assert phase.duration_s > 0
        assert phase.peak_memory_bytes
        assert phase.error is None
    assert [stage.strategy for stage in record.stages] == ["prompt", "rag"]
    assert record.artefact_bytes == sum(stage.artefact_bytes for stage in record.stages) > 0
    assert record.prepare.duration_s == sum(s.attributed.duration_s for s in record.stages)
    spent = sum(stage.spent.duration_s for stage in record.stages)
    assert record.answers == 12
    assert set(record.quality) == {
        "token_f1", "exact_match", "contained", "refusal_rate", "hallucination_rate",
        "recall@1", "mrr@1", "ndcg@1",
    }  # fmt: skip
    assert sum(record.outcomes.values()) == 12
    assert all(len(values) == 12 for values in record.scores.values())
    assert {name: scores["token_f1"].n for name, scores in record.quality_by.items()} == {
        "fact": 8, "hierarchy": 3, "unanswerable": 1
    }  # fmt: skip
    for score in record.quality.values():
        assert 0 <= score.low <= score.value <= score.high <= 1
    answered = record.work["answer"]
    assert (answered.tokens_in or 0) > 12 * 50
    assert 0 < (answered.tokens_out or 0) <= 12 * 4
    assert record.batch is not None
    assert record.batch.questions == 12
    assert record.batch.questions_per_s == 12 / record.phases["answer"].duration_s
    assert record.realtime is not None
    assert record.realtime.questions == len(record.realtime.latency_s) == 2
    assert sum(record.realtime.latency_s) <= record.phases["realtime"].duration_s
    assert record.realtime.latency_p50_s == percentile(record.realtime.latency_s, 50)
    single_j = record.phases["realtime"].energy_j
    assert single_j is not None
    assert record.realtime.energy_j_per_answer == single_j / 2
    both_s = record.phases["answer"].duration_s + record.phases["realtime"].duration_s
    assert record.spent.duration_s > spent + both_s
    assert record.carbon is not None
    assert record.carbon.place == "FRA"
    assert record.seed == 0
    assert record.fingerprints.keys() >= {"task", "items", "scorer", "model", "prompt", "index"}
    assert record.work["answer"].flops_method == "counted"
    assert record.work["prepare"].bytes_stored == record.artefact_bytes
    assert record.environment["wall_s"] > 0
    assert record.environment["machine"]["processes"] == 1
    assert record.task["questions"] == 12
    assert record.created_at
    assert settled(record.flags) == ()
    assert wt.load_records(tmp_path / "r") == [record]
    answers = load_answers(tmp_path / "r", record)
    assert [answer.id for answer in answers] == [example.id for example in ferry.test]
    assert sum(answer.tokens_in or 0 for answer in answers) == answered.tokens_in
    assert all(len(answer.passages) == 1 for answer in answers)
    mean = sum(answer.scores["token_f1"] or 0.0 for answer in answers) / 12
    assert mean == pytest.approx(record.quality["token_f1"].value)


def test_always_refusing_is_scored_as_the_floor(ferry: Any, base: Any) -> None:
    record = wt.run([], ferry, base, realtime_questions=0)
    # One of twelve questions is unanswerable; the refusal is its one right answer.
    assert record.task["always_refuse"]["exact_match"] == pytest.approx(1 / 12)
    assert record.task["always_refuse"]["contained"] == pytest.approx(1 / 12)
    assert record.carbon is None  # no place was named
    assert record.realtime is None
    assert "realtime" not in record.phases


def test_a_run_that_cannot_be_done_is_a_row_and_the_others_go_on(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    told: list[tuple[str, int, int]] = []
    records = run_recipe(
        recipe, tmp_path / "runs", say=said.append, progress=lambda *step: told.append(step)
    )
    assert [(r.name, r.status) for r in records] == [
        ("zero-shot", "done"), ("huge", "skipped"), ("rag", "done")
    ]  # fmt: skip
    assert records[1].reason == "prompt.shots is 60 and the task has 24 training examples"
    assert said[0] == f"huge: skipped: {records[1].reason}"  # told before anything runs
    assert len(said) == 3
    assert ("runs", 3, 3) in told
    assert ("rag: answering", 12, 12) in told
    table = wt.compare(records).tables()[0]
    assert table.rows[1] == ("huge", f"skipped: {records[1].reason}")
    # A run can be done again from its record alone.
    (job,) = jobs_of(parse_recipe(records[2].recipe, name="unused"))
    assert (job.name, job.key) == (records[2].name, records[2].key)

    def measure(self: Runner, job: Job) -> Any:
        raise CannotRun("measured again")

    monkeypatch.setattr(Runner, "_measure", measure)
    said.clear()
    again = run_recipe(recipe, tmp_path / "runs", say=said.append)
    assert again[0] == records[0]
    assert again[2] == records[2]
    assert again[1].reason == "measured again"  # what was skipped is tried again
    assert said[-1] == f"2 of 3 runs were finished before and are reused ({tmp_path / 'runs'})"


def test_what_was_measured_stands_when_a_later_run_is_stopped(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Runner._measure

    def stop(self: Runner, job: Job) -> Any:
        if job.name == "rag":
            raise KeyboardInterrupt
        return measure(self, job)

    monkeypatch.setattr(Runner, "_measure", stop)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, tmp_path / "runs")
    kept = {record.name: record.status for record in wt.load_records(tmp_path / "runs")}
    assert kept == {"zero-shot": "done", "huge": "skipped"}
    assert not list((tmp_path / "runs").glob(".*"))


def test_rag_on_a_task_without_documents_is_skipped(ferry: Any, base: Any, embedder: str) -> None:
    record = wt.run([wt.RAG(embedder=embedder)], replace(ferry, documents=()), base)
    assert record.status == "skipped"
    assert record.reason.startswith("rag needs documents and the task has none")
    assert record.quality == {}
    assert record.phases == {}


def test_everything_that_determines_a_run_is_in_its_key(ferry: Any, base: Any) -> None:
    plain = Job(name="a", strategies=(), task=ferry, system=base)
    assert replace(plain, name="b").key == plain.key
    assert replace(plain, task=replace(ferry, folder=None)).key == plain.key
    others = [
        replace(plain, strategies=(wt.Prompt(),)),
        replace(plain, seed=1),
        replace(plain, split="validation"),
        replace(plain, realtime_questions=1),
        replace(plain, flags=(OVERLAP_ALLOWED,)),
        replace(plain, task=replace(ferry, test=ferry.test[:3])),
        replace(plain, task=replace(ferry, refusal="No.")),
        replace(plain, system=base.model_copy(update={"decoding": Decoding(max_tokens=5)})),
    ]
    assert len({plain.key, *[other.key for other in others]}) == 9


def test_the_seed_of_a_run_draws_its_answers(tmp_path: Path, ferry: Any, base: Any) -> None:
    warm = base.model_copy(update={"decoding": Decoding(max_tokens=6, temperature=2.0)})

    def texts(seed: int, runs: Path) -> list[str]:
        record = wt.run([], ferry, warm, seed=seed, realtime_questions=0, runs=runs)
        return [answer.text for answer in load_answers(runs, record)]

    first = texts(0, tmp_path / "a")
    assert first == texts(0, tmp_path / "b")
    assert first != texts(1, tmp_path / "c")


def test_a_slice_keeps_the_mix_of_kinds(ferry: Any) -> None:
    cut = limited(ferry, Limit(questions=6, train=12), "test")
    assert Counter(example.kind for example in cut.test) == {"fact": 4, "hierarchy": 2}
    assert Counter(example.kind for example in cut.train) == {"fact": 8, "form": 4}
    assert cut.validation == ferry.validation
    assert limited(ferry, Limit(questions=99), "test") == ferry
    assert spread(ferry.test, 1) == [ferry.test[0]]


def test_a_test_question_in_training_is_named_or_marked(ferry: Any, base: Any) -> None:
    copied = ferry.train[2].model_copy(update={"id": "copy"})
    leaky = replace(ferry, test=(copied, *ferry.test[:2]))
    with pytest.raises(TaskError, match=r"1 test question\(s\) .* \(copy = train-where-cedar\)"):
        wt.run([], leaky, base)
    record = wt.run([], leaky, base, allow_overlap=True, realtime_questions=0)
    assert settled(record.flags) == (OVERLAP_ALLOWED,)
    assert any("WARNING" in note for note in wt.compare([record]).notes())


def test_records_of_the_api_compare_and_reuse(tmp_path: Path, ferry: Any, base: Any) -> None:
    steps: list[Any] = [[], [wt.Prompt(shots=1)]]
    runs = tmp_path / "runs"
    first = [wt.run(s, ferry, base, runs=runs, realtime_questions=0) for s in steps]
    again = [wt.run(s, ferry, base, runs=runs, realtime_questions=0) for s in steps]
    assert again == first
    assert [record.name for record in first] == ["base", "prompt"]
    rows = wt.compare(first).to_csv().splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "base", "prompt"]
    for path in runs.glob("*.json"):
        assert json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION
