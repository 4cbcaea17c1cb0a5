"""Frugal comparisons through the spine: what is asked, what is kept, what a second one finds."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from wattune.answering.responses import ResponseCache
from wattune.cli.frugal import compare_frugal
from wattune.errors import InputError
from wattune.frugal.live import ORDER_SEED, Frugal, compare_frugally, decidable
from wattune.frugal.order import Cost
from wattune.frugal.trials import Trials
from wattune.frugal.wording import decision_of, plain_of, table_of
from wattune.job import jobs_of
from wattune.measure.ledger import load_ledger
from wattune.measure.predicted import (
    NOTHING,
    Expected,
    Predicted,
    PredictedPhase,
    keep_prediction,
)
from wattune.measure.processes import VARIABLES
from wattune.measure.store import load_answers, load_records
from wattune.recipe_file import load_recipe

PORTS = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel")
Frugally = Callable[..., Frugal]


@pytest.fixture
def frugally(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Frugally:
    """Compare the recipe of two runs frugally into tmp_path / "runs"; overrides come first."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str, floor: float | None = None, **given: Any) -> Frugal:
        loaded = load_recipe(str(recipe), list(overrides))
        given.setdefault("responses", ResponseCache())
        return compare_frugally(loaded, tmp_path / "runs", floor=floor, **given)

    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Each asking of a trial: the run, and the number of questions by then."""
    found: list[tuple[str, int]] = []
    ask = Trials.ask

    def noted(self: Trials, job: Any, upto: int) -> Any:
        found.append((job.name, upto))
        return ask(self, job, upto)

    monkeypatch.setattr(Trials, "ask", noted)
    return found


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def many_questions(task_folder: Path) -> None:
    """128 test questions in other words, and every question asks for a label, a jetty."""
    before = ("Please", "Excuse me,", "Hello,", "Say,", "Tell me,", "Quick,", "Well,", "Now,")
    after = ("thanks", "if you know")
    rows = [
        {
            "id": f"test-{number}",
            "question": f"{first} the boat for {port}, which jetty is it at, {last}?",
            "answers": [f"jetty {1 + number % 8}"],
            "kind": "classification",
        }
        for number, (first, last, port) in enumerate(itertools.product(before, after, PORTS))
    ]
    write_rows(task_folder / "test.jsonl", rows)
    train = task_folder / "train.jsonl"
    kept = [json.loads(line) for line in train.read_text(encoding="utf-8").splitlines()]
    write_rows(train, [{**row, "kind": "classification"} for row in kept])


@pytest.fixture
def labels(recipe: Path, task_folder: Path) -> None:
    """The recipe with a classifier, which learns the jetties, beside a model that knows none."""
    many_questions(task_folder)
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(
        text.partition("runs:")[0]
        + "runs:\n  few-shot: [{prompt: {shots: 2}}]\n  classical: [classical]\n  zero-shot: []\n",
        encoding="utf-8",
    )


def model_first(job: Any) -> Cost:
    """Joules that put the model first and the classifier next, as a plan might."""
    return Cost({"zero-shot": 1.0, "classical": 2.0, "few-shot": 3.0}[job.name])


@pytest.mark.usefixtures("labels")
def test_the_cheap_run_is_dropped_the_next_accepted_and_the_dear_one_not_started(
    frugally: Frugally, asked: list[tuple[str, int]], tmp_path: Path
) -> None:
    said: list[str] = []
    found = frugally(floor=0.5, expected=model_first, say=said.append)
    assert [job.name for job in found.jobs] == ["zero-shot", "classical", "few-shot"]
    assert found.stop.chosen == 1
    assert decision_of(found)[0].startswith(
        "Take classical, the cheapest run that reaches token F1"
    )
    counts = [len(one.scores) for one in found.state.contenders]
    assert 0 < counts[0] < 128
    assert 0 < counts[1] < 128
    assert counts[2] == 0
    assert [name for name, _ in asked] == sorted((name for name, _ in asked), reverse=True)
    assert [line.split(":")[0] for line in said] == [name for name, _ in asked]
    assert "zero-shot: dropped after" in " ".join(said)
    # What is left are records that are no whole ones, and a ledger of all that was drawn.
    records = {record.name: record for record in load_records(tmp_path / "runs")}
    assert set(records) == {"zero-shot", "classical"}
    for name, count in (("zero-shot", counts[0]), ("classical", counts[1])):
        record = records[name]
        assert (record.status, record.answers, record.scores) == ("skipped", count, {})
        assert f"after {count} of 128 questions" in record.reason
        assert len(load_answers(tmp_path / "runs", record)) == count
        assert record.phases["answer"].repeats == 1  # each question was asked once
    assert found.spent_j is not None
    entries = load_ledger(tmp_path / "runs")
    assert len(entries) == len(asked)
    assert {entry.status for entry in entries} == {"skipped"}
    metered = [entry.bill.energy_j for entry in entries]
    assert all(metered)
    assert sum(joules or 0.0 for joules in metered) <= found.spent_j * 1.001
    assert found.whole_j == pytest.approx(_whole(records) + 3.0)


def _whole(records: dict[str, Any]) -> float:
    """All 128 answers of the runs that were started, at what theirs took."""
    return float(
        sum(
            record.prepare.energy_j
            + record.phases["load"].energy_j
            + record.phases["answer"].energy_j / record.answers * 128
            for record in records.values()
        )
    )


@pytest.mark.usefixtures("labels")
def test_a_second_comparison_asks_nothing_twice_and_finishing_asks_only_the_rest(
    frugally: Frugally, asked: list[tuple[str, int]], tmp_path: Path
) -> None:
    cache = ResponseCache()
    first = frugally(floor=0.5, expected=model_first, responses=cache)
    kept, steps = cache.count(), list(asked)
    assert kept == sum(len(one.scores) for one in first.state.contenders)
    asked.clear()
    again = frugally(floor=0.5, expected=model_first, responses=cache, finish=True)
    assert asked == steps
    assert again.state == first.state
    assert again.record is not None
    assert (again.record.status, again.record.answers) == ("done", 128)
    finishing = again.record.spent.energy_j
    assert None not in (finishing, again.spent_j)
    assert again.spent_j > finishing > 0  # type: ignore[operator]
    counts = [len(one.scores) for one in first.state.contenders]
    assert again.record.environment["cached_replies"] == counts[1]
    assert cache.count() == kept + 128 - counts[1]
    statuses = {record.name: record.status for record in load_records(tmp_path / "runs")}
    assert statuses == {"zero-shot": "skipped", "classical": "done"}
    # A whole record is used as it is: nothing is asked, nothing written.
    entries = len(load_ledger(tmp_path / "runs"))
    third = frugally("runs={classical: [classical]}", floor=0.5, responses=cache)
    assert third.stop.chosen == 0
    assert len(third.state.contenders[0].scores) == 128
    assert len(load_ledger(tmp_path / "runs")) == entries
    assert load_records(tmp_path / "runs")[0].status == "done"


def test_where_nothing_tells_what_runs_take_the_comparison_plans_first(
    frugally: Frugally, recipe: Path
) -> None:
    planned: list[str] = []

    def plan() -> None:
        """Say of the first run of the recipe that it takes more than the second."""
        for job, joules in zip(jobs_of(load_recipe(str(recipe))), (9.0, 4.0), strict=True):
            planned.append(job.name)
            phase = PredictedPhase(energy_j=Expected.exactly(joules))
            phases = {"load": PredictedPhase(energy_j=NOTHING), "answer": phase}
            keep_prediction(job.key, Predicted(phases=phases))

    def fails() -> None:
        raise InputError("no calibration to be had")

    said: list[str] = []
    found = frugally(plan=fails, say=said.append)
    assert "there is no plan to order the runs by: no calibration to be had" in said
    assert ([job.name for job in found.jobs], planned) == (["zero-shot", "few-shot"], [])
    assert found.expected == (None, None)
    found = frugally(plan=plan)
    assert [job.name for job in found.jobs] == ["few-shot", "zero-shot"]
    assert found.expected == (4.0, 9.0)
    frugally(plan=plan)
    assert planned == ["zero-shot", "few-shot"]  # the second comparison knows


@pytest.mark.usefixtures("labels")
def test_scores_of_a_trial_are_those_of_the_whole_run(
    frugally: Frugally, task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which questions ask for a label is known of all: of these three, and the first batch has
    none of them, so that among themselves its questions would all ask for one."""
    with (task_folder / "task.yaml").open("a", encoding="utf-8") as file:
        file.write("metrics: [accuracy]\n")
    test = task_folder / "test.jsonl"
    rows = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines()]
    last = random.Random(ORDER_SEED).sample(range(128), 128)[-3:]
    kinds = dict.fromkeys(last, "classification")
    write_rows(test, [{**row, "kind": kinds.get(n, "fact")} for n, row in enumerate(rows)])
    seen: list[tuple[float | None, ...]] = []
    ask = Trials.ask

    def noted(self: Trials, job: Any, upto: int) -> Any:
        found = ask(self, job, upto)
        seen.append(found[1])
        return found

    monkeypatch.setattr(Trials, "ask", noted)
    found = frugally("runs={classical: [classical]}", floor=0.99, finish=True)
    assert found.record is not None
    whole = found.record.scores["accuracy"]
    assert len(seen) > 2
    assert seen[0] == (None,) * 16
    for scores in seen:
        assert scores == tuple(whole[place] for place in found.state.order[: len(scores)])


