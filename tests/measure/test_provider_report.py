"""Providers' own emissions exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattune.errors import InputError, StorageError
from wattune.measure.accounts.provider_report import ProviderReport, load_report

RUN = ("2026-01-10T00:00:00+00:00", "2026-01-11T12:00:00+00:00")  # 36 hours
GOOGLE = (
    "usage_month,project.id,carbon_model_version,carbon_footprint_total_kgCO2e.market_based,"
    "carbon_footprint_total_kgCO2e.location_based,carbon_footprint_kgCO2e.scope1"
)
AWS = (
    "last_refresh_timestamp,model_version,product_code,total_lbm_emissions_unit,"
    "total_lbm_emissions_value,total_mbm_emissions_unit,total_mbm_emissions_value,"
    "usage_period_end,usage_period_start"
)


def report(folder: Path, text: str) -> ProviderReport:
    file = folder / "export.csv"
    file.write_text(text, encoding="utf-8")
    return load_report(file)


def test_the_plain_format_by_time(tmp_path: Path) -> None:
    # A row of ten days with 10 kg: 36 hours of it are 1.5 kg.
    plain = report(tmp_path, "start,end,kg_co2e,market_kg_co2e\n2026-01-05,2026-01-15,10,2\n")
    found = plain.of_run(*RUN)
    assert (plain.layout, plain.source, found.note) == ("plain", "export.csv", "")
    assert found.location_g == pytest.approx(1500)
    assert found.market_g == pytest.approx(300)
    assert plain.of_run(*RUN, share=0.2).location_g == pytest.approx(300)


def test_rows_that_follow_each_other_and_rows_of_one_period(tmp_path: Path) -> None:
    text = (
        "service,start,end,kg_co2e\n"
        "vm,2026-01-10,2026-01-11,4\n"  # wholly in the run
        "vm,2026-01-11,2026-01-12,6\n"  # half of it
        "disk,2026-01-10,2026-01-12,1\n"  # three quarters
        "vm,2026-01-12,2026-01-13,99\n"  # after the run
        "vm,2026-01-09,2026-01-10,99\n"  # before it
    )
    found = report(tmp_path, text).of_run(*RUN)
    assert found.location_g == pytest.approx(1000 * (4 + 3 + 0.75))
    assert found.market_g is None


def test_a_row_with_energy_is_shared_by_energy(tmp_path: Path) -> None:
    text = "start,end,kg_co2e,energy_kwh\n2026-01-01,2026-02-01,30,100\n"
    plain = report(tmp_path, text)
    # 5 kWh of the row's 100 kWh; joules, not kilowatt-hours, are given.
    assert plain.of_run(*RUN, energy_j=1.8e7).location_g == pytest.approx(1500)
    by_time = plain.of_run(*RUN, energy_j=None).location_g
    assert by_time == pytest.approx(30_000 * 1.5 / 31)
    other = plain.of_run(*RUN, energy_j=3.6e8 + 1e4)
    assert other.location_g is None
    assert "export.csv:2" in other.note
    assert "100 kWh" in other.note


def test_a_run_over_two_rows_with_energy(tmp_path: Path) -> None:
    text = (
        "start,end,kg_co2e,energy_kwh\n"
        "2026-01-10,2026-01-11,4,8\n"  # two thirds of the run: 4 kWh of 8
        "2026-01-11,2026-01-12,9,3\n"  # a third: 2 kWh of 3
    )
    found = report(tmp_path, text).of_run(*RUN, energy_j=6 * 3.6e6)
    assert found.location_g == pytest.approx(1000 * (4 * 4 / 8 + 9 * 2 / 3))


def test_google_cloud(tmp_path: Path) -> None:
    text = f"{GOOGLE}\n2026-01-01,a,8,1,31,0\n2026-01-01,b,8,2,31,0\n2025-12-01,a,8,9,99,0\n"
    google = report(tmp_path, text)
    found = google.of_run(*RUN)
    assert google.layout == "google"
    assert found.location_g == pytest.approx(2 * 1500)  # 1.5 days of January's 31
    assert found.market_g == pytest.approx(3000 * 1.5 / 31)


def test_google_cloud_month_without_a_day_and_without_a_figure(tmp_path: Path) -> None:
    found = report(tmp_path, f"{GOOGLE}\n2026-01,a,8,31,NULL,0\n").of_run(*RUN)
    assert found.location_g is None
    assert found.market_g == pytest.approx(1500)
    assert "no location-based figure" in found.note


def test_aws_is_in_tons(tmp_path: Path) -> None:
    text = (
        f"{AWS}\n2026-03-15 00:00:00Z,v3.0.0,AmazonEC2,MTCO2e,0.031,MTCO2e,0.0031,"
        "2026-01-31 00:00:00Z,2026-01-01 00:00:00Z\n"
    )
    aws = report(tmp_path, text)
    found = aws.of_run(*RUN)
    assert aws.layout == "aws"
    assert found.location_g == pytest.approx(1500)
    assert found.market_g == pytest.approx(150)
    last_day = aws.of_run("2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z")
    assert last_day.location_g == pytest.approx(1000)  # the row is of the whole month


def test_older_aws_exports_are_market_based_only(tmp_path: Path) -> None:
    columns = "model_version,total_mbm_emissions_unit,total_mbm_emissions_value,usage_period_start"
    found = report(tmp_path, f"{columns}\nv2.0.0,MTCO2e,0.031,2026-01-01 00:00:00Z\n").of_run(*RUN)
    assert found.location_g is None
    assert found.market_g == pytest.approx(1500)


@pytest.mark.parametrize(
    ("started", "ended"),
    [
        ("2026-01-04T23:00:00Z", "2026-01-05T01:00:00Z"),  # begins before the first row
        ("2026-01-14T23:00:00Z", "2026-01-16T00:00:00Z"),  # runs into a gap
        ("2026-01-14T00:00:00Z", "2026-01-21T00:00:00Z"),  # a gap in its midst
        ("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"),
        ("2026-01-11T00:00:00Z", "2026-01-10T00:00:00Z"),
    ],
)
def test_a_run_that_is_not_covered_has_no_figure(tmp_path: Path, started: str, ended: str) -> None:
    text = "start,end,kg_co2e\n2026-01-05,2026-01-15,10\n2026-01-20,2026-01-25,10\n"
    found = report(tmp_path, text).of_run(started, ended)
    assert found.location_g is None
    assert "does not cover the run" in found.note


def test_a_record_without_times_has_no_figure(tmp_path: Path) -> None:
    found = report(tmp_path, "start,end,kg_co2e\n2026-01-05,2026-01-15,10\n").of_run("", "")
    assert found.location_g is None
    assert "when the run began" in found.note


def test_offsets_are_heeded_and_none_means_utc(tmp_path: Path) -> None:
    text = "start,end,kg_co2e\n2026-01-10T00:00:00+02:00,2026-01-10T02:00:00+02:00,4\n"
    plain = report(tmp_path, text)
    assert plain.of_run("2026-01-09T22:00:00", "2026-01-09T23:00:00").location_g == 2000
    assert plain.of_run("2026-01-10T00:00:00", "2026-01-10T01:00:00").location_g is None


def test_spreadsheets_write_a_mark_and_other_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_bytes(b"\xef\xbb\xbfstart,end,kg_co2e\r\n2026-01-05,2026-01-15,10\r\n\r\n")
    assert load_report(str(file)).of_run(*RUN).location_g == pytest.approx(1500)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: these columns are no emissions export"),
        ("date,co2\n2026-01-01,1\n", "expected are start, end, kg_co2e; or usage_month"),
        ("start,end,kg_co2e\n", "no rows"),
        ("start,end,kg_co2e\n2026-01-05,2026-01-15\n", ":2: it has not as many cells"),
        ("start,end,kg_co2e\n2026-01-05,2026-01-15,1,2\n", ":2: it has not as many cells"),
        ("start,end,kg_co2e\n2026-01-05,2026-01-15,\n", ':2: "kg_co2e" is empty'),
        ("start,end,kg_co2e\n2026-01-05,2026-01-15,-1\n", ':2: "kg_co2e" is "-1"'),
        ("start,end,kg_co2e\n2026-01-05,2026-01-15,nan\n", ':2: "kg_co2e" is "nan"'),
        ("start,end,kg_co2e\n2026-01-05,2026-01-15,1e999\n", ':2: "kg_co2e" is "1e999"'),
        ('start,end,kg_co2e\n2026-01-05,2026-01-15,"1,5"\n', ':2: "kg_co2e" is "1,5"'),
        ("start,end,kg_co2e\n05/01/2026,2026-01-15,1\n", ':2: "05/01/2026" is no ISO 8601'),
        ("start,end,kg_co2e\n2026-01-15,2026-01-05,1\n", ":2: start .* is not before end"),
        ("start,end,kg_co2e\n2026-01-15,2026-01-15,1\n", ":2: start .* is not before end"),
        ("start,end,kg_co2e,kg_co2e\n2026-01-05,2026-01-15,1,2\n", '"kg_co2e" is given twice'),
        ('start,end,kg_co2e\n"2026-01-05,2026-01-15,1\n', "not CSV"),
        (f"{GOOGLE}\nJanuary,a,8,1,1,0\n", ':2: "January" is no ISO 8601'),
        (f"{GOOGLE}\n9999-12-01,a,8,1,1,0\n", ":2: .* is no month"),
        (f"{AWS}\nt,v3,EC2,kg,1,MTCO2e,1,e,2026-01-01\n", ':2: .* is in "kg"; MTCO2e'),
        (
            f"{AWS}\nt,v2,EC2,MTCO2e,1,MTCO2e,1,e,2026-01-01\nt,v3,EC2,MTCO2e,1,MTCO2e,1,e,2026-01-01\n",
            "several model versions .v2, v3.",
        ),
    ],
)
def test_a_bad_export_is_refused_with_the_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        report(tmp_path, text)
    assert "export.csv" in str(caught.value)


def test_all_bad_rows_are_told_at_once(tmp_path: Path) -> None:
    text = "start,end,kg_co2e\nx,2026-01-15,1\n2026-01-05,2026-01-15,1\n2026-01-05,y,1\n"
    with pytest.raises(InputError) as caught:
        report(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert [line.split("export.csv")[1][:3] for line in lines] == [":2:", ":4:"]


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        load_report(tmp_path / "absent.csv")
    binary = tmp_path / "export.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(StorageError, match="not UTF-8"):
        load_report(binary)
