"""By hardware: the same System paired over machines, and whether orders hold."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.by_hardware import ByHardware
from wattune.compare.transfer import project
from wattune.measure.calibration import Calibration, Rates
from wattune.measure.record import Bill, Energy, Phase, Record
from wattune.measure.statistics import bootstrap_mean
from wattune.measure.store import write_record
from wattune.measure.work import Work

QUESTIONS = 40


def record(
    name: str, place: str = "laptop", joules: float | None = 80.0, *, right: int = 20,
    seed: int = 0, **changes: Any,
) -> Record:  # fmt: skip
    """A run on a machine; `right` of its 40 answers are."""
    scores = [1.0] * right + [0.0] * (QUESTIONS - right)
    how: Any = "failed" if joules is None else "counter"
    energy = {"cpu": Energy(energy_j=joules, provenance=how)}
    given: dict[str, Any] = {
        "name": name, "key": f"{name}-{place}-{seed}", "created_at": "2026-01-01", "seed": seed,
        "recipe": {"runs": {name: []}, "place": place, "seed": seed, "task": f"on {place}"},
        "system": {"kind": "local", "model": {"name": "tiny", "revision": "r"}},
        "environment": {
            "hardware": {"cpu": place, "cores_logical": 2},
            "machine": {"device": "cpu", "dtype": "float32"},
        },
        "task": {"name": "ferry", "items": "01", "metrics": ["contained"]},
        "fingerprints": {"scorer": "s"}, "prepare": Bill(),
        "phases": {"answer": Phase(duration_s=10.0, energy_j=joules, components=energy)},
        "answers": QUESTIONS, "work": {"answer": Work(flops=1e11, bytes_moved=1e10)},
        "quality": {"contained": bootstrap_mean(scores)}, "scores": {"contained": tuple(scores)},
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


def by_hardware(*records: Record) -> ByHardware:
    return ByHardware(compare(list(records)))


def texts(found: ByHardware) -> str:
    return " ".join(found.notes())


def test_the_same_system_is_paired_over_machines() -> None:
    found = by_hardware(
        record("rag"), record("lora", joules=40.0), record("rag", "server", 8.0, right=19),
        record("lora", "server", 4.0),
    )  # fmt: skip
    assert [machine.name.split(",")[0] for machine in found.machines] == ["laptop", "server"]
    places, quality, costs = found.tables()
    assert [row[0] for row in places.rows] == ["A", "B"]
    rag = quality.rows[0]
    assert rag[:3] == ("rag", "0.500", "0.475")
    assert rag[3].startswith("−0.03 [−0.07")
    assert rag[4] == "39 of 40"
    assert costs.rows[0] == ("rag", "2", "0.2", "0.10", "0.25", "0.25", "1.00")
    pair = found.pairs[0]
    assert pair.energy is not None
    assert pair.energy.tau == 1.0
    assert "by J an answer it is the same (Kendall's tau 1.00)" in texts(found)


def test_pairs_that_turn_are_named_and_doubted_where_they_may_be_chance() -> None:
    surely = by_hardware(
        record("rag"), record("lora", joules=40.0),
        record("rag", "server", 4.0), record("lora", "server", 9.0),
    )  # fmt: skip
    assert "1 of 1 pairs turn (Kendall's tau −1.00): rag and lora;" in texts(surely)
    perhaps = by_hardware(
        record("rag"), record("lora", joules=40.0),
        record("rag", "server", 8.9), record("lora", "server", 9.0),
    )  # fmt: skip
    assert "rag and lora (not told apart on B)" in texts(perhaps)


def test_quality_may_turn_too() -> None:
    found = by_hardware(
        record("rag", right=5), record("lora", right=35),
        record("rag", "server", right=34), record("lora", "server", right=4),
    )  # fmt: skip
    assert found.pairs[0].quality is not None
    assert found.pairs[0].quality.turned == ((0, 1),)
    assert "by contained 1 of 1 pairs turn" in texts(found)


@pytest.mark.parametrize("records", [[record("rag")], [record("rag"), record("lora")]])
def test_one_machine_alone_says_how_to_have_two(records: list[Record]) -> None:
    found = by_hardware(*records)
    assert found.pairs == []
    assert len(found.tables()) == 1
    assert "No run was measured on two machines" in texts(found)
    assert found.to_csv().startswith("run")


def test_one_run_in_common_has_no_order() -> None:
    found = by_hardware(record("rag"), record("rag", "server"), record("lora"))
    assert "one run in common" in texts(found)
    assert "Left out" in texts(found)
    assert "lora" in found.notes()[-1]


def test_identical_machines_are_one_and_their_newest_record_counts() -> None:
    older, newer = record("rag"), record("rag", joules=160.0, created_at="2026-02-02")
    found = by_hardware(newer, older, record("rag", "server"))
    assert [len(machine.rows) for machine in found.machines] == [1, 1]
    assert found.plain()["runs"][0]["answer_j"] == 4.0
    assert "newer one: rag" in texts(found)


@pytest.mark.parametrize(
    "other",
    [
        record("rag", "server", task={"name": "ferry", "items": "02", "metrics": ["contained"]}),
        record("rag", "server", fingerprints={"scorer": "another"}),
        record("rag", "server", recipe={"runs": {"rag": [{"rag": {"k": 3}}]}}),
        record("rag", "server", system={"kind": "local", "model": {"name": "big"}}),
        record("rag", "server", seed=1),
        record("rag", "server", recipe={}),
    ],
)
def test_other_systems_questions_scorers_and_seeds_are_not_paired(other: Record) -> None:
    assert by_hardware(record("rag"), other).pairs == []


def test_precision_alone_makes_another_machine() -> None:
    half = record("rag", joules=40.0)
    half = half.model_copy(
        update={"environment": {**half.environment, "machine": {"dtype": "bfloat16"}}}
    )
    assert len(by_hardware(record("rag"), half).pairs) == 1


def test_of_several_seeds_those_that_both_have() -> None:
    found = by_hardware(
        *(record("rag", seed=seed, joules=80.0 * (seed + 1)) for seed in (0, 1, 2)),
        *(record("rag", "server", seed=seed) for seed in (1, 2)),
    )
    here, there = found.plain()["runs"]
    assert (here["seeds"], there["seeds"]) == ("1 2", "1 2")
    assert here["answer_j"] == pytest.approx((4.0 + 6.0) / 2)


def test_no_name_is_run_by_a_spreadsheet() -> None:
    found = by_hardware(record("=1+1"), record("=1+1", "server"))
    names = {row["run"] for row in csv.DictReader(io.StringIO(found.to_csv()))}
    assert names == {"'=1+1"}


def test_failed_meters_leave_the_order_unknown_and_cells_empty() -> None:
    found = by_hardware(
        record("rag"), record("lora"), record("rag", "server", None), record("lora", "server"),
    )  # fmt: skip
    assert found.pairs[0].energy is None
    assert "by J an answer it is not known" in texts(found)
    assert found.tables()[2].rows[0][:4] == ("rag", "2", "–", "–")
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert rows[1]["answer_j"] == ""
    json.dumps(found.plain(), allow_nan=False)


def test_other_ways_of_knowing_joules_are_told() -> None:
    modelled = {"cpu": Energy(energy_j=80.0, provenance="modelled_load")}
    other = record("rag", "server", phases={
        "answer": Phase(duration_s=5.0, energy_j=80.0, components=modelled)
    })  # fmt: skip
    assert "two ways of knowing" in texts(by_hardware(record("rag"), other))


def test_records_stand_beside_their_projection() -> None:
    rates = Rates(s_per_flop=1e-12, s_per_byte=1e-10, pieces=1, watts=50.0)
    onto = Calibration(
        machine={"device": "cuda", "dtype": "float32"}, rates={"answering": rates},
        environment={"hardware": {"cpu": "server"}},
    )  # fmt: skip
    measured = [record("rag"), record("lora", joules=40.0)]
    made, _ = project(measured, onto=onto)
    found = by_hardware(*measured, *made)
    assert [machine.name for machine in found.machines][1].endswith("projected")
    assert len(found.pairs[0].runs) == 2
    assert [row["projected"] for row in found.plain()["runs"]] == [False, True, False, True]
    assert "PROJECTED, not measured" in texts(found)


def test_the_verbs_project_and_lay_out_by_hardware(
    wattune: Callable[..., Any], tmp_path: Path
) -> None:
    for place, joules in (("laptop", 80.0), ("server", 8.0)):
        write_record(tmp_path / place, record("rag", place, joules), [])
        write_record(tmp_path / place, record("lora", place, joules / 2), [])
    ran = wattune("compare", "laptop", "server", "--by", "hardware")
    assert ran.code == 0
    assert "Kendall's tau 1.00" in ran.out.replace("\n", " ")
    told = wattune("compare", "laptop", "server", "--by", "hardware", "--format", "json")
    assert [row["machine"] for row in json.loads(told.out)["runs"]] == ["A", "B", "A", "B"]
    rates = Rates(s_per_flop=1e-12, s_per_byte=1e-10, pieces=1, watts=50.0)
    Calibration(
        machine={"device": "cuda", "dtype": "float32"}, rates={"answering": rates},
        environment={"hardware": {"cpu": "rack"}},
    ).save(tmp_path / "rack.json")  # fmt: skip
    moved = wattune("compare", "laptop", "--on", "rack.json")
    assert moved.code == 0
    assert "Projected onto rack" in moved.out
    advised = wattune("advise", "laptop", "--answers-per-day", 10, "--on", "rack.json")
    assert advised.code == 0
    assert "(projected)" in advised.out
    assert wattune("compare", "laptop", "--parameters", "many").code == 2
    assert wattune("compare", "laptop", "--from", "rack.json").code == 2
