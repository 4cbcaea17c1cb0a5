"""The verb that advises: what it prints, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from wattune.cli.advising import advise as verb
from wattune.errors import ConstraintNotMet, InputError
from wattune.measure.record import Record
from wattune.measure.store import write_record

Made = Callable[..., Record]


@pytest.fixture
def pair(made: Made) -> list[Record]:
    return [made("rag", 0.30, 100, 4.0), made("lora", 0.60, 5_000, 2.0)]


@pytest.fixture
def told(
    tmp_path: Path, pair: list[Record], capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the verb on the two records; what it printed."""
    for record in pair:
        write_record(tmp_path / "runs", record, [])
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verb)

    def run(*arguments: object) -> str:
        capsys.readouterr()
        app(args=list(map(str, arguments)), standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_the_verb_prints_words_first(told: Callable[..., str], tmp_path: Path) -> None:
    asked = (tmp_path / "runs", "--answers-per-day", 10_000, "--refresh", "weekly", "--horizon",
             "90d", "--max-latency-p95", "2s", "--max-memory", "8GB", "--place", "FRA")  # fmt: skip
    out = told(*asked)
    assert out.startswith("Take lora: ")
    assert "for 90 days; updated weekly" in out
    told(*asked, "-o", tmp_path / "advice.md")
    assert (tmp_path / "advice.md").read_text().startswith("**Take lora: ")
    content = json.loads(told(*asked, "--format", "json"))
    assert content["needs"]["max_memory_bytes"] == 8e9
    assert content["needs"]["usage"]["refreshes_per_year"] == pytest.approx(365 / 7)


def test_the_verb_exits_with_3_and_still_prints(
    told: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConstraintNotMet, match="lora comes nearest") as found:
        told(tmp_path / "runs", "--answers-per-day", 10, "--min-quality", 0.95)
    assert found.value.exit_code == 3
    assert capsys.readouterr().out.startswith("Nothing meets what is asked.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a folder of records"),
        (("runs",), "--answers-per-day is missing"),
        (("runs", "--answers-per-day", 1, "--max-memory", "8"), "8GB"),
        (("runs", "--answers-per-day", 1, "--max-latency-p95", "2"), "no span of time"),
        (("runs", "--answers-per-day", 1, "--place", "FRX"), "FRX"),
        (("runs", "--ask"), "leave out runs"),
    ],
)
def test_the_verb_says_what_is_wrong(
    told: Callable[..., str], arguments: tuple[object, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        told(*arguments)
