"""A time series of intensities in a CSV file: what it means, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wattune.errors import InputError
from wattune.measure.carbon import CarbonSource, carbon_of
from wattune.measure.grid import Grid
from wattune.measure.record import Carbon

HOURLY = """start,g_per_kwh
2026-03-01T00:00Z,40
2026-03-01T01:00Z,80
2026-03-01T02:00Z,100
"""


def at(clock: str, day: str = "2026-03-01") -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}+00:00")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def mean(folder: Path, text: str, start: datetime, end: datetime, place: str = "roof") -> Carbon:
    path = folder / "series.csv"
    path.write_bytes(text.encode())
    carbon = carbon_of(
        place, grid=Grid(provider="csv", file=str(path), fallback="none"), start=start, end=end
    )
    assert carbon is not None
    return carbon


def test_the_mean_is_weighted_by_overlap(folder: Path) -> None:
    carbon = mean(folder, HOURLY, at("00:45"), at("02:30"))
    # A quarter of an hour at 40, an hour at 80, half an hour at 100.
    assert carbon.intensity_g_per_kwh == pytest.approx((0.25 * 40 + 80 + 0.5 * 100) / 1.75)
    assert (carbon.place, carbon.provider, carbon.kind) == ("roof", "csv", "average")
    assert (carbon.year, carbon.fallback) == (2026, "")
    assert carbon.start == "2026-03-01T00:45:00+00:00"
    assert carbon.end == "2026-03-01T02:30:00+00:00"
    assert carbon.source == "series.csv; mean of 3 figure(s)"


def test_a_run_of_no_length_lies_in_one_interval(folder: Path) -> None:
    assert mean(folder, HOURLY, at("01:00"), at("01:00")).intensity_g_per_kwh == 80


def test_time_zones_of_the_run_and_of_the_file(folder: Path) -> None:
    paris = datetime.fromisoformat("2026-03-01T02:00+01:00")
    assert mean(folder, HOURLY, paris, paris + timedelta(minutes=9)).intensity_g_per_kwh == 80
    india = "start,g_per_kwh,end\n2026-03-01T05:30+05:30,70,2026-03-01T06:30+05:30\n"
    assert mean(folder, india, at("00:00"), at("01:00")).intensity_g_per_kwh == 70


def test_the_hour_that_summer_time_repeats(folder: Path) -> None:
    text = (
        "start,g_per_kwh\n"
        "2026-10-25T02:00+02:00,10\n"  # 00:00Z
        "2026-10-25T02:00+01:00,30\n"  # 01:00Z, the same time on the clock
        "2026-10-25T03:00+01:00,50\n"
    )
    day = "2026-10-25"
    carbon = mean(folder, text, at("00:30", day), at("02:30", day))
    assert carbon.intensity_g_per_kwh == pytest.approx((0.5 * 10 + 30 + 0.5 * 50) / 2)
    assert "cover" not in carbon.source


@pytest.mark.parametrize(
    "missing", ["", "2026-03-01T01:00Z,\n"], ids=["no such row", "a row without a figure"]
)
def test_a_gap_is_left_out_and_stated(folder: Path, missing: str) -> None:
    text = (
        "start,g_per_kwh\n2026-02-28T23:00Z,7\n2026-03-01T00:00Z,40\n"
        + missing
        + "2026-03-01T02:00Z,100\n"
    )
    carbon = mean(folder, text, at("00:00"), at("03:00"))
    assert carbon.intensity_g_per_kwh == pytest.approx(70)
    assert "mean of 2 figure(s); they cover 66.7 % of the time" in carbon.source


def test_rows_in_any_order_with_a_bom_windows_lines_and_other_columns(folder: Path) -> None:
    text = (
        "\ufeffStart, note ,G_per_kWh\r\n"
        '2026-03-01T01:00Z,"windy, late",80\r\n'
        "\r\n"
        "2026-03-01T00:00Z,,40\r\n"
    )
    carbon = mean(folder, text, at("00:00"), at("02:00"))
    assert carbon.intensity_g_per_kwh == pytest.approx(60)


def test_kind_source_and_end_pass_through(folder: Path) -> None:
    text = (
        "start,end,g_per_kwh,kind,source\n"
        "2026-03-01T00:00Z,2026-03-01T00:05Z,500,marginal,operator\n"
        "2026-03-01T00:05Z,2026-03-01T00:15Z,800,marginal,operator\n"
    )
    carbon = mean(folder, text, at("00:00"), at("00:15"))
    assert carbon.intensity_g_per_kwh == pytest.approx(700)
    assert carbon.kind == "marginal"
    assert carbon.source == "series.csv; mean of 2 figure(s): 2 operator"


H = "start,g_per_kwh\n2026-03-01T00:00Z,40\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (H + "2026-03-01T02:00Z,3\n2026-03-01T01:00+01:00,9\n", ":4: start 2026-03-01T00:00:00"),
        (H, ":2: a single row needs an end"),
        (H + "2026-03-01T01:00,50\n", ':3: start "2026-03-01T01:00": a time with its offset'),
        (H + "\n\nyesterday,50\n", ':5: start "yesterday"'),
        (H + "yesterday,50\n", ':3: start "yesterday"'),
        (H + "0001-01-01T00:00+14:00,50\n", ":3: start"),
        (H + "2026-03-01T01:00Z,-1\n", ':3: g_per_kwh "-1"'),
        (H + "2026-03-01T01:00Z,nan\n", ':3: g_per_kwh "nan"'),
        (H + "2026-03-01T01:00Z,56,4\n", ":3: more cells than columns"),
        (H + '2026-03-01T01:00Z,"56,4"\n', ':3: g_per_kwh "56,4"'),
        (H + '2026-03-01T01:00Z,"5\n', ":3: not CSV"),
        (H.replace(",", ";"), "parted by semicolons"),
        ("", 'no column "start"'),
        ("datetime,g_per_kwh\n", 'no column "start"'),
        ("start,intensity\n", 'no column "g_per_kwh"'),
        ("start,g_per_kwh\n", "no row has a figure"),
        ("start,g_per_kwh\n2026-03-01T00:00Z,\n2026-03-01T01:00Z,\n", "no row has a figure"),
        ("start,end,g_per_kwh\n2026-03-01T00:00Z,2026-03-01T00:00Z,1\n", ":2: the end is not"),
        (
            "start,end,g_per_kwh\n2026-03-01T00:00Z,2026-03-01T02:00Z,1\n2026-03-01T01:00Z,,2\n",
            ":2: ends after the start of line 3",
        ),
        ("start,g_per_kwh,kind\n2026-03-01T00:00Z,1,mean\n", ':2: kind "mean"'),
        (
            "start,g_per_kwh,kind\n2026-03-01T00:00Z,1,\n2026-03-01T01:00Z,1,marginal\n",
            ':3: kind "marginal", but "average" elsewhere',
        ),
    ],
)
@pytest.mark.parametrize("fallback", ["static", "none"])
def test_a_wrong_file_is_an_error_before_the_run(
    folder: Path, text: str, sentence: str, fallback: str
) -> None:
    path = folder / "series.csv"
    path.write_text(text)
    grid = Grid.model_validate({"provider": "csv", "file": str(path), "fallback": fallback})
    with pytest.raises(InputError) as caught:
        CarbonSource("FRA", grid=grid)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)


def test_a_missing_file_is_an_error_before_the_run(folder: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        carbon_of("FRA", grid=Grid(provider="csv", file=str(folder / "none.csv")))


def test_a_run_outside_of_the_file(folder: Path) -> None:
    path = folder / "series.csv"
    path.write_text(HOURLY)
    later = at("00:00", "2026-04-01")
    reading = CarbonSource("FRA", grid=Grid(provider="csv", file=str(path))).over(later, later)
    assert reading.carbon is not None
    assert reading.carbon.provider == "static"
    assert reading.carbon.fallback == reading.reason
    assert reading.reason.startswith("csv: no figure between 2026-04-01T00:00:00+00:00")
    none = Grid(provider="csv", file=str(path), fallback="none")
    assert CarbonSource(None, grid=none).over(later, later) == (None, reading.reason)


def test_the_file_is_read_before_the_run(folder: Path) -> None:
    path = folder / "series.csv"
    path.write_text(HOURLY)
    source = CarbonSource(None, grid=Grid(provider="csv", file=str(path), fallback="none"))
    path.unlink()
    carbon = source.over(at("00:00"), at("01:00")).carbon
    assert carbon is not None
    assert carbon.intensity_g_per_kwh == 40


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (at("02:00"), at("01:00"), "before it started"),
        (datetime(2026, 3, 1), at("01:00"), "no time zone"),
        (None, None, "not known"),
        (at("00:00"), None, "not known"),
    ],
)
def test_times_that_cannot_be_lose_no_work(
    folder: Path, start: datetime | None, end: datetime | None, reason: str
) -> None:
    path = folder / "series.csv"
    path.write_text(HOURLY)
    source = CarbonSource(None, grid=Grid(provider="csv", file=str(path), fallback="none"))
    carbon, why = source.over(start, end)
    assert carbon is None
    assert reason in why


def test_a_long_series_agrees_with_a_sum_by_hand(folder: Path) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    figures = [(37 * n) % 101 for n in range(48)]
    rows = [f"{(first + timedelta(minutes=30 * n)).isoformat()},{g}" for n, g in enumerate(figures)]
    carbon = mean(
        folder, "start,g_per_kwh\n" + "\n".join(rows), first, first + timedelta(minutes=1440)
    )
    assert carbon.intensity_g_per_kwh == pytest.approx(sum(figures) / 48)
