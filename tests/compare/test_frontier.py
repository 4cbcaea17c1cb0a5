"""The frontier of quality and energy: who is beaten, ties, the unknown, and groups of their own."""

from __future__ import annotations

from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.frontier import frontier_tables, fronts, on_frontier
from wattune.measure.noise import CONTENDED
from wattune.measure.record import Bill, Energy, Phase, Record, Score, StageRecord


def point(name: str, quality: float | None, joules: float | None, **changes: Any) -> Record:
    """A finished record of 100 answers with one score and one energy."""
    score = None if quality is None else Score(value=quality, low=quality, high=quality, n=100)
    energy = {"cpu": Energy(energy_j=joules, provenance="modelled_load")}
    given = {
        "name": name,
        "key": f"key-of-{name}",
        "task": {"name": "ferry", "items": "0", "split": "validation", "questions": 100},
        "phases": {"answer": Phase(duration_s=1.0, energy_j=joules, components=energy)},
        "answers": 100,
        "quality": {} if score is None else {"token_f1": score},
    }
    return Record.model_validate({**given, **changes})


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(0.5, 3.0)], [True]),
        ([(0.5, 3.0), (0.6, 2.0)], [False, True]),  # worse and dearer
        ([(0.5, 2.0), (0.6, 3.0)], [True, True]),  # each better in one
        ([(0.5, 2.0), (0.5, 3.0)], [True, False]),  # as good and dearer
        ([(0.5, 2.0), (0.4, 2.0)], [True, False]),  # as dear and worse
        ([(0.5, 2.0), (0.5, 2.0), (0.5, 2.1)], [True, True, False]),  # ties are kept
        ([(0.5, None), (None, 1.0), (0.1, 9.0)], [False, False, True]),  # the unknown beats none
        ([(0.0, 0.0), (-0.3, 0.0), (-0.3, -1.0)], [True, False, True]),
        ([(0.1, 1.0), (0.3, 2.0), (0.2, 3.0), (0.5, 4.0), (0.4, 4.0)],
         [True, True, False, True, False]),
    ],
)  # fmt: skip
def test_the_points_that_none_beats_are_on_the_frontier(
    points: list[tuple[float | None, float | None]], expected: list[bool]
) -> None:
    assert on_frontier(points) == expected
    assert on_frontier(points[::-1]) == expected[::-1]


def test_settings_that_change_a_training_are_ranked_by_what_preparing_took() -> None:
    def share(number: str, quality: float, prepare_j: float, answer_j: float = 360.0) -> Record:
        prepare = Bill(energy_j=prepare_j, duration_s=1.0)
        stage = StageRecord(
            strategy="lora", key=f"k{number}", reused=False, spent=prepare, attributed=prepare,
            details={"losses": [[1, 2.0]]},
        )  # fmt: skip
        return point(f"lora+share={number}", quality, answer_j, prepare=prepare, stages=(stage,))

    shares = [share("1", 0.5, 7200.0), share("0.1", 0.3, 720.0), share("0.3", 0.2, 3600.0)]
    (front,) = fronts(compare(shares))
    assert front.cost == "Wh of preparing"
    assert [(p.wh, p.on_frontier) for p in front.points] == [(0.2, True), (1.0, False), (2.0, True)]
    (table,) = frontier_tables(compare(shares))
    assert table.headers[2:4] == ("prepare\nWh", "Wh per\n1,000")
    # Also where answering happened to vary by more.
    odd = [share("1", 0.5, 7200.0), share("0.3", 0.2, 3600.0, answer_j=3600.0)]
    assert fronts(compare(odd))[0].cost == "Wh of preparing"
    # Another run's dear training is no reason: none of its settings was changed.
    alone = [share("1", 0.5, 7200.0), point("rag+k=1", 0.3, 360.0), point("rag+k=2", 0.4, 720.0)]
    assert fronts(compare(alone))[0].cost == "Wh per 1,000 answers"


def test_the_table_goes_by_energy_and_the_unknown_stands_last() -> None:
    records = [
        point("rag+k=4", 0.5, 1080.0),
        point("rag+k=1", 0.3, 360.0),
        point("dark", 0.9, None),
        point("rag+k=2", 0.3, 720.0),
    ]
    (table,) = frontier_tables(compare(records))
    assert table.title == "Quality against energy, the cheapest first"
    assert table.headers == ("point", "token F1", "Wh per\n1,000", "on the\nfrontier")
    # 360 J for 100 answers are 3,600 J or 1 Wh for 1,000.
    assert table.rows == (
        ("rag+k=1", "0.30 [0.30, 0.30]", "1.000", "yes"),
        ("rag+k=2", "0.30 [0.30, 0.30]", "2.000", "no"),
        ("rag+k=4", "0.50 [0.50, 0.50]", "3.000", "yes"),
        ("dark", "0.90 [0.90, 0.90]", "–", "–"),
    )


def test_where_less_is_better_the_least_is_on_the_frontier() -> None:
    def refusing(name: str, rate: float, joules: float) -> Record:
        score = Score(value=rate, low=rate, high=rate, n=100)
        return point(name, 0.0, joules).model_copy(
            update={"quality": {"hallucination_rate": score}}
        )

    (front,) = fronts(compare([refusing("a", 0.4, 360.0), refusing("b", 0.1, 360.0)]))
    assert front.metric == "hallucination_rate"
    assert [(p.row.label, p.on_frontier) for p in front.points] == [("a", False), ("b", True)]


def test_a_contended_point_is_ranked_with_none_and_does_not_beat_the_others() -> None:
    busy = f"{CONTENDED}: 75 % of the processors"
    records = [
        point("calm", 0.5, 720.0),
        point("calmer", 0.6, 720.0),
        point("busy", 0.9, 360.0, flags=(busy,)),
    ]
    first, second = fronts(compare(records))
    assert {p.row.label: p.on_frontier for p in first.points} == {"calm": False, "calmer": True}
    assert {p.row.label: p.on_frontier for p in second.points} == {"busy": None}
    titles = [table.title for table in frontier_tables(compare(records))]
    assert titles == [
        f"Quality against energy, group {front.name}, the cheapest first"
        for front in (first, second)
    ]
    assert len({first.name, second.name, ""}) == 3


def test_other_questions_have_a_frontier_of_their_own() -> None:
    other = {"name": "ferry", "items": "1", "split": "test", "questions": 9}
    found = fronts(compare([point("a", 0.9, 1.0), point("b", 0.1, 2.0, task=other)]))
    assert [[p.on_frontier for p in front.points] for front in found] == [[True], [True]]


def test_runs_without_figures_have_no_frontier() -> None:
    assert fronts(compare([point("a", None, None, status="skipped", phases={})])) == []
