"""What a report holds: volumes, examples, colours, the other formats, and odd records."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from wattune.advice import Needs
from wattune.cli.reporting import report as verb
from wattune.compare import compare
from wattune.compare.break_even import break_even
from wattune.compare.frontier import fronts
from wattune.compare.lifecycle import costs_of
from wattune.compare.usage import Usage
from wattune.errors import CannotRun, InputError
from wattune.measure.record import Bill, Record
from wattune.report import Report, report_from, report_of
from wattune.report.colours import DARK, DARK_PAPER, LIGHT, LIGHT_PAPER, MARKS, numbers_of
from wattune.report.frontier_charts import _point
from wattune.report.texts import to_csv, to_json, to_markdown
from wattune.report.volumes import grid_of, spans_of, told

NEEDS = Needs(usage=Usage(answers_per_day=10), min_quality=0.6)
Make = Callable[..., Record]


@pytest.fixture(scope="module")
def report(runs: Path) -> Report:
    return report_of([runs], NEEDS)


def test_the_choice_turns_where_the_runs_break_even(report: Report) -> None:
    (part,) = report.parts
    spans = spans_of(part.stops)
    assert [(s.choice, s.first, s.last) for s in spans] == [
        ("retrieval", 10.0, 200.0), ("tuned", 500.0, 1e6),
    ]  # fmt: skip
    retrieval, tuned = (costs_of(row, NEEDS.usage) for row in part.rows[1:])
    paid_back = break_even(retrieval, tuned, NEEDS.usage)
    assert paid_back.answers is not None
    assert 200 < paid_back.answers.value < 500
    assert part.stops[0].cheapest == "plain"  # the cheapest, and not good enough


def test_the_grid_holds_what_was_asked_for() -> None:
    assert grid_of(None)[:4] == [10.0, 20.0, 50.0, 100.0]
    assert grid_of(None)[-1] == 1e6
    assert 3650.0 in grid_of(3650.0)
    assert grid_of(5000 / 365 * 365 + 1e-9) == grid_of(None)
    assert grid_of(3.0)[0] < 3.0
    assert grid_of(2e8)[-1] >= 1e9


def test_where_nothing_is_good_enough_that_is_said(runs: Path) -> None:
    hard = NEEDS.model_copy(update={"min_quality": 0.99})
    (part,) = report_of([runs], hard).parts
    assert told(part.stops, hard) == (
        "Nothing meets what is asked at any volume from 10 to 1,000,000 answers in 1 year."
    )
    assert all(stop.choice is None for stop in part.stops)
    assert part.stops[0].sentence.endswith("nothing meets what is asked.")


def test_the_files_hold_the_same_figures(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    (part,) = report.parts
    assert len(rows) == 3 * len(part.stops)
    first = next(r for r in rows if r["run"] == "tuned" and r["answers"] == "1000.0")
    # 7,200 J once and 1,000 answers of 2 J are 9,200 J.
    assert float(first["total_wh"]) == pytest.approx(9200 / 3600)
    assert float(first["total_wh_low"]) < float(first["total_wh"]) < float(first["total_wh_high"])
    assert first["taken"] == "True"
    content = json.loads(to_json(report))
    assert content["advice"]["decisions"][0]["choice"] == "tuned"
    stops = {stop["answers"]: stop for stop in content["groups"][0]["volumes"]}
    assert stops[1000.0]["total_wh"]["tuned"]["value"] == pytest.approx(9200 / 3600)
    text = to_markdown(report)
    assert text.startswith("# ferry <b>boats</b>: which way to go\n")
    assert "Take tuned:" in text
    assert "| tuned |" in text
    assert "Records and their digests" in text


def test_no_name_is_run_by_a_spreadsheet(record_of: Make) -> None:
    made = report_from(compare([record_of("=1+1", 30, 0.0, 1.0)]), NEEDS, {})
    names = {row["run"] for row in csv.DictReader(io.StringIO(to_csv(made)))}
    assert names == {"'=1+1"}


def test_what_was_prepared_has_its_own_interval(record_of: Make) -> None:
    pytest.importorskip("altair")
    sizes = [record_of(f"lora+r={r}", 20 + r, 3600.0 * r, 1.0, trained=True) for r in (1, 2)]
    (front,) = fronts(compare(sizes))
    assert front.cost == "Wh of preparing"
    low, high = _point(front.points[1], front, NEEDS.usage)["wh_text"][3:-1].split(", ")
    # Measured again, 2 Wh come out otherwise by 5 %: 1.96 standard deviations are 10 %.
    assert float(low) == pytest.approx(1.81, abs=0.03)
    assert float(high) == pytest.approx(2.2, abs=0.04)
    (row,) = compare([record_of("dark", 20, 0.0, 1.0, prepare=Bill(energy_j=None))]).rows
    bare = _point(dataclasses.replace(front.points[0], row=row), front, NEEDS.usage)
    assert (bare["wh_text"], bare["wh_low"], bare["wh_high"]) == ("1", 1.0, 1.0)


def test_charts_have_their_figures_in_words_and_tables(report: Report) -> None:
    pytest.importorskip("altair")
    charts = {chart.name: chart for chart in report.charts(report.parts[0], "file")}
    assert list(charts) == [
        "frontier", "break-even", "phases", "kinds", "loss-steps", "loss-energy",
    ]  # fmt: skip
    assert charts["frontier"].description.endswith("the cheapest first: plain, tuned.")
    # Of 20 J an answer 5 J were above rest: 1,000 answers, loading (2.5 of 10 J) and 18 of 36 J.
    table = charts["phases"].table
    retrieval = dict(zip(table.headers, table.rows[1], strict=True))
    assert retrieval == {
        "run": "retrieval", "prepare": "0.005", "load": "0.000694", "answer": "1.39",
        "idle": "4.17", "in all": "5.57",
    }  # fmt: skip
    assert charts["loss-energy"].table.rows == (("tuned", "0.3", "0.8"),)
    assert "var(" not in json.dumps([chart.spec for chart in charts.values()])


def test_figures_are_real_pictures(report: Report) -> None:
    pytest.importorskip("vl_convert")
    from wattune.report.pictures import pictures

    made = dict(itertools.islice(pictures(report), 2))
    assert list(made) == ["frontier.png", "frontier.svg"]
    width, height = struct.unpack(">II", made["frontier.png"][16:24])
    assert width > 1200
    assert height > 600
    assert b"retrieval" in made["frontier.svg"]


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("colours", "paper"), [(LIGHT, LIGHT_PAPER), (DARK, DARK_PAPER)])
def test_every_colour_stands_out_from_its_paper(colours: tuple[str, ...], paper: str) -> None:
    assert len(colours) == len(set(colours)) == len(MARKS)
    for colour in colours:
        low, high = sorted((_luminance(colour), _luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_settings_of_one_run_share_its_colour(record_of: Make) -> None:
    names = ("a", "rag+k=1", "rag+k=2", "b")
    rows = compare([record_of(name, 5, 1.0, 1.0) for name in names]).rows
    assert numbers_of(rows) == {"a": 0, "rag+k=1": 1, "rag+k=2": 1, "b": 2}


def test_odd_records_make_a_report_all_the_same(record_of: Make) -> None:
    pytest.importorskip("altair")
    alone = record_of("alone", 0, 0.0, 1.0)  # one record, no answer right, nothing prepared
    dark = record_of("dark", 20, 0.0, 1.0, phases={}, baseline=None)  # nothing was metered
    twin = record_of("twin", 0, 0.0, 1.0)
    failed = record_of("broken", 0, 0.0, 1.0, status="failed", reason="out of memory")
    for records in ([alone], [alone, twin], [alone, dark], [alone, failed], [dark]):
        made = report_from(compare(records), NEEDS, {})
        for part in made.parts:
            names = [chart.name.partition("-")[0] for chart in made.charts(part, "page")]
            assert part.examples == ()
            assert ("frontier" in names) == (part.front is not None and "alone" in str(part.rows))
        assert to_json(made)
        assert to_markdown(made)


def test_groups_that_are_not_weighed_together_have_their_own_parts(record_of: Make) -> None:
    pytest.importorskip("altair")
    other = {"hardware": {"cpu": "another"}}
    records = [
        record_of("here", 20, 0.0, 1.0),
        record_of("there", 30, 0.0, 2.0, environment=other),
    ]
    made = report_from(compare(records), NEEDS, {})
    assert [len(part.rows) for part in made.parts] == [1, 1]
    assert all(part.decision.group for part in made.parts)
    names = [chart.name for part in made.parts for chart in made.charts(part, "page")]
    assert len(names) == len(set(names)) == 8


def test_a_record_without_its_answers_is_left_out_of_the_examples(
    written: Callable[..., Path], record_of: Make
) -> None:
    folder = written(*(record_of(name, 9 * n, 0.0, 1.0) for n, name in enumerate("abc", 1)))
    next(folder.glob("b-*.answers.jsonl")).unlink()
    (part,) = report_of([folder], NEEDS).parts
    assert {said.run for example in part.examples for said in example.said} == {"a", "c"}


def invoke(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(verb)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_verb_writes_by_the_ending(runs: Path, tmp_path: Path) -> None:
    asked = ("--answers-per-day", "10", "--min-quality", "0.6")
    for ending in ("md", "csv", "json"):
        file = tmp_path / f"report.{ending}"
        result = invoke(runs, "-o", file, *asked)
        assert result.exit_code == 0, result.output
        assert "tuned" in file.read_text(encoding="utf-8")


def test_the_verb_says_what_would_be_right(runs: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ((runs,), "-o report.html"),
        ((runs, "-o", "report.doc"), ".html, .md, .csv, .json"),
        ((tmp_path, "-o", "report.md"), "no records there"),
        ((runs, "-o", "report.md", "--boundary", "owned"), "--inventory"),
        ((runs, runs, "--inventory"), "one folder"),
    ):
        error = invoke(*arguments).exception
        assert isinstance(error, InputError)
        assert words in str(error)


def test_without_the_plotting_library_the_page_says_what_to_install(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattune.report.page import to_html

    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(CannotRun, match=r"pip install 'wattune\[report\]'"):
        to_html(report)
    assert to_markdown(report)  # text needs none
