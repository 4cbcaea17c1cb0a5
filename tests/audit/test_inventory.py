"""The inventory: all that was metered, once, by the rules of the ledger and of the records."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.audit.inventory import FIGURES, inventory
from wattune.errors import InputError, StorageError
from wattune.measure.ledger import Entry, load_ledger, totals
from wattune.measure.record import Bill, Record
from wattune.measure.store import load_records

Make = Callable[..., Any]


def ledger_total(folder: Path) -> Any:
    return totals(load_ledger(folder, load_records(folder)))[-1]


@pytest.mark.parametrize("seed", range(20))
def test_lines_add_up_to_the_ledger_whatever_lies_there(
    tmp_path: Path, put: Make, entry: Make, record: Make, seed: int
) -> None:
    draw = random.Random(seed)
    for number in range(draw.randint(1, 12)):
        joules = draw.choice([None, draw.uniform(0, 1e6), draw.uniform(0, 1e-3)])
        made: Entry = entry(
            number,
            bill=Bill(energy_j=joules if draw.random() < 0.3 or joules else 1.0, duration_s=2.0),
            status=draw.choice(["done", "failed", "stopped", "killed", "skipped"]),
            activity=draw.choice(["run", "ask", "idle", "drafting"]),
            key=f"{draw.randint(0, 5):016x}",
            carbon=draw.choice([None, entry(0).carbon, entry(0).carbon]),
        )
        left: Record | None = record(made) if draw.random() < 0.5 else None
        put(made if draw.random() < 0.8 or left is None else None, left, f"runs/{number % 3}")
    found = inventory(tmp_path / "runs")
    ledger = ledger_total(tmp_path / "runs")
    assert found.agrees
    assert "add up to the total" in found.check[0]
    assert found.sums["energy_j"].total == ledger.bill.energy_j
    assert found.sums["duration_s"].total == ledger.bill.duration_s
    assert found.sums["operational_g"].total == ledger.emissions_g
    assert len(found.lines) == ledger.count
    for name in FIGURES:
        values = [getattr(line, name) for line in found.lines]
        known = [value for value in values if value is not None]
        assert found.sums[name].known == sum(known)
        assert found.sums[name].lacking == values.count(None)
        assert (found.sums[name].total is None) == (None in values)


def test_a_record_adds_nothing_to_its_entry(put: Make, entry: Make, record: Make) -> None:
    folder = put(entry(1), record(entry(1)))
    (line,) = inventory(folder).lines
    # 7,200 J are 2 Wh, at 50 g/kWh 0.1 g; nine tenths of it stand in the record.
    assert line.energy_j == 7200
    assert line.operational_g == pytest.approx(0.1)
    assert line.record_energy_j == pytest.approx(6480)
    (kept,) = load_records(folder)
    assert kept.footprint is not None
    assert line.record_operational_g == kept.footprint.operational_g == pytest.approx(0.09)
    assert (line.factor, line.factor_unit, line.factor_year) == (50.0, "g CO2e/kWh", 2023)
    assert (line.factor_source, line.factor_provider, line.factor_fallback) == (
        "a table", "static", "",
    )  # fmt: skip
    assert line.software == "wattune 0.1.0, code c0de"


def test_attempts_before_the_record_count_and_hold_nothing_of_it(
    put: Make, entry: Make, record: Make
) -> None:
    last = entry(9, key="same")
    put(entry(1, key="same", status="killed"))
    put(entry(3, key="same", status="failed"))
    folder = put(last, record(last))
    found = inventory(folder)
    assert [line.record_energy_j for line in found.lines] == [None, None, pytest.approx(6480)]
    assert {line.record_key for line in found.lines} == {"same"}
    assert found.sums["energy_j"].total == 3 * 7200
    assert any("run-1 (killed)" in note and "heartbeat" in note for note in found.notes)


def test_copies_count_once_and_are_named(tmp_path: Path, put: Make, entry: Make) -> None:
    folder = put(entry(1))
    put(entry(2))
    shutil.copytree(folder, tmp_path / "runs" / "copy")
    found = inventory(tmp_path / "runs")
    assert found.sums["energy_j"].total == 2 * 7200
    assert ledger_total(tmp_path / "runs").bill.energy_j == 4 * 7200
    assert not found.agrees
    assert "14400 and `wattune ledger` to 28800" in found.check[0]
    assert "ferry/ledger/entry-1.json" in found.check[-1]


def test_of_a_copy_made_meanwhile_the_later_state_counts(
    tmp_path: Path, put: Make, entry: Make
) -> None:
    put(entry(1, bill=Bill(energy_j=10.0, duration_s=1.0), status="running"), None, "runs/early")
    put(entry(1, updated_at="2026-11-01T02:00:00+00:00"), None, "runs/late")
    (line,) = inventory(tmp_path / "runs").lines
    assert (line.energy_j, line.status) == (7200, "done")


def test_a_run_of_before_there_was_a_ledger_is_a_line(put: Make, entry: Make, record: Make) -> None:
    (line,) = inventory(put(None, record(entry(4)))).lines
    assert line.energy_j == line.record_energy_j == pytest.approx(6480)
    assert (line.entry, line.entry_sha256) == ("", "")
    assert line.record_sha256


@pytest.mark.parametrize(
    ("boundary", "scope2", "scope3"),
    [("owned", 0.1, None), ("leased", 0.1, None), ("cloud", None, 0.1), ("managed", None, 0.1)],
)
def test_scopes_follow_the_boundary(
    put: Make, entry: Make, record: Make, boundary: str, scope2: Any, scope3: Any
) -> None:
    folder = put(entry(1), record(entry(1), {"boundary": boundary, "market_g_per_kwh": 10.0}))
    (line,) = inventory(folder).lines
    assert line.boundary == boundary
    assert line.scope2_location_g == (scope2 and pytest.approx(scope2))
    assert line.scope2_market_g == (scope2 and pytest.approx(0.02))
    assert line.scope3_g == (scope3 and pytest.approx(scope3))


def test_what_has_no_record_is_as_the_runs_beside_it(put: Make, entry: Make, record: Make) -> None:
    put(entry(0, activity="idle", name="baseline", key=""))
    folder = put(entry(1), record(entry(1), {"boundary": "owned"}, provenance="counter"))
    idle, _ = inventory(folder).lines
    assert (idle.boundary, idle.energy_known_by) == ("owned", "cpu counter")
    put(entry(2), record(entry(2), {"boundary": "cloud"}))
    idle, *_ = inventory(folder).lines
    assert idle.boundary is None  # they differ, so nobody says whose machine it was
    assert [line.boundary for line in inventory(folder, "leased").lines] == [
        "leased", "owned", "cloud",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ("counter", "within 10 %"),
        ("modelled_load", "within 50 %"),
        ("constant", "within 50 %"),
        ("integrated_power", "not stated"),
        ("provider_reported", "not stated by the provider"),
        ("failed", "there is no figure"),
    ],
)
def test_no_more_is_claimed_than_the_method_does(
    put: Make, entry: Make, record: Make, provenance: str, said: str
) -> None:
    (line,) = inventory(put(entry(1), record(entry(1), provenance=provenance))).lines
    assert said in line.uncertainty
    guide = (Path(__file__).parents[2] / "docs" / "measuring.md").read_text(encoding="utf-8")
    assert "counters for right within 10 %, and modelled\nfigures within 50 %" in guide


def test_a_declared_pue_that_the_ledger_leaves_out_is_told(
    put: Make, entry: Make, record: Make
) -> None:
    put(entry(0, activity="idle", name="baseline", key=""))
    counted = entry(1, carbon=entry(1).carbon.model_copy(update={"pue": 1.5}))
    found = inventory(put(counted, record(counted, {"pue": 1.5})))
    assert found.agrees
    assert [line.pue for line in found.lines] == [1.0, 1.5]
    assert any("idle baseline" in note and "PUE of 1.5" in note for note in found.notes)
    assert not any("run-1" in note for note in found.notes)


def test_what_the_ledger_does_not_hold_of_a_record_is_told(
    put: Make, entry: Make, record: Make
) -> None:
    more = record(entry(1), spent=Bill(energy_j=8000.0, duration_s=50.0))
    found = inventory(put(entry(1), more))
    assert any("800 J more than the ledger" in note for note in found.notes)


def test_a_providers_own_figure_stands_for_its_run_alone(
    put: Make, entry: Make, record: Make
) -> None:
    put(entry(0, activity="idle", name="baseline", key=""))
    made = record(entry(1), {"boundary": "cloud", "report": "export.csv"})
    reported = made.footprint.model_copy(
        update={"method": "provider_reported", "operational_g": 9.0, "scope3_g": 9.0}
    )
    idle, line = inventory(put(entry(1), made.model_copy(update={"footprint": reported}))).lines
    assert (line.method, line.scope3_g, line.record_operational_g) == ("provider_reported", 9, 9)
    assert line.operational_g == pytest.approx(0.1)  # the ledger's, by the intensity
    assert (idle.method, idle.boundary, idle.scope3_g) == ("provider_reported", "cloud", None)


def test_hashes_are_those_of_the_files(
    tmp_path: Path, put: Make, entry: Make, record: Make
) -> None:
    put(entry(1), record(entry(1)))
    (line,) = inventory(tmp_path / "runs").lines
    for name, told in ((line.record, line.record_sha256), (line.entry, line.entry_sha256)):
        content = (tmp_path / "runs" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == told


def test_the_sheet_holds_every_line_and_the_total(put: Make, entry: Make, record: Make) -> None:
    put(entry(1, name="=HYPERLINK(1)|<b>", reason="a\nb"), None)
    found = inventory(put(entry(2), record(entry(2))))
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["line"] for row in rows] == ["1", "2", "total"]
    assert rows[0]["name"].startswith("'=")
    assert (
        float(rows[-1]["energy_j"]) == 2 * 7200 == sum(float(row["energy_j"]) for row in rows[:2])
    )
    assert rows[-1]["scope2_location_g"] == ""
    assert rows[1]["record_sha256"] == found.lines[1].record_sha256
    text = found.to_markdown()
    assert "=HYPERLINK(1)\\|&lt;b>" in text
    assert found.lines[1].record_sha256 in text
    assert "| energy, J | 14400 | 0 |" in text
    assert "| scope 2 location, g CO2e | not known | 2 |" in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| 1 | 2026")}
    assert widths == {12}


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", '{"id": "x"}', '{"updated_at": "long ago"}', '{"bill": {"energy_j": NaN}}'],
)
def test_a_damaged_entry_is_an_error_that_names_it(put: Make, entry: Make, damage: str) -> None:
    folder = put(entry(1))
    (file,) = (folder / "ledger").iterdir()
    if damage.startswith('{"updated') or "NaN" in damage:
        plain = entry(1).model_dump_json()
        old = '"updated_at":"2026-11-01T00:02:00+00:00"' if "upd" in damage else '"energy_j":7200.0'
        assert old in plain
        file.write_text(plain.replace(old, damage.strip("{}").removeprefix('"bill": {')))
    else:
        file.write_text(damage)
    with pytest.raises(StorageError, match=r"entry-1\.json"):
        inventory(folder)


def test_a_damaged_record_is_an_error_and_an_empty_folder_too(
    tmp_path: Path, put: Make, entry: Make, record: Make
) -> None:
    folder = put(entry(1), record(entry(1)))
    (file,) = folder.glob("*.json")
    file.write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        inventory(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing was metered there"):
        inventory(tmp_path / "empty")
    with pytest.raises(InputError, match="is no folder"):
        inventory(tmp_path / "nowhere")
