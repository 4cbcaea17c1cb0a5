"""Refresh in a comparison: a table of its own, notes, and columns in files."""

from __future__ import annotations

from typing import Any

from wattune.compare import compare
from wattune.compare.table import plain_rows
from wattune.measure.export import to_frame
from wattune.measure.record import Bill, Phase, Record, Score
from wattune.measure.refresh import Refresh, RefreshedStage


def score(value: float, n: int = 4) -> dict[str, Score]:
    return {"token_f1": Score(value=value, low=0.0, high=1.0, n=n)}


def refresh(energy_j: float | None, changed: float = 0.75) -> Refresh:
    bill = Bill(energy_j=energy_j, duration_s=1.5)
    stage = RefreshedStage(
        strategy="rag", key="k", reused=False, spent=bill, attributed=bill, how="updated"
    )
    return Refresh(
        version="2", fingerprint="f", questions_changed=4, questions_unchanged=6, stages=(stage,),
        attributed=bill, spent=bill, changed=score(changed), stale=score(0.25),
        unchanged=score(0.5, 6), before=score(0.6, 6),
    )  # fmt: skip


def run(name: str, found: Refresh | None, **changes: Any) -> Record:
    given = {
        "name": name,
        "key": f"key-{name}-{changes.get('seed', 0)}",
        "task": {
            "name": "ferry",
            "items": "0",
            "split": "test",
            "questions": 2,
            "metrics": ["token_f1"],
        },
        "phases": {"answer": Phase(duration_s=1.0, energy_j=1.0)},
        "answers": 2,
        "prepare": Bill(energy_j=30.0, duration_s=2.0),
        "quality": score(0.5, 2),
        "scores": {"token_f1": (0.0, 1.0)},
        "recipe": {"name": name},
        "refresh": found,
    }
    return Record.model_validate({**given, **changes})


def test_a_table_of_its_own_holds_the_runs_that_followed() -> None:
    comparison = compare([run("rag", refresh(12.0)), run("off", None), run("dark", refresh(None))])
    (table,) = [t for t in comparison.tables() if t.title.startswith("What keeping up")]
    assert table.title == "What keeping up to date costs, token F1"
    assert table.headers[-2:] == ("changed\n(4)", "unchanged\n(6)")
    assert table.rows == (
        ("rag", "rag updated", "12.0", "1.5", "30.0", "0.25→0.75", "0.60→0.50"),
        ("dark", "rag updated", "–", "1.5", "30.0", "0.25→0.75", "0.60→0.50"),
    )
    assert any(note.startswith("Keeping up to date:") for note in comparison.notes())


def test_seeds_are_one_row_of_means() -> None:
    records = [run("rag", refresh(j, f), seed=s) for s, j, f in [(0, 10.0, 0.5), (1, 20.0, 1.0)]]
    (table,) = [t for t in compare(records).tables() if t.title.startswith("What keeping up")]
    ((name, _, joules, *_, changed, _),) = table.rows
    assert (name, joules, changed) == ("rag (2 seeds)", "15.0", "0.25→0.75")


def test_who_could_not_follow_is_told() -> None:
    comparison = compare([run("lora", None, flags=("not_refreshed: the disk is small",))])
    assert "lora was not refreshed: the disk is small" in comparison.notes()
    assert not any(note.startswith("Keeping up") for note in comparison.notes())


def test_files_have_each_figure_and_none_where_nothing_was_asked() -> None:
    known, off = plain_rows(compare([run("rag", refresh(12.0)), run("off", None)]))
    assert known["refresh_j"] == 12.0
    assert known["refresh_questions_changed"] == 4
    parts = ("changed", "stale", "unchanged", "before")
    assert [known[f"refresh_{part}_token_f1"] for part in parts] == [0.75, 0.25, 0.5, 0.6]
    assert off["refresh_j"] is None
    assert "refresh_j" not in plain_rows(compare([run("off", None)]))[0]
    frame = to_frame([run("rag", refresh(12.0)), run("off", None)])
    assert frame["refresh_attributed_energy_j"][0] == 12.0
    assert frame["refresh_changed_token_f1"][0] == 0.75
