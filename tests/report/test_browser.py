"""The page in a real browser: no error, the slider moves the winner, hostile answers stay text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattune.advice import Needs
from wattune.compare.usage import Usage
from wattune.report import report_of
from wattune.report.page import to_html

pytest.importorskip("altair")
pytest.importorskip("vl_convert")


@pytest.fixture(scope="module")
def opened(browser: Any, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    needs = Needs(usage=Usage(answers_per_day=10), min_quality=0.6)
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_bytes(to_html(report_of([runs], needs)).encode("utf-8"))
    browser.open(file)
    return browser


def test_all_charts_are_drawn_and_nothing_complains(opened: Any) -> None:
    assert opened.ask("document.documentElement.dataset.drawn") == "6"
    assert opened.ask("document.querySelectorAll('.chart svg').length") == 6
    assert opened.said == []


def test_a_hostile_answer_does_not_run_even_when_it_is_opened(opened: Any) -> None:
    opened.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert opened.ask("document.title") == "ferry <b>boats</b>: which way to go"
    assert opened.ask("document.images.length") == 0
    assert opened.said == []


def test_the_slider_moves_the_winner(opened: Any) -> None:
    winner = "document.querySelector('.winner').textContent"
    rule = "document.querySelector('#chart-break-even [stroke-dasharray=\"3,3\"]').outerHTML"
    assert "take tuned" in opened.ask(winner)
    before = opened.ask(rule)
    opened.ask("document.querySelector('input').focus()")
    for _ in range(5):  # 3,650, 2,000, 1,000, 500, 200, 100
        opened.press("ArrowLeft")
    assert opened.ask(winner).startswith("100 answers in 1 year")
    assert "take retrieval" in opened.ask(winner)
    assert opened.ask("document.querySelector('input').getAttribute('aria-valuetext')") == (
        opened.ask(winner)
    )
    opened.ask("new Promise(done => setTimeout(done, 200))")
    assert opened.ask(rule) != before
    assert opened.said == []


def test_ink_and_paper_follow_the_reader(opened: Any) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.send("Emulation.setEmulatedMedia", features=features)
        seen[scheme] = (
            opened.ask("getComputedStyle(document.body).backgroundColor"),
            opened.ask("getComputedStyle(document.querySelector('.chart text')).fill"),
            opened.ask("getComputedStyle(document.querySelector('.mark-symbol path')).fill"),
        )
    opened.send("Emulation.setEmulatedMedia", features=[])
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))


def test_on_a_phone_nothing_is_wider_than_the_screen(opened: Any) -> None:
    opened.send("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2,
                mobile=True)  # fmt: skip
    opened.ask("new Promise(done => setTimeout(done, 300))")
    assert opened.ask("document.documentElement.scrollWidth") <= 360
    opened.send("Emulation.clearDeviceMetricsOverride")
