"""The ledger: what is kept of finished, failed, interrupted and killed work, and its totals."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattune.errors import CannotRun, StorageError
from wattune.files import write_text
from wattune.measure import ledger as ledgers
from wattune.measure.ledger import Entry, Ledger, load_ledger, parts_of, totals
from wattune.measure.meter import Meter
from wattune.measure.record import Bill, Record


def test_an_entry_holds_all_and_its_parts_add_up_to_it(tmp_path: Path) -> None:
    with Meter(place="FRA") as meter, Ledger(tmp_path, meter).entry("run", "lora", "k1") as entry:
        with meter.phase("prepare"):
            time.sleep(0.12)
        with meter.phase("answer"), meter.phase("judging"):
            time.sleep(0.12)
        assert entry.status == "done"
    (kept,) = load_ledger(tmp_path)
    assert (kept.activity, kept.name, kept.key, kept.status) == ("run", "lora", "k1", "done")
    assert set(kept.parts) == {"prepare", "answer", "judging"}
    inside = sum((bill for bill in kept.parts.values()), Bill())
    assert 0.2 < inside.duration_s <= kept.bill.duration_s
    assert inside.energy_j is not None
    assert kept.bill.energy_j is not None
    assert 0 < inside.energy_j <= kept.bill.energy_j
    assert kept.grams == pytest.approx(kept.bill.energy_j / 3.6e6 * 56.04, rel=1e-3)
    assert parts_of([kept, kept])["judging"].energy_j == pytest.approx(
        2 * (kept.parts["judging"].energy_j or 0)
    )


def test_what_is_around_an_activity_is_no_part_of_it(tmp_path: Path) -> None:
    with Meter() as meter:
        ledger = Ledger(tmp_path, meter)
        for _ in range(2):  # the second time there is a closed phase of each name
            with ledger.entry("sweep", "all"), ledger.entry("run", "a"), meter.phase("answer"):
                pass
    parts = {entry.activity: set(entry.parts) for entry in load_ledger(tmp_path)}
    assert parts == {"sweep": {"run", "answer"}, "run": {"answer"}}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CannotRun("too large"), "failed"),
        (KeyboardInterrupt(), "stopped"),
        (OSError("x"), "failed"),
    ],
)
def test_what_failed_or_was_stopped_is_kept_with_its_cost(
    tmp_path: Path, error: BaseException, status: str
) -> None:
    def work(meter: Meter) -> None:
        with Ledger(tmp_path, meter).entry("trial", "r=8"):
            time.sleep(0.12)
            raise error

    with Meter() as meter, pytest.raises(type(error)):
        work(meter)
    (kept,) = load_ledger(tmp_path)
    assert (kept.status, kept.activity) == (status, "trial")
    assert kept.reason
    assert (kept.bill.energy_j or 0) > 0
    assert kept.grams is None  # no place was named


def test_an_interrupt_while_the_end_is_written_leaves_what_is_done_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, text: str) -> None:
        if '"status": "done"' in text:
            monkeypatch.setattr("wattune.measure.ledger.write_text", write_text)
            raise KeyboardInterrupt
        write_text(path, text)

    monkeypatch.setattr("wattune.measure.ledger.write_text", interrupted)
    with (
        Meter() as meter,
        pytest.raises(KeyboardInterrupt),
        Ledger(tmp_path, meter).entry("run", "a"),
    ):
        pass
    (kept,) = load_ledger(tmp_path)
    assert kept.status == "done"
    assert kept.bill.energy_j is not None


KILLED = """
import sys, time
from pathlib import Path
from wattune.measure import ledger
from wattune.measure.meter import Meter
ledger.BEAT_S = 0.2
meter = Meter()
books = ledger.Ledger(Path(sys.argv[1]), meter)
with books.entry("sweep", "all"), books.entry("run", "long"):
    with meter.phase("load"):
        time.sleep(0.15)
    with meter.phase("prepare"), meter.phase("generate"):
        time.sleep(0.15)
    with meter.phase("prepare"):
        print("begun", flush=True)
        time.sleep(60)
"""


def test_what_a_killed_process_had_spent_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "begun\n"

    def entry(activity: str) -> Entry:
        return next(one for one in load_ledger(tmp_path) if one.activity == activity)

    while entry("run").parts.get("prepare", Bill()).duration_s < 0.3:
        time.sleep(0.05)
    program.kill()
    program.wait()
    program.stdout.close()
    assert entry("run").status == "running"  # three beats have not passed in silence
    monkeypatch.setattr(ledgers, "BEAT_S", -1.0)
    killed = entry("run")
    assert killed.status == "killed"
    # What was open when it was killed is told as well as what had ended.
    assert list(killed.parts) == ["load", "generate", "prepare"]
    inside = sum(killed.parts.values(), Bill())
    assert inside.energy_j is not None
    assert killed.bill.energy_j is not None
    assert 0 < inside.energy_j <= killed.bill.energy_j
    assert 0.5 < inside.duration_s <= killed.bill.duration_s
    assert set(entry("sweep").parts) == {"load", "generate", "prepare", "run"}
    assert list(tmp_path.rglob("*.tmp")) == []


def test_totals_are_by_activity_and_status_and_over_all(tmp_path: Path) -> None:
    with Meter(place="FRA") as meter:
        ledger = Ledger(tmp_path / "one", meter)
        for name in ("a", "b"):
            with ledger.entry("run", name):
                pass
        with Ledger(tmp_path / "two", meter).entry("ask", "why?") as asked:
            asked.status = "skipped"
    old = Record(name="old", key="k9", spent=Bill(energy_j=36.0, duration_s=2.0))
    rows = totals(load_ledger(tmp_path, [old]))
    assert [(row.activity, row.status, row.count) for row in rows] == [
        ("run", "done", 3), ("ask", "skipped", 1), ("all", "", 4),
    ]  # fmt: skip
    assert rows[-1].bill.duration_s == pytest.approx(sum(r.bill.duration_s for r in rows[:-1]))
    assert rows[-1].emissions_g is None  # the old record names no place


def test_a_record_that_has_an_entry_is_not_counted_twice(tmp_path: Path) -> None:
    with Meter() as meter, Ledger(tmp_path, meter).entry("run", "a", "k1"):
        pass
    assert len(load_ledger(tmp_path, [Record(name="a", key="k1")])) == 1


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Meter() as meter, Ledger(None, meter).entry("run", "a") as entry:
        pass
    assert entry.phase.result.duration_s > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file")
    with Meter() as meter:
        entry = Ledger(tmp_path, meter).entry("run", "a")
        with pytest.raises(StorageError, match="cannot be written"):
            entry.__enter__()


@pytest.mark.parametrize("damage", ["", "{", "[]", json.dumps({"id": "x"})])
def test_a_damaged_entry_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "x.json").write_text(damage)
    with pytest.raises(StorageError, match=r"x\.json"):
        load_ledger(tmp_path)
