"""What a plan tallies is what the run then tallies, once it is told how long the answers are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattune.compare.planned import outcomes
from wattune.measure.predicted import Expected
from wattune.measure.store import load_records
from wattune.planning import Calibration, plan_recipe
from wattune.planning.written import lengths_of
from wattune.recipe import Recipe, parse_recipe
from wattune.run import run_recipe

TRAIN = {"num_train_epochs": 1, "eval_strategy": "no"}


@pytest.fixture
def several(task_folder: Path, chat_model: Path, embedder: str) -> Recipe:
    """Prompts, an index, a tree beside it, votes, an adapter, all weights."""
    rag = {"embedder": embedder, "k": 2, "chunk_tokens": 40}
    runs: dict[str, Any] = {
        "zero-shot": [],
        "few-shot": [{"prompt": {"shots": 2}}],
        "votes": [{"self_consistency": {"samples": 3}}],
        "rag": [{"rag": rag}],
        "tree-rag": [{"tree_rag": {"rag": rag}}],
        "lora": [{"lora": {"r": 2, **TRAIN}}],
        "full": [{"full_fine_tuning": TRAIN}],
    }
    return parse_recipe(
        {
            "task": str(task_folder), "model": str(chat_model), "place": "FRA",
            "realtime_questions": 2, "general_questions": 0, "baseline_s": 0,
            "decoding": {"max_tokens": 4}, "runs": runs,
        },
        name="several",
    )  # fmt: skip


def test_given_the_lengths_tokens_and_operations_are_those_of_the_run(
    several: Recipe, tmp_path: Path, calibration: Calibration
) -> None:
    """Exactly for prompts; passages depend on the embedder, whose stand-in finds others."""
    records = run_recipe(several, tmp_path / "runs")
    assert {record.status for record in records} == {"done"}, [r.reason for r in records]
    written = {record.name: lengths_of(tmp_path / "runs", record) for record in records}
    plan = plan_recipe(several, calibration, known=written)
    by_name = {record.name: record for record in records}
    for run in plan.runs:
        assert run.skipped == ""
        record = by_name[run.job.name].model_copy(update={"predicted": run.predicted})
        found = outcomes(record)
        near = 0.3 if "rag" in record.name else 0.001
        for name in ("tokens_in", "flops"):
            ratio = found[name].ratio
            assert ratio is not None
            assert abs(ratio - 1) <= near, (record.name, name, ratio)


def test_the_next_records_hold_what_was_planned(
    several: Recipe, tmp_path: Path, calibration: Calibration
) -> None:
    few = several.model_copy(update={"runs": {"few-shot": several.runs["few-shot"]}})
    plan = plan_recipe(few, calibration)
    (record,) = run_recipe(few, tmp_path / "runs")
    assert record.predicted == plan.runs[0].predicted
    # What is said of another machine is not held against this one.
    server = calibration.model_copy(update={"environment": {"hardware": {"cpu": "another"}}})
    other = few.model_copy(update={"runs": {"zero-shot": several.runs["zero-shot"]}})
    plan_recipe(other, server)
    (unplanned,) = run_recipe(other, tmp_path / "elsewhere")
    assert unplanned.predicted is None
    (found,) = load_records(tmp_path / "runs")
    assert found.predicted is not None
    assert isinstance(found.predicted.tokens_in, Expected)
    assert found.predicted.calibration == calibration.digest()


def test_what_is_done_or_prepared_costs_nothing_any_more(
    several: Recipe, tmp_path: Path, calibration: Calibration
) -> None:
    """A finished run takes nothing; another one that shares its stages takes them as they are."""
    names = ("rag", "tree-rag")
    two = several.model_copy(update={"runs": {name: several.runs[name] for name in names}})
    before = plan_recipe(two, calibration)
    assert [run.shared for run in before.runs] == [(), ("rag",)]
    one = several.model_copy(update={"runs": {"rag": several.runs["rag"]}})
    (record,) = run_recipe(one, tmp_path / "runs")
    rag, tree = plan_recipe(two, calibration, folder=tmp_path / "runs").runs
    assert rag.done is not None
    assert rag.done.key == record.key
    assert rag.spends.duration_s == Expected.exactly(0)
    assert tree.found == ("rag",)
    assert tree.predicted.phases["prepare"].energy_j is not None
    assert rag.predicted.phases["prepare"].duration_s == Expected.exactly(record.prepare.duration_s)


def test_lengths_come_from_records_of_the_same_kind(
    several: Recipe, tmp_path: Path, calibration: Calibration
) -> None:
    """Another number of shots writes about as long; another limit of tokens does not."""
    few = several.model_copy(update={"runs": {"few-shot": several.runs["few-shot"]}})
    (record,) = run_recipe(few, tmp_path / "runs")
    (step,) = several.runs["few-shot"]
    more = few.model_copy(update={"runs": {"few-shot": [step.model_copy(update={"shots": 3})]}})
    (run,) = plan_recipe(more, calibration, folder=tmp_path / "runs").runs
    assert run.done is None
    told = run.predicted.tokens_out
    assert told is not None
    assert told.likely == record.work["answer"].tokens_out
    assert "as records of like steps hold them, of 12 questions" in run.predicted.basis[0]
    (again,) = plan_recipe(few, calibration, folder=tmp_path / "runs").runs
    assert again.predicted.tokens_out == Expected.exactly(told.likely)
    assert "as its records hold them, of 12 questions" in again.predicted.basis[0]
    (free,) = plan_recipe(more, calibration, folder=tmp_path / "none").runs
    assert "between the gold answers and max_tokens" in free.predicted.basis[0]
