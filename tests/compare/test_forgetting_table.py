"""Forgetting in a comparison: a table of its own, a warning, and columns in files."""

from __future__ import annotations

from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.render import fitting
from wattune.compare.table import plain_rows
from wattune.measure.general import general_of, general_questions
from wattune.measure.record import General, Phase, Record, Score

ALL = general_questions(True)
BEFORE = [at % 2 == 0 for at in range(len(ALL))]


def general(lost: int, count: int = len(ALL)) -> General:
    """Half right before; of those, the first `lost` wrong after."""
    before = BEFORE[:count]
    rights = [at for at, right in enumerate(before) if right]
    after = [right and at not in rights[:lost] for at, right in enumerate(before)]
    return general_of(general_questions(count), before, after)


def run(name: str, found: General | None, **changes: Any) -> Record:
    given = {
        "name": name,
        "key": f"key-{name}-{changes.get('seed', 0)}",
        "task": {"name": "ferry", "items": "0123", "split": "test", "questions": 2},
        "phases": {"answer": Phase(duration_s=1.0, energy_j=1.0)},
        "answers": 2,
        "quality": {"token_f1": Score(value=0.5, low=0.0, high=1.0, n=2)},
        "scores": {"token_f1": (0.0, 1.0)},
        "recipe": {"name": name},
        "general": found,
    }
    return Record.model_validate({**given, **changes})


def test_a_table_of_its_own_holds_the_runs_that_were_asked() -> None:
    found = general(30)
    comparison = compare([run("base", None), run("lora", found)])
    (table,) = [t for t in comparison.tables() if t.title.startswith("Forgetting")]
    assert table.headers == (
        "run", "general\n(152)", "change", "arithmetic\n(38)", "fact\n(38)", "instruction\n(38)",
        "refusal\n(38)",
    )  # fmt: skip
    assert table.rows[0][:2] == ("lora", "0.50→0.30")
    assert table.rows[0][2] == (f"−0.20 [−{-found.change.low:.2f}, −{-found.change.high:.2f}]")
    # The first 30 of the right ones: all of arithmetic, 11 of the 19 facts.
    assert table.rows[0][3:] == ("0.50→0.00", "0.50→0.21", "0.50→0.50", "0.50→0.50")
    assert len(table.rows) == 1
    assert fitting(table, 100) == [table]
    assert not any("★" in cell for cell in table.rows[0])


def test_who_forgets_is_warned_of() -> None:
    notes = compare([run("lora", general(30)), run("int8", general(0))]).notes()
    (warning,) = [note for note in notes if "forgets" in note]
    assert warning.startswith("WARNING: lora forgets: −0.20 [−0.2")
    assert warning.endswith("] on 152 general questions.")
    assert any(note.startswith("Forgetting: share of general") for note in notes)


def test_without_any_nothing_is_said() -> None:
    comparison = compare([run("base", None)])
    assert not any("orgetting" in table.title for table in comparison.tables())
    assert not any("orget" in note for note in comparison.notes())
    assert not any(name.startswith("general") for name in plain_rows(comparison)[0])


def test_the_columns_of_files() -> None:
    found = general(30)
    base, lora = plain_rows(compare([run("base", None), run("lora", found)]))
    assert base["general_change"] is None
    assert {name: value for name, value in lora.items() if name.startswith("general")} == {
        "general_questions": 152,
        "general_before": 0.5,
        "general_after": found.after.value,
        "general_change": found.change.value,
        "general_change_low": found.change.low,
        "general_change_high": found.change.high,
    }


def test_seeds_are_one_row_with_an_interval_over_questions() -> None:
    one, other = general(30), general(10)
    seeds = [run("lora", one, seed=0), run("lora", other, seed=1)]
    comparison = compare(seeds)
    (table,) = [t for t in comparison.tables() if t.title.startswith("Forgetting")]
    (row,) = table.rows
    assert row[:2] == ("lora (2 seeds)", "0.50→0.37")
    assert row[2].startswith("−0.13 [−0.1")
    low, high = (float(part.replace("−", "-")) for part in row[2][7:-1].split(", "))
    assert low < (one.change.value + other.change.value) / 2 < high < 0
    alone = compare([seeds[0], run("lora", None, seed=1)])
    assert not any("Forgetting" in t.title for t in alone.tables())


def test_other_questions_stand_in_a_table_of_their_own() -> None:
    comparison = compare([run("lora", general(30)), run("full", general(6, count=24))])
    tables = [t for t in comparison.tables() if t.title.startswith("Forgetting")]
    assert [t.headers[1] for t in tables] == ["general\n(152)", "general\n(24)"]
    assert [t.rows[0][0] for t in tables] == ["lora", "full"]
    assert any("several sets" in note for note in comparison.notes())


@pytest.mark.parametrize("lost", [0, 1])
def test_a_change_that_may_be_chance_is_no_warning(lost: int) -> None:
    notes = compare([run("lora", general(lost))]).notes()
    assert not any("forgets" in note for note in notes)
