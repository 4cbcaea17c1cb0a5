"""By base model: ten factors from records and cards, each with its source; filters; unknowns."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.base_models import base_models
from wattune.compare.by_model import PUBLISHED, ByModel
from wattune.compare.factors import FACTORS
from wattune.compare.filters import Filters, filtered, filters_of, parameter_count
from wattune.compare.model_card import card_notes, card_tables, plain_card
from wattune.errors import ConstraintNotMet, InputError
from wattune.measure.model_facts import STATED, ModelFacts, PublishedScore
from wattune.measure.record import Bill, Energy, Phase, Record, Score, StageRecord
from wattune.measure.serving import Batch, Realtime

SCORES = {"bare": [0.0, 1.0] * 20, "tuned": [1.0, 1.0, 1.0, 0.0] * 10}


def facts(name: str = "small", **changes: Any) -> ModelFacts:
    """A model that is told nearly everything of; `changes` win."""
    given = {
        "name": name, "revision": f"of-{name}", "where": "this_machine",
        "parameters": 135_000_000, "weights_bytes": 538_000_000, "precision": "float32",
        "context_tokens": 8192, "licence": "Apache-2.0", "languages": ("de", "en"),
        "sources": dict.fromkeys(STATED, "README.md"),
    }  # fmt: skip
    return ModelFacts.model_validate({**given, **changes})


def record(name: str, model: ModelFacts | None, *, tuned: bool = False, **changes: Any) -> Record:
    """A finished run with scores by question; one that was tuned wears an adapter."""
    values = SCORES["tuned" if tuned else "bare"]
    mean = sum(values) / len(values)
    bill = Bill(energy_j=3600.0, duration_s=60.0)
    stage = StageRecord(
        strategy="lora", key="s", reused=False, spent=bill, attributed=bill,
    )  # fmt: skip
    energy = {"cpu": Energy(energy_j=144.0, provenance="counter")}
    system: dict[str, Any] = {"kind": "local", "adapters": [{"key": "s"}] if tuned else []}
    if model is not None:
        system["model"] = {"name": model.name, "revision": model.revision}
    given: dict[str, Any] = {
        "name": name, "key": f"key-of-{name}", "model": model, "system": system,
        "recipe": {"runs": {name: []}},
        "task": {"name": "ferry", "items": "01", "questions": 40, "metrics": ["contained"]},
        "stages": (stage,) if tuned else (),
        "prepare": bill if tuned else Bill(),
        "phases": {"answer": Phase(duration_s=10.0, energy_j=144.0, components=energy)},
        "answers": 40,
        "quality": {"contained": Score(value=mean, low=mean - 0.1, high=mean + 0.1, n=40)},
        "scores": {"contained": values},
        "batch": Batch(questions=40, questions_per_s=4.0),
        "realtime": Realtime(questions=20, latency_p95_s=0.5),
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


LARGE = facts("large", parameters=1_700_000_000, licence="llama3.1", languages=("en",))
UNTOLD = ModelFacts(
    name="untold", revision="1", where="managed", sources=dict.fromkeys(STATED, "not told by it")
)


@pytest.fixture
def records() -> list[Record]:
    """Two runs of a small model, one of a large, one of a server, one classifier."""
    return [
        record("zero-shot@large", LARGE),
        record("zero-shot@small", facts()),
        record("lora@small", facts(), tuned=True),
        record("zero-shot@untold", UNTOLD, system={"kind": "endpoint"}),
        record("classical", None, system={"kind": "classical"}),
    ]


def cells(of: ByModel, model: str) -> dict[str, str]:
    """The ten factors of a model as they are shown."""
    table = next(table for table in of.tables() if table.title.startswith("Ten factors"))
    column = table.headers.index(model)
    return {row[0]: row[column] for row in table.rows}


def test_models_stand_smallest_first_and_classifiers_last(records: list[Record]) -> None:
    models = base_models(compare(records).rows, {})
    assert [model.label for model in models] == ["small", "large", "untold", "a classifier"]
    assert [len(model.rows) for model in models] == [2, 1, 1, 1]


def test_ten_factors_are_laid_out_from_records_and_cards(records: list[Record]) -> None:
    shown = cells(ByModel(compare(records), {}), "small")
    assert tuple(shown) == tuple(FACTORS)
    assert len(shown) == 10
    assert shown["accuracy"] == "contained 0.75 [0.65, 0.85]\n(lora@small)"
    assert shown["performance"] == "0.5 s p95 latency;\n4 answers/s at once"
    # 144 J for 40 answers are 1 Wh for 1,000.
    assert shown["cost"].startswith("1 Wh per 1,000 answers;\n1 Wh to prepare;\nmoney per")
    assert "tried: lora;\n+0.25 [" in shown["customisation potential"]
    assert shown["data security"] == "data stays on this machine"
    assert shown["size"].startswith("135.0 million parameters;\n538.0 MB stored;\nfloat32;")
    assert shown["specialisation"].startswith("languages: de, en;")
    assert shown["ease of integration"].startswith("8,192 tokens of context;")
    assert shown["ethical heritage"].startswith("licence Apache-2.0 (open);")


def test_what_is_not_known_is_unknown_with_where_it_was_looked_for(records: list[Record]) -> None:
    of = ByModel(compare(records), {})
    shown = cells(of, "untold")
    assert "parameters unknown" in shown["size"]
    assert "licence unknown" in shown["ethical heritage"]
    assert shown["data security"] == "data leaves for a server elsewhere"
    findings = {(f["model"], f["name"]): f for f in of.plain()["findings"]}
    assert findings["untold", "parameters"]["value"] is None
    assert findings["untold", "parameters"]["source"] == "not told by it"
    assert findings["small", "training emissions"]["value"] is None
    assert findings["small", "parameters"]["value"] == 135_000_000
    assert findings["small", "p95 latency"]["source"] == (
        "measured: realtime.latency_p95_s of lora@small"
    )
    assert ("a classifier", "licence") not in findings  # it stands on no model
    unknown = next(note for note in of.notes() if note.startswith("Unknown: "))
    assert "(untold): not told by it" in unknown


def test_every_figure_has_a_source_and_unknowns_are_empty_in_csv(records: list[Record]) -> None:
    rows = list(csv.DictReader(io.StringIO(ByModel(compare(records), {}).to_csv())))
    assert {row["factor"] for row in rows} == set(FACTORS)
    assert all(row["source"] for row in rows)
    assert {row["value"] == "" for row in rows if row["text"].endswith(" unknown")} == {True}
    assert "0" not in {row["value"] for row in rows}


def test_the_order_of_records_changes_nothing(records: list[Record]) -> None:
    one, other = ByModel(compare(records), {}), ByModel(compare(records[::-1]), {})
    for model in ("small", "large", "untold", "a classifier"):
        assert cells(one, model) == cells(other, model)


def test_of_equally_good_runs_the_cheapest_is_the_best(records: list[Record]) -> None:
    dear = records[2].phases["answer"].model_copy(update={"energy_j": 288.0})
    twin = records[2].model_copy(update={"name": "a-twin@small", "phases": {"answer": dear}})
    for order in ([twin, *records], [*records, twin]):
        shown = cells(ByModel(compare(order), {}), "small")
        assert "(lora@small)" in shown["accuracy"]


def test_models_of_other_questions_do_not_stand_side_by_side(records: list[Record]) -> None:
    other = record("zero-shot@large", LARGE, task={"name": "ferry", "items": "02"})
    of = ByModel(compare([*records[1:], other]), {})
    titles = [table.title for table in of.tables() if table.title.startswith("Ten factors")]
    assert titles == ["Ten factors, group A", "Ten factors, group B"]
    assert any("differ in questions" in note for note in of.notes())


def test_published_scores_stand_apart_and_rank_nothing(records: list[Record]) -> None:
    own = PublishedScore(
        model="x", benchmark="MMLU", metric="acc", score=31, source="the model's own card"
    )
    records[1] = records[1].model_copy(update={"model": facts(scores=(own,))})
    given = [
        PublishedScore(model="LARGE", benchmark="MMLU", metric="acc", score=44.2, source="a paper"),
        PublishedScore(model="other", benchmark="MMLU", metric="acc", score=90, source="a paper"),
    ]
    comparison = compare(records)
    of = ByModel(comparison, {}, tuple(given))
    table = of.tables()[-1]
    assert (table.title, table.headers) == (
        PUBLISHED,
        ("benchmark", "metric", "small", "large", "published by"),
    )
    assert table.rows == (
        ("MMLU", "acc", "31", "–", "the model's own card"),
        ("MMLU", "acc", "–", "44.2", "a paper"),
    )
    assert "Published scores of other models are not shown: other." in of.notes()
    assert of.tables()[:-1] == ByModel(comparison, {}).tables()[:-1]
    assert comparison.metrics == ["contained"]


def test_older_records_take_facts_of_the_same_weights_only() -> None:
    old = record("old", facts()).model_copy(update={"model": None})
    known = {"of-small": facts(), "of-large": LARGE}
    (model,) = base_models(compare([old]).rows, known)
    assert model.facts == facts()
    (model,) = base_models(compare([old]).rows, {"of-large": LARGE})
    assert model.facts is not None
    assert model.facts.parameters is None
    assert "kept no facts of models" in model.facts.sources["parameters"]


@pytest.mark.parametrize(
    ("filters", "kept", "told"),
    [
        (Filters(), 5, []),
        (
            Filters(licence="open"),
            3,
            [
                "licence llama3.1 of large is not listed as open: zero-shot@large",
                "licence of untold unknown (not told by it): zero-shot@untold",
            ],
        ),
        (
            Filters(licence="Llama3.1"),
            2,
            [
                "licence Apache-2.0 of small, Llama3.1 asked: zero-shot@small, lora@small",
                "licence of untold unknown (not told by it): zero-shot@untold",
            ],
        ),
        (
            Filters(max_parameters=1e9),
            3,
            [
                "1.7 billion parameters of large, at most 1.0 billion asked: zero-shot@large",
                "parameters of untold unknown (not told by it): zero-shot@untold",
            ],
        ),
        (
            Filters(language="German"),
            3,
            [
                "en of large, German asked: zero-shot@large",
                "languages of untold unknown (not told by it): zero-shot@untold",
            ],
        ),
        (Filters(on_premises=True), 4, ["untold: asks a server elsewhere: zero-shot@untold"]),
    ],
)
def test_filters_say_what_fell_out_and_why(
    records: list[Record], filters: Filters, kept: int, told: list[str]
) -> None:
    left, sentences = filtered(records, filters)
    assert len(left) == kept
    assert sentences == [f"Filtered out, {sentence}." for sentence in told]


def test_a_step_that_asks_a_server_leaves_the_premises() -> None:
    asking = {"paraphrases": {"model": {"endpoint": "https://models.example.org/v1"}}}
    with pytest.raises(ConstraintNotMet, match=r"it may ask https://models\.example\.org/v1"):
        filtered(
            [record("lora", facts(), recipe={"runs": {"lora": [{"lora": asking}]}})],
            Filters(on_premises=True),
        )


@pytest.mark.parametrize(("text", "count"), [("1B", 1e9), ("1.7b", 1.7e9), ("135M", 135e6)])
def test_numbers_of_parameters(text: str, count: float) -> None:
    assert parameter_count(text) == count


@pytest.mark.parametrize("text", ["", "0", "many", "-1B", "1G", "1e9", "nan"])
def test_what_is_no_number_of_parameters_is_told(text: str) -> None:
    with pytest.raises(InputError, match="write 135M"):
        parameter_count(text)


def test_what_is_no_language_is_told() -> None:
    with pytest.raises(InputError, match='"xx" is no language'):
        filters_of(None, None, "xx", False)


def test_a_card_shows_what_was_measured_of_these_weights_only() -> None:
    others = [record("a", facts(), tuned=True), record("b", LARGE)]
    told, measured = card_tables(facts(), others, [])
    assert measured.rows == (("a", "0.75 [0.65, 0.85]", "4.00", "1.000", "0.500"),)
    assert ("licence", "Apache-2.0 (open)", "README.md") in told.rows
    assert ("training emissions", "unknown", "README.md") in told.rows
    plain = plain_card(facts(), others, [])
    assert [row["run"] for row in plain["measured"]] == ["a"]
    assert plain["facts"]["training_emissions_g"] is None
    (note,) = card_notes(facts("third"), others, [])
    assert note == "None of the 2 records is of this model in this revision."
