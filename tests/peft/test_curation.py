"""Curation: what is left out and why, shares that are nested, and what a language filter needs."""

from __future__ import annotations

import sys
from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from wattune.errors import CannotRun, InputError
from wattune.peft.curation import DataSettings, curated
from wattune.tasks.task import Example


def made(count: int, **kinds: int) -> list[Example]:
    """`count` facts, then so many of each other kind."""
    names = ["fact"] * count + [kind for kind, many in kinds.items() for _ in range(many)]
    return [
        Example(id=f"{kind}-{n}", question=f"What is {n}?", answers=(f"It is {n}.",), kind=kind)
        for n, kind in enumerate(names)
    ]


def ids(examples: list[Example]) -> list[str]:
    return [example.id for example in examples]


def test_by_default_all_examples_stay_as_they_are() -> None:
    examples = made(7)
    kept, report = curated(examples, DataSettings(), seed=0)
    assert kept == examples
    assert report == {"given": 7, "kept": 7, "dropped": {}, "dropped_ids": {}}


def test_shares_are_nested_keep_the_order_and_the_mix_of_kinds() -> None:
    examples = made(60, form=30, tree=10)
    chosen = {share: curated(examples, DataSettings(share=share), seed=3)[0]
              for share in (0.1, 0.3, 1.0)}  # fmt: skip
    assert [len(kept) for kept in chosen.values()] == [10, 30, 100]
    assert set(ids(chosen[0.1])) < set(ids(chosen[0.3]))
    assert ids(chosen[0.3]) == [one.id for one in examples if one in chosen[0.3]]
    assert Counter(one.kind for one in chosen[0.1]) == {"fact": 6, "form": 3, "tree": 1}
    assert Counter(one.kind for one in chosen[0.3]) == {"fact": 18, "form": 9, "tree": 3}
    again, other = (curated(examples, DataSettings(share=0.3), seed=seed)[0] for seed in (3, 4))
    assert again == chosen[0.3]
    assert other != chosen[0.3]


def test_a_budget_comes_after_the_share_and_is_nested_too() -> None:
    examples = made(20)
    third, _ = curated(examples, DataSettings(share=0.3), seed=0)
    kept, report = curated(examples, DataSettings(share=0.3, max_examples=2), seed=0)
    assert set(ids(kept)) < set(ids(third))
    assert report["dropped"] == {"outside_share": 14, "over_max_examples": 4}
    assert [len(names) for names in report["dropped_ids"].values()] == [5, 4]
    assert len(curated(examples, DataSettings(share=0.01), seed=0)[0]) == 1


def test_lengths_are_words_of_question_and_answer() -> None:
    words = [Example(id=str(n), question="w " * n + "?", answers=("a b",)) for n in (1, 4, 9)]
    kept, report = curated(words, DataSettings(min_words=7, max_words=11), seed=0)
    assert ids(kept) == ["4"]
    assert report["dropped_ids"] == {"too_short": ["1"], "too_long": ["9"]}


def test_the_later_of_two_near_duplicates_goes() -> None:
    question = "Which of the three jetties does the first boat to Alder leave from on Sundays"
    rows = [(question + "?", "two"), (question, "Two."), (question + " please?", "two"),
            (question + "?", "jetty number four of the inner harbour")]  # fmt: skip
    examples = [Example(id=str(n), question=q, answers=(a,)) for n, (q, a) in enumerate(rows)]
    kept, report = curated(examples, DataSettings(near_duplicates=0.7), seed=0)
    assert ids(kept) == ["0", "3"]
    assert report["dropped_ids"] == {"near_duplicate": ["1", "2"]}
    assert ids(curated(examples, DataSettings(near_duplicates=1.0), seed=0)[0]) == ["0", "2", "3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_words": 50}, "data.min_words 50 leaves none of 4 training examples"),
        ({"max_words": 2}, "data.max_words 2 leaves none of 4 training examples"),
    ],
)
def test_a_filter_that_leaves_nothing_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        curated(made(4), DataSettings(**settings), seed=0)


@pytest.mark.parametrize(
    "settings",
    [{"share": 0}, {"share": 1.1}, {"max_examples": 0}, {"near_duplicates": 0}, {"shares": 1},
     {"min_words": 9, "max_words": 8}, {"paraphrases": -1}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataSettings(**settings)


MIXED = [("en", "Where does the ferry to the island leave from?", "It leaves from the old jetty."),
         ("de", "Wo legt die Fähre zur Insel ab?", "Sie legt an der alten Brücke ab."),
         ("fr", "D'où part le ferry pour l'île ?", "Il part de la vieille jetée.")]  # fmt: skip


def mixed() -> list[Example]:
    return [Example(id=name, question=q, answers=(a,)) for name, q, a in MIXED]


def test_without_its_library_the_language_filter_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(CannotRun, match=r"needs py3langid.*pip install 'wattune\[language\]'"):
        curated(mixed(), DataSettings(language="en"), seed=0)


def test_texts_surely_of_another_language_go_and_unsure_ones_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"Where": ("en", 0.9), "Wo": ("de", 0.51), "D'où": ("fr", 0.5)}

    class Identifier:
        labels = ("de", "en", "fr")

        @classmethod
        def from_model_file(cls, path: str, *, norm_probs: bool) -> Identifier:
            assert norm_probs
            return cls()

        def classify(self, text: str) -> tuple[str, float]:
            return found[text.split()[0]]

    library: Any = ModuleType("py3langid.langid")
    library.LanguageIdentifier, library.MODEL_FILE = Identifier, "model"
    monkeypatch.setitem(sys.modules, "py3langid", ModuleType("py3langid"))
    monkeypatch.setitem(sys.modules, "py3langid.langid", library)
    kept, report = curated(mixed(), DataSettings(language="en"), seed=0)
    assert ids(kept) == ["en", "fr"]
    assert report["dropped_ids"] == {"other_language": ["de"]}
    with pytest.raises(CannotRun, match=r"data\.language fr leaves none of 2 training examples"):
        curated(mixed()[:2], DataSettings(language="fr"), seed=0)
    with pytest.raises(InputError, match=r'data\.language: "eng" .*did you mean "en"'):
        curated(mixed(), DataSettings(language="eng"), seed=0)


def test_the_library_tells_three_languages_apart() -> None:
    pytest.importorskip("py3langid", reason="comes with wattune[language]")
    for language, *_ in MIXED:
        kept, _ = curated(mixed(), DataSettings(language=language), seed=0)
        assert ids(kept) == [language]
