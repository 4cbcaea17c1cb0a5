"""Properties of a time of use: what may not change a verdict does not; turns are where it says."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.break_even import MOST_PAIRED, break_evens
from wattune.compare.lifecycle import life_cycles
from wattune.compare.sensitivity import LIMITS
from wattune.compare.usage import Usage
from wattune.compare.use_export import plain_comparison
from wattune.compare.use_notes import use_notes
from wattune.compare.use_tables import uses
from wattune.measure.noise import CONTENDED
from wattune.measure.record import Baseline, Bill, Energy, Phase, Record, Score
from wattune.measure.refresh import Refresh

QUESTIONS = 40


def record(
    name: str,
    *,
    prepare_j: float = 1000.0,
    answer_j: float = 2.0,
    refresh_j: float = 10.0,
    quality: float = 0.5,
    **changes: Any,
) -> Record:
    """A finished record with these joules of one preparation, one answer, one refresh."""
    energy = {"cpu": Energy(energy_j=answer_j * QUESTIONS, provenance="counter")}
    given: dict[str, Any] = {
        "name": name,
        "key": f"key-{name}",
        "task": {"name": "ferry", "items": "0123", "metrics": ["token_f1"]},
        "prepare": Bill(energy_j=prepare_j, duration_s=60.0),
        "phases": {
            "answer": Phase(duration_s=10.0, energy_j=answer_j * QUESTIONS, components=energy)
        },
        "answers": QUESTIONS,
        "baseline": Baseline(power_w={"cpu": 20.0}, duration_s=3.0, cpu_percent=0.5),
        "quality": {"token_f1": Score(value=quality, low=0.0, high=1.0, n=QUESTIONS)},
        "scores": {"token_f1": (quality,) * QUESTIONS},
        "recipe": {"runs": {name: []}},
        "refresh": Refresh(
            version="2", fingerprint="f", questions_changed=1, questions_unchanged=1,
            attributed=Bill(energy_j=refresh_j, duration_s=5.0),
        ),
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


def some(rng: random.Random, rows: int) -> list[Record]:
    return [
        record(
            f"run{n}", prepare_j=rng.choice([0.0, rng.uniform(0, 50_000)]),
            answer_j=rng.uniform(0.5, 3), refresh_j=rng.uniform(0, 50), quality=rng.random(),
        )
        for n in range(rows)
    ]  # fmt: skip


def usage_of(rng: random.Random) -> Usage:
    return Usage(
        answers_per_day=rng.uniform(1, 2000), horizon_days=rng.uniform(10, 700),
        refreshes_per_year=rng.uniform(0, 60), cached_share=rng.uniform(0, 0.9),
    )  # fmt: skip


def winner_at(records: list[Record], usage: Usage) -> str:
    cycles = [cycle for part in life_cycles(compare(records), usage) for cycle in part]
    found = {c.costs.row.label: c.total_j.value for c in cycles if c.total_j is not None}
    assert len(found) == len(cycles)
    return min(found, key=lambda name: found[name])


def test_the_winner_turns_where_sensitivity_says() -> None:
    rng = random.Random(3)
    turned = 0
    for _ in range(25):
        records, usage = some(rng, 4), usage_of(rng)
        (use,) = uses(compare(records), usage, 0.0)
        assert use.sensitivity.winner is not None
        today = use.sensitivity.winner.costs.row.label
        assert today == winner_at(records, usage)
        for change in use.sensitivity.changes:
            if change.value is None:
                continue
            turned += 1
            beyond, before = (1.0001, 0.9999) if change.above else (0.9999, 1.0001)
            of = {
                factor: usage.model_copy(update={change.input: change.value * factor})
                for factor in (beyond, before)
            }
            assert winner_at(records, of[beyond]) == change.winner.costs.row.label
            assert winner_at(records, of[before]) == today
        for name in use.sensitivity.steady:
            if name in LIMITS:
                for factor in (0.01, 0.5, 100.0):
                    value = min(getattr(usage, name) * factor, LIMITS[name] * 0.9999)
                    other = usage.model_copy(update={name: value})
                    assert winner_at(records, other) == today
    assert turned > 20


def test_scaling_changes_no_verdict() -> None:
    """All joules in another unit: the same winner, the same break-evens, the same turns."""
    rng = random.Random(11)
    for _ in range(10):
        state, usage = rng.random(), usage_of(rng)
        found, counts = [], []
        for scale in (1.0, 1000.0):
            own = random.Random(state)
            records = [
                record(
                    f"run{n}", prepare_j=own.uniform(0, 5000) * scale,
                    answer_j=own.uniform(1, 2) * scale, refresh_j=own.uniform(0, 50) * scale,
                )
                for n in range(4)
            ]  # fmt: skip
            (use,) = uses(compare(records), usage, 0.0)
            found.append(
                (
                    [c.costs.row.label for c in use.cheapest_first],
                    [(p.word, p.dearer_to_prepare.label) for p in use.break_evens],
                    [(c.input, c.winner.costs.row.label) for c in use.sensitivity.changes],
                )
            )
            counts.append([p.answers.value for p in use.break_evens if p.answers])
        assert found[0] == found[1]
        assert counts[0] == pytest.approx(counts[1])


def test_a_dominated_run_changes_nothing() -> None:
    rng = random.Random(5)
    for _ in range(10):
        records, usage = some(rng, 3), usage_of(rng)
        worse = record("worse", prepare_j=60_000.0, answer_j=4.0, refresh_j=60.0, quality=-1.0)
        (one,), (two,) = (uses(compare(r), usage, 0.0) for r in (records, [*records, worse]))
        assert one.sensitivity.winner is not None
        assert two.sensitivity.winner is not None
        assert one.sensitivity.winner.costs.row == two.sensitivity.winner.costs.row
        turns = [
            [(c.input, c.value, c.winner.costs.row.label) for c in use.sensitivity.changes]
            for use in (one, two)
        ]
        assert turns[0] == turns[1]
        kept = [p for p in two.break_evens if p.dearer_to_prepare.label != "worse"]
        assert kept == one.break_evens


def test_the_order_of_records_changes_nothing() -> None:
    rng = random.Random(9)
    records = [
        one.model_copy(update={"seed": seed, "key": f"{one.key}-{seed}"})
        for one in some(rng, 4)
        for seed in (0, 1)
    ]
    usage = usage_of(rng).model_copy(update={"idle_hours_per_day": 3.0})
    first: Any = None
    for _ in range(5):
        rng.shuffle(records)
        comparison = compare(records, usage=usage, min_quality=0.1)
        tables = comparison.tables()[-3:]
        content: Any = plain_comparison(comparison)
        now = (tables, use_notes(comparison.uses), json.dumps(content["groups"]))
        first = first or now
        assert now == first


def test_of_many_rows_few_are_paired_and_it_is_said_so() -> None:
    rng = random.Random(1)
    comparison = compare(some(rng, MOST_PAIRED + 12), usage=Usage(answers_per_day=10))
    (cycles,) = life_cycles(comparison, Usage(answers_per_day=10))
    assert len(break_evens(cycles)) == MOST_PAIRED * (MOST_PAIRED - 1) / 2
    assert any("12 others are left out" in note for note in comparison.notes())
    last = max(cycles, key=lambda c: c.total_j.value if c.total_j else 0.0)
    paired = break_evens(cycles, [last])
    assert any(last.costs.row in (p.dearer_to_prepare, p.cheaper_to_prepare) for p in paired)


def test_a_busy_machine_has_no_winner() -> None:
    busy = [record(n, flags=(f"{CONTENDED}: 50 % of it",)) for n in ("a", "b")]
    comparison = compare(busy, usage=Usage(answers_per_day=10))
    assert any("No run is called the cheapest" in note for note in comparison.notes())
    assert "★" not in "".join(cell for row in comparison.tables()[-3].rows for cell in row)


def test_many_rows_are_compared_without_drawing_for_ever() -> None:
    """45,150 pairs would need 4.5 million resamples; the clearly worse ones are found all the
    same."""
    rng = random.Random(2)
    runs = [
        record(f"run{n}", scores={"token_f1": tuple(rng.choice((0.1, 0.3)) for _ in range(40))})
        for n in range(300)
    ]
    runs.append(
        record("best", scores={"token_f1": tuple(rng.choice((0.7, 0.9)) for _ in runs[:40])})
    )
    means = [sum(r.scores["token_f1"]) / 40 for r in runs]  # type: ignore[arg-type]
    runs = [
        r.model_copy(update={"quality": {"token_f1": Score(value=mean, low=0.0, high=1.0, n=40)}})
        for r, mean in zip(runs, means, strict=True)
    ]
    comparison = compare(runs, usage=Usage(answers_per_day=10))
    words = [v.word for v in comparison.verdict(0, "token_f1") if v is not None]
    assert (words[-1], set(words[:-1])) == ("best", {"worse"})
    assert any("best is the only run" in note for note in comparison.notes())
