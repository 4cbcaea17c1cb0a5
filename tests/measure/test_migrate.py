"""Records of older schemas."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import StorageError
from wattune.measure.migrate import STEPS, migrate
from wattune.measure.record import SCHEMA_VERSION, Record
from wattune.measure.serving import Batch, Realtime
from wattune.measure.store import load_records
from wattune.measure.work import Work

VERSION_1 = """
{
  "schema_version": 1,
  "name": "t-rag",
  "key": "5b0c3f5de1f84c1a",
  "status": "done",
  "reason": "",
  "created_at": "2026-11-02T10:15:00+00:00",
  "recipe": {
    "task": "harbour",
    "model": "smollm2-135m-q4",
    "seed": 3,
    "runs": {"t-rag": [{"type": "lora", "r": 16}, {"type": "tree_rag"}]}
  },
  "system": {"kind": "local", "model": {"name": "smollm2-135m-q4", "revision": "0f1e2d3c"}},
  "task": {
    "name": "harbour",
    "fingerprint": "aaaaaaaaaaaaaaaa",
    "split": "test",
    "questions": 2,
    "items": "bbbbbbbbbbbbbbbb",
    "metrics": ["token_f1"]
  },
  "stages": [
    {
      "strategy": "lora",
      "key": "1111111111111111",
      "reused": true,
      "spent": {"energy_j": 0.0, "duration_s": 0.0},
      "attributed": {"energy_j": 812.5, "duration_s": 61.25},
      "peak_memory_bytes": 1500000000,
      "artefact_bytes": 1900000,
      "details": {"steps": 40}
    },
    {
      "strategy": "tree_rag",
      "key": "2222222222222222",
      "reused": false,
      "spent": {"energy_j": null, "duration_s": 1.5},
      "attributed": {"energy_j": null, "duration_s": 1.5},
      "peak_memory_bytes": null,
      "artefact_bytes": 40000,
      "details": {}
    }
  ],
  "phases": {
    "load": {
      "duration_s": 0.05,
      "energy_j": 0.6,
      "components": {"ram": {"energy_j": 0.6, "provenance": "constant", "detail": "10 W"}},
      "peak_memory_bytes": 900000000,
      "peak_gpu_memory_bytes": null,
      "below_resolution": true,
      "error": null
    },
    "answer": {
      "duration_s": 8.0,
      "energy_j": 80.0,
      "components": {
        "cpu": {"energy_j": null, "provenance": "failed", "detail": "no load was read"},
        "ram": {"energy_j": 80.0, "provenance": "constant", "detail": "10 W"}
      },
      "peak_memory_bytes": 1200000000,
      "peak_gpu_memory_bytes": null,
      "below_resolution": false,
      "error": null
    }
  },
  "prepare": {"energy_j": null, "duration_s": 62.75},
  "spent": {"energy_j": null, "duration_s": 9.55},
  "answers": 2,
  "quality": {"token_f1": {"value": 0.5, "low": 0.0, "high": 1.0, "n": 2}},
  "quality_by": {"question": {"token_f1": {"value": 0.5, "low": 0.0, "high": 1.0, "n": 2}}},
  "tokens": {"tokens_in": 640, "tokens_out": 18},
  "latency_s": 1.25,
  "artefact_bytes": 1940000,
  "carbon": {
    "place": "FRA",
    "intensity_g_per_kwh": 56.04,
    "source": "codecarbon 3.3.2, global_energy_mix.json: yearly average of the country",
    "year": 2023,
    "kind": "average"
  },
  "environment": {"hardware": {"cpu": "a processor"}, "seed": 3, "wall_s": 12.5},
  "flags": []
}
"""
"""All the fields that schema 1 had, as its runs wrote them."""


def version_1() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(VERSION_1)
    return content


@pytest.fixture
def record() -> Record:
    return Record.model_validate(migrate(version_1()))


def test_there_is_a_step_from_every_older_schema() -> None:
    assert list(STEPS) == list(range(1, SCHEMA_VERSION))


def test_a_record_of_schema_1_is_loaded(tmp_path: Path, record: Record) -> None:
    (tmp_path / "t-rag-5b0c3f5d.json").write_text(VERSION_1)
    assert load_records(tmp_path) == [record]
    assert record.schema_version == SCHEMA_VERSION


def test_what_schema_1_held_is_kept(record: Record) -> None:
    before, after = version_1(), record.plain()
    moved = {"schema_version", "tokens", "latency_s"}
    for name in before.keys() - moved:
        assert _part_of(before[name], after[name]), name
    assert record.work == {"answer": Work(tokens_in=640, tokens_out=18)}
    assert record.seed == 3
    assert record.fingerprints == {"task": "a" * 16, "items": "b" * 16}


def _part_of(old: Any, new: Any) -> bool:
    """Whether all that is in the old JSON stands unchanged in the new."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _part_of(old[name], new[name]) for name in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_part_of, old, new))
    return bool(old == new)


