"""The command line on a time of use: options, formats, what is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.measure.record import Bill, Energy, Phase, Record, Score
from wattune.measure.store import write_record

Wattune = Callable[..., Any]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A folder with a run that is dear to prepare and one that is dear to ask."""
    for name, prepare_j, answer_j, quality in (("lora", 7200.0, 1.0, 0.5), ("rag", 0.0, 3.0, 0.4)):
        energy = {"cpu": Energy(energy_j=40 * answer_j, provenance="counter")}
        phase = Phase(duration_s=4.0, energy_j=40 * answer_j, components=energy)
        score = Score(value=quality, low=quality, high=quality, n=40)
        record = Record(
            name=name, key=f"{name}0123456789", answers=40, phases={"answer": phase},
            prepare=Bill(energy_j=prepare_j, duration_s=9.0), quality={"token_f1": score},
            task={"name": "ferry", "items": "0123", "metrics": ["token_f1"]},
        )  # fmt: skip
        write_record(tmp_path / "runs", record, [])
    return tmp_path / "runs"


def test_a_time_of_use_adds_tables_and_sentences(wattune: Wattune, records: Path) -> None:
    plain = wattune("compare", records)
    assert "--answers-per-day 1000" in plain.out
    assert "Life cycle" not in plain.out
    ran = wattune("compare", records, "--answers-per-day", 100, "--min-quality", 0.3)
    assert ran.code == 0
    assert "Life cycle in Wh, with 95 % interval: 100 answers a day for 1 year" in ran.out
    assert "Break-even" in ran.out
    assert "3,600 [" in ran.out  # 7200 J for 2 J an answer
    text = " ".join(ran.out.split())
    assert "lora takes the least: 12.1 Wh" in text
    assert "With fewer than 9.86 answers a day it would be rag." in text
    assert "Over a time shorter than 36 days it would be rag." in text
    asked = ("compare", records, "--answers-per-day", 100, "--format", "markdown")
    assert "**Break-even, with 95 % interval**" in wattune(*asked).out


def test_files_hold_the_figures(wattune: Wattune, records: Path) -> None:
    asked = ("compare", records, "--answers-per-day", 100, "--horizon", "73d", "--format")
    lora, rag = csv.DictReader(io.StringIO(wattune(*asked, "csv").out))
    assert float(lora["life_cycle_wh"]) == pytest.approx((7200 + 7300) / 3600)
    assert float(rag["life_cycle_answers_wh"]) == pytest.approx(3 * 7300 / 3600)
    found = json.loads(wattune(*asked, "json", "--min-quality", 0.3).out)
    assert (found["usage"]["horizon_days"], len(found["runs"])) == (73.0, 2)
    (group,) = found["groups"]
    assert (group["winner"], group["changes"][0]["winner"]) == ("lora", "rag")
    (pair,) = group["break_even"]
    assert pair["answers"]["value"] == pytest.approx(3600)
    assert isinstance(json.loads(wattune("compare", records, "--format", "json").out), list)


def test_what_is_not_known_is_said(wattune: Wattune, records: Path) -> None:
    asked = ("compare", records, "--answers-per-day", 100, "--refresh", "weekly")
    text = " ".join(wattune(*asked).out.split())
    assert "Not known of lora: what a refresh takes" in text
    assumed = " ".join(wattune(*asked, "--refresh-costs", "prepare").out.split())
    assert "ASSUMED, not measured" in assumed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--horizon", "1y"), "--horizon needs --answers-per-day"),
        (("--min-quality", "0.3"), "--min-quality needs --answers-per-day"),
        (("--answers-per-day", "-3"), "answers_per_day -3"),
        (("--answers-per-day", "3", "--horizon", "90"), "'90' is no span of time"),
        (("--answers-per-day", "3", "--refresh", "wekly"), 'did you mean "weekly"'),
        (("--answers-per-day", "3", "--cached-share", "40"), "cached_share 40"),
        (("--answers-per-day", "3", "--min-quality", "nan"), "nan is no number"),
        (("--metric", "token_f1"), "--metric changes nothing without --frugal"),
        (("--finish",), "--finish changes nothing without --frugal"),
        (("--scores", "x.csv"), "--scores changes nothing without --by model"),
        (("--start", "greenest"), "--start changes nothing with finished records"),
        (("--budget", "1Wh"), "--budget changes nothing with finished records"),
        (("--by", "model", "--answers-per-day", "3"), "changes nothing with --by model"),
        (("--by", "hardware", "--allow"), "--allow changes nothing with --by hardware"),
        (("--baseline", "2026-01-01", "--by", "model"), "--by changes nothing with --baseline"),
        (("--frugal", "--answers-per-day", "3"), "changes nothing with --frugal"),
        (("--frugal", "--format", "csv"), "--frugal prints a table or JSON, and no csv"),
    ],
)
def test_what_makes_no_sense_is_refused(
    wattune: Wattune, records: Path, options: tuple[str, ...], says: str
) -> None:
    ran = wattune("compare", records, *options)
    assert ran.code == 2
    assert says in ran.err


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("report", "--inventory", "--min-quality", 0.3), "--min-quality changes nothing with"),
        (("report", "-o", "x.html", "--boundary", "cloud"), "changes nothing without --inventory"),
        (("advise", "--write-recipe", "x.yaml"), "--write-recipe changes nothing without --ask"),
        (("forecast", "--answers-per-day", 3, "-o", "x.png", "--format", "csv"), "--format"),
    ],
)
def test_options_that_would_change_nothing_are_told(
    wattune: Wattune, records: Path, asked: tuple[str, ...], says: str
) -> None:
    verb, *options = asked
    ran = wattune(verb, records, *options)
    assert ran.code == 2
    assert says in ran.err
    alone = wattune("advise", "--ask", "--max-cost", "2EUR")
    assert "--max-cost changes nothing with --ask" in alone.err


def test_a_floor_is_reached_where_the_questions_cannot_tell(
    wattune: Wattune, records: Path, tmp_path: Path
) -> None:
    """As advise and the frugal comparison have it."""
    from wattune.measure.store import load_records

    for record in load_records(records):
        score = record.quality["token_f1"].model_copy(update={"low": 0.35, "high": 0.55})
        known = record.model_copy(update={"quality": {"token_f1": score}})
        write_record(tmp_path / "wide", known, [])
    asked = ("compare", tmp_path / "wide", "--answers-per-day", 1, "--min-quality", 0.54)
    text = " ".join(wattune(*asked).out.split())
    assert "the runs that reach 0.54 in token F1 or cannot be told from it (rag" in text
    assert "rag takes the least" in text
