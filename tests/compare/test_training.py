"""The training bill and its curves: what was trained, what it cost, and a real picture of it."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.curves import curves_of, draw_curves
from wattune.compare.table import plain_rows
from wattune.errors import CannotRun
from wattune.measure.record import Bill, Record, StageRecord
from wattune.measure.work import Work


def tuned(name: str = "lora", key: str = "k1", **changes: Any) -> Record:
    """A record of ten steps that took 3,600 J, of which 360 J each step."""
    details = {
        "steps": 10,
        "examples": 24,
        "tokens": 5000,
        "trainable_parameters": 1234,
        "final_loss": 0.5,
        "losses": [[step, 3.0 - 0.25 * step] for step in range(1, 11)],
        "validation_losses": [[5, 2.0], [10, 0.9]],
        "energy_curve": [[step, 360.0 * step] for step in range(1, 11)],
        "best_step": 10,
        "best_validation_loss": 0.9,
        "stopped": "early_stopping",
        **changes,
    }
    stage = StageRecord(
        strategy=name,
        key=key,
        reused=False,
        spent=Bill(),
        attributed=Bill(energy_j=3600.0, duration_s=50.0),
        work=Work(flops=2.5e12),
        details=details,
    )
    return Record(name=name, key=f"record-{name}-{key}", stages=(stage,), task={"name": "ferry"})


PLAIN = Record(name="zero-shot", key="z", task={"name": "ferry"})


def training_table(*records: Record) -> Any:
    return next((t for t in compare(records).tables() if t.title == "Training"), None)


def test_the_table_tells_what_a_training_did_and_cost() -> None:
    table = training_table(PLAIN, tuned())
    headers = [header.replace("\n", " ") for header in table.headers]
    assert headers == [
        "training", "steps", "tokens", "tokens per s", "trained parameters", "final loss",
        "best valid. loss", "at step", "Wh", "GFLOP", "s", "stopped",
    ]  # fmt: skip
    assert table.rows == (
        ("lora", "10", "5,000", "100", "1,234", "0.500", "0.900", "10", "1.000", "2,500.0", "50",
         "early_stopping"),
    )  # fmt: skip
    assert training_table(PLAIN) is None
    assert "stopped" not in training_table(tuned(stopped=None, best_step=None)).rows[0]


def test_each_training_has_a_row_and_a_shared_one_stands_once() -> None:
    first, second = tuned("healing", "k1"), tuned("lora", "k2", final_loss=0.25)
    both = first.model_copy(update={"name": "both", "stages": (*first.stages, *second.stages)})
    rows = training_table(both, second).rows
    assert [row[0] for row in rows] == ["both: healing", "both: lora, lora"]
    twice = first.model_copy(update={"stages": (*first.stages, *tuned("healing", "k3").stages)})
    assert [row[0] for row in training_table(twice).rows] == [
        "healing: healing 1", "healing: healing 2",
    ]  # fmt: skip
    sharing = [
        second.model_copy(update={"name": f"tree-rag+k={k}", "key": f"t{k}"}) for k in (1, 2)
    ]
    (label,) = [row[0] for row in training_table(both, second, *sharing).rows[1:]]
    assert label == "both: lora, lora,\ntree-rag+k=1, tree-rag+k=2"
    assert [row[5] for row in rows] == ["0.500", "0.250"]
    (note,) = [note for note in compare([both]).notes() if note.startswith("Training")]
    assert "last tenth" in note


def test_files_have_a_run_s_trainings_summed_and_the_last_that_answers() -> None:
    first, second = tuned("healing", "k1"), tuned("lora", "k2", final_loss=0.25)
    both = first.model_copy(update={"stages": (*first.stages, *second.stages)})
    (row,) = plain_rows(compare([both]))
    assert (row["training_steps"], row["training_tokens"]) == (20, 10_000)
    assert (row["final_loss"], row["training_wh"]) == (0.25, 2.0)
    unmetered = both.stages[1].model_copy(update={"attributed": Bill(energy_j=None)})
    half = both.model_copy(update={"stages": (both.stages[0], unmetered)})
    assert plain_rows(compare([half]))[0]["training_wh"] is None  # half of a sum is none


def test_what_killed_attempts_lost_has_a_column() -> None:
    lost = tuned(lost={"energy_j": 1800.0, "duration_s": 4.0, "net_energy_j": None})
    table = training_table(lost)
    assert table.rows[0][[h.replace("\n", " ") for h in table.headers].index("lost Wh")] == "0.500"
    assert any(note.startswith("Lost Wh") for note in compare([lost]).notes())


def test_files_have_the_figures_under_names_with_units() -> None:
    rows = plain_rows(compare([PLAIN, tuned()]))
    assert rows[0]["training_wh"] is None
    assert (rows[1]["training_wh"], rows[1]["training_steps"]) == (1.0, 10)
    assert "training_wh" not in plain_rows(compare([PLAIN]))[0]


def test_a_training_that_runs_share_is_one_curve_and_seeds_are_named() -> None:
    shared = tuned("lora+rag", "k1")
    other = tuned("lora", "k2").model_copy(update={"seed": 1})
    assert [curve.label for curve in curves_of([PLAIN, tuned(), shared, other])] == [
        "lora (seed 0)", "lora (seed 1)",
    ]  # fmt: skip
    (curve,) = curves_of([tuned()])
    assert curve.validation == [(5.0, 2.0), (10.0, 0.9)]


def test_a_later_stage_begins_where_the_one_before_ended() -> None:
    first, second = tuned("healing", "k1"), tuned("lora", "k2")
    both = first.model_copy(update={"stages": (*first.stages, *second.stages)})
    one, other = curves_of([both])
    assert (one.joules[0], one.joules[-1]) == ((1.0, 360.0), (10.0, 3600.0))
    assert (other.joules[0], other.joules[-1]) == ((1.0, 3960.0), (10.0, 7200.0))
    dark = first.stages[0].model_copy(update={"attributed": Bill(energy_j=None)})
    unknown = both.model_copy(update={"stages": (dark, *second.stages)})
    assert [bool(curve.joules) for curve in curves_of([unknown])] == [True, False]


def svg(*records: Record) -> str:
    pytest.importorskip("matplotlib", reason="comes with wattune[plot]")
    return draw_curves(records, "svg").decode("utf-8")


def test_the_picture_has_both_axes_and_the_size_it_promises() -> None:
    text = svg(tuned(), tuned("full", "k2"))
    for label in ("optimizer steps", "Wh that preparing the run took so far", ">lora<", ">full<",
                  "Training on ferry", "loss, nats a token"):  # fmt: skip
        assert label in text, label
    assert text == svg(tuned(), tuned("full", "k2"))
    content = draw_curves([tuned()], "png")
    assert struct.unpack(">II", content[16:24]) == (1584, 662)


def test_small_energies_are_in_joules_and_unmetered_ones_are_said() -> None:
    few = tuned(energy_curve=[[step, float(step)] for step in range(1, 11)])
    assert "J that preparing the run took so far" in svg(few)
    assert "energy was not metered" in svg(tuned(energy_curve=[]))
    assert "energy was not metered" not in svg(tuned())
    without = tuned(validation_losses=[])
    assert ">lora<" in svg(without)


def test_nothing_trained_is_said() -> None:
    with pytest.raises(CannotRun, match="none of these runs trained anything"):
        draw_curves([PLAIN], "png")