def test_what_schema_1_did_not_measure_is_not_zero(record: Record) -> None:
    bills = [record.prepare, record.spent]
    bills += [bill for stage in record.stages for bill in (stage.spent, stage.attributed)]
    assert [bill.net_energy_j for bill in bills] == [None] * 6
    assert [bill.energy_j for bill in bills] == [None, None, 0.0, 812.5, None, None]
    answer = record.phases["answer"]
    assert (answer.net_energy_j, answer.exclusive_energy_j) == (None, None)
    assert set(answer.utilisation.plain().values()) == {None}
    assert [answer.components[name].coverage for name in ("cpu", "ram")] == [0.0, 1.0]
    assert record.work["answer"].flops is None
    assert (record.baseline, record.footprint, record.money) == (None, None, None)
    assert (record.outcomes, record.scores) == ({}, {})
    assert record.batch == Batch(questions=2, questions_per_s=0.25)
    assert record.realtime == Realtime(latency_p50_s=1.25)  # over how many was not said


def version_2() -> dict[str, Any]:
    """A record of schema 1 as schema 2 had it, with the questions that were asked alone."""
    content = version_1()
    content["schema_version"] = 2
    content["work"] = {"answer": content.pop("tokens")}
    content["phases"]["latency"] = {"duration_s": 2.5, "energy_j": 30.0}
    content["recipe"]["latency_questions"] = 8  # the task has but two
    return content


def test_what_schema_2_said_of_serving_is_moved() -> None:
    found = Record.model_validate(migrate(version_2()))
    assert set(found.phases) == {"load", "answer", "realtime"}
    assert found.recipe["realtime_questions"] == 8
    assert "latency_questions" not in found.recipe
    assert found.batch == Batch(questions=2, questions_per_s=0.25)
    assert found.realtime == Realtime(questions=2, latency_p50_s=1.25, energy_j_per_answer=15.0)


@pytest.mark.parametrize("field", ["recipe", "phases", "answers"])
def test_what_schema_2_did_not_say_of_serving_stays_unknown(field: str) -> None:
    content = version_2()
    del content[field]
    found = Record.model_validate(migrate(content))
    assert found.realtime is not None
    assert found.realtime.latency_p50_s == 1.25
    assert found.realtime.energy_j_per_answer is None
    assert (found.batch is None) == (field != "recipe")


def test_a_run_of_schema_2_that_asked_nothing_alone_or_failed() -> None:
    plain = Record.model_validate(migrate({**version_2(), "latency_s": None}))
    assert plain.realtime is None
    failed = {"schema_version": 2, "name": "x", "key": "y", "status": "failed", "latency_s": None}
    found = Record.model_validate(migrate(failed))
    assert (found.batch, found.realtime) == (None, None)


def test_schema_3_asked_no_general_questions() -> None:
    content = {**migrate(version_1()), "schema_version": 3}
    del content["general"]
    after = migrate(content)
    assert (after["schema_version"], after["general"]) == (SCHEMA_VERSION, None)
    Record.model_validate(after)


def test_the_content_given_is_left_as_it_is() -> None:
    content = version_1()
    before = copy.deepcopy(content)
    migrate(content)
    assert content == before


def test_the_present_schema_is_left_as_it_is(record: Record) -> None:
    assert migrate(record.plain()) == record.plain()


def test_the_seed_of_the_recipe_is_the_second_choice() -> None:
    content = version_1()
    del content["environment"]["seed"]
    content["recipe"]["seed"] = 5
    assert migrate(content)["seed"] == 5


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
def test_schemas_that_never_were(version: Any) -> None:
    with pytest.raises(StorageError, match="never was"):
        migrate({**version_1(), "schema_version": version})


def test_a_newer_schema() -> None:
    with pytest.raises(StorageError, match="newer wattune"):
        migrate({**version_1(), "schema_version": SCHEMA_VERSION + 1})


@pytest.mark.parametrize("nonsense", [17, ["x"], {"x": ["y"]}])
@pytest.mark.parametrize(
    "field", ["stages", "phases", "prepare", "spent", "quality", "tokens", "carbon"]
)
def test_a_damaged_old_record_is_named(tmp_path: Path, field: str, nonsense: Any) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**version_1(), field: nonsense}))
    with pytest.raises(StorageError, match=r"old\.json: the record is damaged"):
        load_records(path)


@pytest.mark.parametrize(
    ("field", "content"), [("environment", {"seed": "x"}), ("task", {"items": 3})]
)
def test_damage_in_what_is_moved_is_named(tmp_path: Path, field: str, content: Any) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**version_1(), field: content}))
    with pytest.raises(StorageError, match=rf"damaged \(.*{next(iter(content))}"):
        load_records(path)


@pytest.mark.parametrize("nonsense", ["x", ["x"], {"x": ["y"]}])
@pytest.mark.parametrize("field", ["latency_s", "answers", "phases"])
def test_damage_in_what_schema_2_said_of_serving_is_named(
    tmp_path: Path, field: str, nonsense: Any
) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**version_2(), field: nonsense}))
    with pytest.raises(StorageError, match=r"old\.json: the record is damaged"):
        load_records(path)


def test_surplus_fields_of_an_old_record_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**version_1(), "guess": 1}))
    with pytest.raises(StorageError, match=r"damaged \(guess"):
        load_records(path)
