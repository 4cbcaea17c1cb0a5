"""The page: its structure, that it needs nothing else, and that nothing in a record can speak."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from wattune.advice import Needs
from wattune.compare.usage import Usage
from wattune.report import report_of
from wattune.report.page import embedded, to_html

pytest.importorskip("altair")
pytest.importorskip("vl_convert")


@pytest.fixture(scope="module")
def html(runs: Path) -> str:
    needs = Needs(usage=Usage(answers_per_day=10), min_quality=0.6)
    return to_html(report_of([runs], needs))


@pytest.fixture(scope="module")
def page(html: str) -> Any:
    return BeautifulSoup(html, "html.parser")


def test_the_recommendation_comes_first_and_in_words(page: Any) -> None:
    headings = [h.get_text() for h in page.find_all("h2")]
    assert headings == [
        "Recommendation", "Results", "Quality and energy",
        "Volume: when a dear start pays back", "Phases", "Kinds of question", "Training",
        "Examples side by side", "Provenance and method",
    ]  # fmt: skip
    headline = page.select_one("#recommendation .headline").get_text()
    assert headline.startswith("Take tuned:")
    assert "retrieval up to 200 and tuned from 500 on" in page.select_one(".advice").get_text()


def test_landmarks_headings_and_names_are_there_for_screen_readers(page: Any) -> None:
    assert page.html["lang"] == "en"
    assert [len(page.find_all(name)) for name in ("h1", "header", "main", "nav", "footer")] == [
        1
    ] * 5
    levels = [int(h.name[1]) for h in page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [element["id"] for element in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    for section in page.find_all("section"):
        assert section["aria-labelledby"] in ids
    for link in page.find_all("a"):
        assert link["href"].removeprefix("#") in ids
    assert page.body.find("a")["class"] == ["skip"]
    assert page.body.find("a")["href"] == "#recommendation"
    for table in page.find_all("table"):
        assert table.caption.get_text(strip=True)
        assert all(th.get("scope") in ("col", "row") for th in table.find_all("th"))
        assert table.find_parent(attrs={"role": "region"})["aria-label"]
    charts = page.select(".chart")
    assert len(charts) == 6
    for chart in charts:
        assert chart["role"] == "img"
        assert len(chart["aria-label"]) > 40
        assert chart.find_parent("figure").find("table") is not None
    slider = page.find("input")
    assert page.find("label", attrs={"for": slider["id"]})
    assert page.select_one(".winner")["aria-live"] == "polite"
    assert page.select_one(".winner").get_text() == slider["aria-valuetext"]


def test_the_page_loads_nothing_and_its_policy_lets_nothing_else_run(html: str, page: Any) -> None:
    for element in page.find_all(True):
        assert not element.has_attr("src")
        assert not element.has_attr("style")
        assert not [name for name in element.attrs if name.startswith("on")]
        assert element.name not in ("link", "img", "iframe", "object", "base", "form")
    style = page.style.string
    assert "url(" not in style
    assert "@import" not in style
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    scripts = [script for script in page.find_all("script") if not script.get("type")]
    assert rules["script-src"].split() == [digest(script.string) for script in scripts]
    assert rules["style-src"] == digest(style)


def test_what_a_model_said_is_text(html: str, page: Any) -> None:
    said = [element.get_text() for element in page.select(".said")]
    assert "<img src=x onerror=\"document.title='owned'\">" in said
    assert "</script><script>document.title='owned'</script><!--" in said
    before_scripts = html.partition("<script")[0]
    assert len(before_scripts) > 50_000
    assert "<img" not in before_scripts
    assert "</script" not in before_scripts
    data = page.find(id="data").string
    assert not set("<>&") & set(data)
    # Vega's own bundle says "<img" somewhere; what the records say stands before it.
    assert "owned" not in html.partition(data)[2]
    assert page.h1.get_text() == "ferry <b>boats</b>: which way to go"
    assert page.select_one(".question").get_text().startswith("Which <em>jetty</em>")
    assert page.find("em") is None
    assert page.h1.find("b") is None


def test_data_in_a_script_cannot_end_it() -> None:
    content = {"run": "</script><!--<script>& \u2028"}
    text = embedded(content)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == content


def test_the_examples_are_those_that_tell_the_runs_apart(page: Any) -> None:
    examples = page.select(".example")
    assert len(examples) == 20
    runs = [cell.get_text() for cell in examples[0].select(".answers > tbody > tr > th")]
    assert runs == ["plain", "retrieval", "tuned"]
    # Questions 0 to 9 all runs got right, 34 and on none did.
    numbers = {int(re.findall(r"\d+", e.select_one(".question").get_text())[0]) for e in examples}
    assert numbers <= set(range(10, 34))
    assert "page#1, score 0.500" in examples[0].get_text()


def test_one_colour_a_run_in_tables_and_charts(page: Any) -> None:
    charts = json.loads(page.find(id="data").string)["charts"]
    swatches: dict[str, set[str]] = {}
    for cell in page.select("th[scope=row]"):
        if cell.span:
            swatches.setdefault(cell.get_text(), set()).add(cell.span["class"][1])
    assert swatches == {"plain": {"run-0"}, "retrieval": {"run-1"}, "tuned": {"run-2"}}
    pairs = set()
    for scale in _scales(charts):
        pairs |= set(zip(scale["domain"], scale["range"], strict=True))
    assert {p for p in pairs if str(p[1]).startswith("var")} == {
        ("plain", "var(--run-0)"), ("retrieval", "var(--run-1)"), ("tuned", "var(--run-2)"),
    }  # fmt: skip


def _scales(content: Any) -> list[dict[str, Any]]:
    found = []
    if isinstance(content, dict):
        scale = content.get("scale")
        found += [scale] if isinstance(scale, dict) and "range" in scale else []
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            found += _scales(part)
    return found


def test_without_a_volume_the_page_says_where_the_choice_turns(runs: Path) -> None:
    needs = Needs(usage=Usage(answers_per_day=10), min_quality=0.6)
    page: Any = BeautifulSoup(to_html(report_of([runs], needs, asked=False)), "html.parser")
    assert page.select_one(".headline").get_text() == (
        "It depends on the volume, from 10 to 1,000,000 answers in 1 year: retrieval up to 200 and "
        "tuned from 500 on."
    )
    assert "--answers-per-day" in page.select_one("#recommendation").get_text()
    assert "The price of quality" not in page.get_text()
