"""A year by month: growth, what it adds up to, scopes, and what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.lifecycle import life_cycle
from wattune.compare.projection import Year, growth_of, project
from wattune.compare.projection_plot import draw_year
from wattune.compare.usage import Usage
from wattune.errors import CannotRun, InputError
from wattune.measure.accounts.embodied import Embodied
from wattune.measure.record import Bill, Carbon, Energy, Phase, Record, Score

USAGE = Usage(answers_per_day=1000, refreshes_per_year=52, refresh_costs="prepare")
GRID = Carbon(place="FRA", intensity_g_per_kwh=50, source="a test", year=2023, pue=1.2)


def record(name: str = "lora", **changes: Any) -> Record:
    """Prepared with 7.2 kJ in 100 s; 20 answers in 5 s with 360 J, so 18 J each."""
    energy = {"cpu": Energy(energy_j=360.0, provenance="counter")}
    given = {
        "name": name,
        "key": f"key-of-{name}",
        "task": {"name": "ferry", "items": "0123", "split": "test", "questions": 20},
        "fingerprints": {"scorer": "s"},
        "prepare": Bill(energy_j=7200.0, duration_s=100.0),
        "phases": {"answer": Phase(duration_s=5.0, energy_j=360.0, components=energy)},
        "answers": 20,
        "quality": {"token_f1": Score(value=0.5, low=0.5, high=0.5, n=20)},
        "scores": {"token_f1": (0.5,) * 20},
        "recipe": {"runs": {name: []}, "accounting": {"boundary": "owned"}},
        "carbon": GRID,
    }
    return Record.model_validate({**given, **changes})


def test_a_year_without_growth_is_the_life_cycle_of_a_year() -> None:
    year = project([record()], USAGE)
    (projection,) = year.projections
    (row,) = compare([record()]).rows
    whole = life_cycle(row, USAGE)
    for part, joules in whole.parts_j.items():
        assert sum(m.parts_j[part] or 0 for m in projection.months) == pytest.approx(joules)
    assert whole.total_j is not None
    assert sum(m.total_j or 0 for m in projection.months) == pytest.approx(whole.total_j.value)
    assert whole.total_g is not None
    grams = sum(m.footprint.operational_g or 0 for m in projection.months)
    assert grams == pytest.approx(whole.total_g)
    assert [m.parts_j["prepare"] for m in projection.months] == [7200.0, *[0.0] * 11]


def test_answers_grow_month_by_month_and_nothing_else_does() -> None:
    year = project([record()], USAGE, months=24, growth_per_month=0.05)
    months = year.projections[0].months
    assert len(months) == 24
    first = 1000 * 365 / 12
    assert [m.answers for m in months] == pytest.approx([first * 1.05**n for n in range(24)])
    assert [m.parts_j["answers"] for m in months] == pytest.approx([18 * m.answers for m in months])
    assert len({m.parts_j["refreshes"] for m in months}) == 1
    assert months[5].parts_j["refreshes"] == pytest.approx(7200 * 52 / 12)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5%/month", 0.05), ("0%/month", 0), (" 2.5 % / month", 0.025), ("-3%/month", -0.03)],
)
def test_growth(text: str, rate: float) -> None:
    assert growth_of(text) == pytest.approx(rate)


def test_a_years_growth_is_reached_in_twelve_months() -> None:
    assert (1 + growth_of("30%/year")) ** 12 == pytest.approx(1.3)
    for wrong in ("5", "5%", "5%/week", "-101%/month", "five%/month"):
        with pytest.raises(InputError, match="5%/month or 30%/year is expected"):
            growth_of(wrong)


def test_the_scopes_follow_the_boundary() -> None:
    accounting = {
        "boundary": "owned", "market_g_per_kwh": 10.0, "pue": 1.2,
        "embodied": {"kg_co2e": 1000.0, "lifetime_years": 4.0},
    }  # fmt: skip
    recipe = {"runs": {"lora": []}, "accounting": accounting}
    month = project([record(recipe=recipe)], USAGE).projections[0].months[3]
    assert month.total_j is not None
    kwh = month.total_j / 3.6e6 * 1.2
    assert month.footprint.scope2_location_g == pytest.approx(kwh * 50)
    assert month.footprint.scope2_market_g == pytest.approx(kwh * 10)
    # Held for 100 s a refresh, and 5 s for 20 answers.
    held_s = 52 / 12 * 100 + month.answers * 5 / 20
    assert month.footprint.scope3_g == pytest.approx(
        Embodied.model_validate(accounting["embodied"]).grams(held_s)
    )
    rented = project([record(recipe=recipe)], USAGE, boundary="cloud").projections[0].months[3]
    assert rented.footprint.scope2_location_g is None
    assert rented.footprint.scope3_g == pytest.approx(kwh * 50 + (rented.footprint.embodied_g or 0))
    with pytest.raises(InputError, match=r"accounting of lora: .*boundary"):
        project([record()], USAGE, boundary="mine")


def test_another_place_wins_over_the_records() -> None:
    home, away = (project([record()], USAGE, place=place) for place in (None, "POL"))
    assert home.projections[0].carbon == GRID
    assert away.projections[0].carbon is not None
    assert away.projections[0].carbon.place == "POL"
    grams = [y.projections[0].months[1].footprint.operational_g or 0.0 for y in (home, away)]
    assert grams[1] > 5 * grams[0]
    with pytest.raises(InputError, match='"FRX" is not known'):
        project([record()], USAGE, place="FRX")


def text(year: Year) -> str:
    return "\n".join(
        " | ".join(cell.replace("\n", " ") for cell in row)
        for table in year.tables()
        for row in (table.headers, *table.rows)
    )


def test_one_run_stands_by_month_and_several_by_their_totals() -> None:
    year = project([record()], USAGE)
    shown = text(year)
    assert shown.startswith("month | answers | training Wh | refreshes Wh | answers Wh | total Wh")
    assert "scope 2 g location" in shown
    assert "scope 3" not in shown  # nobody said what was made
    assert len(shown.splitlines()) == 1 + 12 + 1
    assert shown.splitlines()[-1].startswith("all | 365,000 | 2.0 | 104.0 | 1,825.0 | 1,931.0")
    both = project([record(), record("rag", prepare=Bill())], USAGE)
    lines = text(both).splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["run", "lora", "rag"]
    assert lines[2].split(" | ")[2:4] == ["0.0", "0.0"]
    rows = both.plain()
    assert len(rows) == 24
    assert sum(row["total_wh"] for row in rows if row["run"] == "lora") == pytest.approx(1931)
    assert rows[0]["boundary"] == "owned"


def test_what_is_not_known_is_a_dash_with_its_reason() -> None:
    usage = USAGE.model_copy(update={"refresh_costs": "measured"})
    year = project([record(carbon=None), record("rag", prepare=Bill())], usage)
    lines = text(year).splitlines()
    assert lines[1].split(" | ")[3] == "–"  # lora's refreshes
    assert lines[1].split(" | ")[5:] == ["–", "–", "–"]
    notes = "\n".join(year.notes())
    assert "lora: what a refresh takes: not measured" in notes
    assert year.plain()[0]["total_wh"] is None
    with pytest.raises(InputError, match="no run there is done"):
        project([record(status="failed")], usage)


def test_the_picture_stacks_what_is_known() -> None:
    pytest.importorskip("matplotlib")
    year = project([record(), record("rag", prepare=Bill())], USAGE, growth_per_month=0.1)
    svg = draw_year(year, "svg").decode()
    for word in ("training", "refreshes", "answers", "lora", "rag", "g CO₂e", "month"):
        assert f">{word}" in svg
    assert ">idle" not in svg
    assert draw_year(year, "png").startswith(b"\x89PNG")
    no_grid = project([record(carbon=None)], USAGE)
    assert ">kWh" in draw_year(no_grid, "svg").decode()
    unknown = USAGE.model_copy(update={"refresh_costs": "measured"})
    with pytest.raises(CannotRun, match="no run has all"):
        draw_year(project([record()], unknown), "svg")