def test_where_none_reaches_the_floor_the_best_is_named_and_all_were_asked(
    frugally: Frugally,
) -> None:
    found = frugally(floor=0.9)
    assert (found.stop.chosen, found.stop.best, found.stop.beside) == (None, 0, (1,))
    words = decision_of(found)
    assert words[0] == "No run reaches token F1 0.9."
    assert words[1].startswith("The best is zero-shot, with 0.00 on 12 of 12 questions; these")
    assert [row[-1] for row in table_of(found).rows] == ["the best", "beside it"]
    assert json.loads(json.dumps(plain_of(found)))["beside"] == ["few-shot"]


def test_a_run_that_cannot_be_done_is_out_and_one_that_breaks_too(
    frugally: Frugally, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = "runs={plain: [], merged: [merge]}"
    refused = frugally(runs, floor=0.5)
    tried = frugally(runs, floor=0.5, refused=lambda job: "")
    known = frugally(
        runs, floor=0.5, expected=lambda job: Cost(1.0) if job.name == "plain" else None
    )
    assert known.whole_j is not None  # of those that can run
    for found in (refused, tried):
        assert found.state.contenders[1].out.startswith("merge: there is no adapter to merge")
        assert [row[-1] for row in table_of(found).rows] == ["the best", "cannot run"]

    def breaks(*given: Any, **more: Any) -> Any:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("wattune.frugal.trials.Session", breaks)
    found = frugally("runs={broken: []}", floor=0.5, responses=None)
    assert "no such luck" in found.state.contenders[0].out
    assert decision_of(found)[1] == "No run could be asked."


@pytest.mark.parametrize(
    ("metric", "floor", "sentence"),
    [
        ("rouge_l", 0.5, 'metric "rouge_l": task ferry is scored by token_f1'),
        (None, 0.0, "a floor of 0: a share above 0 and at most 1"),
        (None, 70.0, "a floor of 70: a share above 0"),
    ],
)
def test_what_cannot_be_decided_by_is_refused_before_anything_is_asked(
    frugally: Frugally,
    asked: list[tuple[str, int]],
    metric: str | None,
    floor: float,
    sentence: str,
) -> None:
    with pytest.raises(InputError, match=sentence):
        frugally(floor=floor, metric=metric)
    assert asked == []


def test_a_metric_that_is_no_mean_of_scores_by_question_is_refused(
    ferry: Any,
) -> None:
    task = replace(ferry, metrics=("macro_f1", "agreement", "refusal_rate", "token_f1"))
    for metric, why in [
        ("macro_f1", "no mean over questions"),
        ("agreement", "compares answers to several"),
        ("refusal_rate", "better when lower"),
    ]:
        with pytest.raises(InputError, match=why):
            decidable(task, metric, 0.5)
    assert decidable(task, "token_f1", None) == "token_f1"


def test_the_verb_prints_the_decision_and_exits_with_3_where_the_floor_is_missed(
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wattune.cli.frugal.planned", lambda *given: None)

    def verb(*overrides: str, min_quality: float | None, as_json: bool = False) -> str:
        compare_frugal(
            str(recipe), list(overrides), Path("runs"), False, False, True, False, min_quality,
            as_json=as_json,
        )  # fmt: skip
        return capsys.readouterr().out

    with pytest.raises(typer.Exit) as ended:
        verb(min_quality=0.8)
    assert ended.value.exit_code == 3
    assert "No run reaches token F1 0.8." in capsys.readouterr().out
    found = json.loads(verb(min_quality=None, as_json=True))
    assert (found["chosen"], found["best"], found["questions"]) == (None, "zero-shot", 12)
    assert "zero-shot is the only run" in verb("runs={zero-shot: []}", min_quality=None)
    with pytest.raises(InputError, match="--frugal runs a recipe, and runs holds records"):
        compare_frugal("runs", [], Path("runs"), False, False, True, False, 0.5)
    for name, value in zip(VARIABLES, "0022", strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="compare --frugal runs in one process"):
        verb(min_quality=0.5)
