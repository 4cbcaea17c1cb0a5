"""Metrics by name: what is known, one's own, what they need, and the digest of a scorer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wattune.errors import InputError
from wattune.measure.quality import (
    REGISTRY,
    Item,
    Tools,
    better,
    check_metrics,
    metric_of,
    needs_of,
    rate,
    registry,
    scorer_digest,
)

ITEMS = [
    Item(id="q-1", question="?", text="two words", answers=("two", "three")),
    Item(id="q-2", question="?", text="", answers=("four",)),
]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody's metrics."""
    (tmp_path / "own_metrics.py").write_text(
        "import numpy as np\n"
        "def words(text, answers): return len(text.split()) / len(answers)\n"
        "def single(text, answers): return np.float32(0.5)\n"
        "def nan(text, answers): return float('nan') if text else 0\n"
        "def word(text, answers): return 'good'\n"
        "def broken(text, answers): return 1 / len(text)\n"
        "seven = 7\n"
    )
    (tmp_path / "own_fault.py").write_text("raise RuntimeError('not today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_metrics"


def test_a_metric_of_ones_own(module: str) -> None:
    names = [f"{module}:words", f"{module}:single"]
    check_metrics(names)
    rated = rate(ITEMS, names, Tools())
    assert rated[names[0]] == [1.0, 0.0]
    assert rated[names[1]] == [0.5, 0.5]
    with pytest.raises(InputError, match=r'"own_metrics:nan" on the question q-1 gave nan; a fin'):
        rate(ITEMS, [f"{module}:nan"], Tools())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_metrics:word", r"gave 'good'; a finite number is expected"),
        ("own_metrics:broken", r"on the question \(a trial\) failed \(ZeroDivisionError: "),
        ("own_metrics:seven", r'"own_metrics:seven" is no function: it is of type int'),
        ("own_metrics:eight", r'"own_metrics:eight" cannot be imported \(AttributeError: '),
        ("own_fault:words", r'"own_fault:words" cannot be imported \(RuntimeError: not today\)'),
        ("no_such_module:words", r'"no_such_module:words" cannot be imported \(ModuleNotFound'),
        ("judge:no_such_module:make", r'"no_such_module:make" cannot be imported'),
        ("judge:model", r'"model" is no dotted name; package.module:function is expected'),
        ("recall@0", r'metric "recall@0" is not known; did you mean "recall@5"'),
        ("recall", r'did you mean "recall@5"'),
        ("rougeL", r'metric "rougeL" is not known; did you mean "rouge_l"'),
        ("", r'metric "" is not known; known: '),
    ],
)
def test_a_metric_that_cannot_be_had(module: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_metrics([name])


def test_what_metrics_need_and_what_is_said_without_it() -> None:
    check_metrics([*REGISTRY, "recall@1", "ndcg@20"])
    judge = "judge:os:getcwd"  # something that can be imported; nothing calls it
    assert needs_of([*REGISTRY, judge]) == {"embed", "judge"}
    assert needs_of(["token_f1", "recall@5"]) == set()
    for name, tool in (("semantic", "an embedder"), (judge, "a judge")):
        with pytest.raises(InputError, match=f'"{name}" needs {tool}, and none was given'):
            rate(ITEMS, [name], Tools())
    shapes = [np.zeros((2, 3)), np.zeros(4), np.full((4, 2), np.nan)]
    for vectors in shapes:
        with pytest.raises(InputError, match=r"one vector of finite numbers a text is expected"):
            rate(ITEMS, ["semantic"], Tools(embed=lambda texts, v=vectors: v))  # type: ignore[misc]


def test_texts_are_embedded_once() -> None:
    asked: list[str] = []

    def embed(texts: object) -> np.ndarray:
        assert isinstance(texts, list)
        asked.extend(texts)
        return np.ones((len(texts), 2))

    twice = [*ITEMS, ITEMS[0]]
    assert rate(twice, ["semantic"], Tools(embed=embed))["semantic"] == [
        pytest.approx(1.0), 0.0, pytest.approx(1.0)
    ]  # fmt: skip
    assert sorted(asked) == ["", "four", "three", "two", "two words"]


def test_which_way_is_better() -> None:
    lower = {name for name in REGISTRY if better(name) == "lower"}
    assert lower == {"refusal_rate", "hallucination_rate"}
    assert better("judge:a:b") == "higher"
    assert better("judge:a:b/failed") == "lower"
    assert metric_of("recall@5").needs is None


def test_the_digest_of_a_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    one = scorer_digest(["token_f1", "contained"])
    assert one == scorer_digest(("contained", "token_f1", "contained"))
    others = [scorer_digest(["token_f1"]), scorer_digest(["token_f1", "contained"], "minilm")]
    monkeypatch.setattr(registry, "SCORER_VERSION", registry.SCORER_VERSION + 1)
    others.append(scorer_digest(["token_f1", "contained"]))
    assert len({one, *others}) == 4
