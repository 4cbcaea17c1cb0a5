"""The model card says what is known, in a form that huggingface_hub reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from wattune.artefact.card import base_repo, model_card
from wattune.measure.record import (
    Bill,
    Carbon,
    Energy,
    General,
    Phase,
    Record,
    Score,
    StageRecord,
)
from wattune.measure.work import Work
from wattune.stages import StageRef
from wattune.system import LocalSystem, ModelRef

BASE = LocalSystem(
    model=ModelRef(name="smollm2-135m", revision="12fd25f7"), refusal="I do not know."
)
TUNED = BASE.model_copy(update={"adapters": (StageRef(key="a" * 16),)})


def score(value: float, n: int = 40) -> Score:
    return Score(value=value, low=value - 0.1, high=value + 0.1, n=n)


RECORD = Record(
    name="lora",
    key="k",
    task={"name": "ferry", "version": "1", "split": "test", "questions": 40,
          "metrics": ["token_f1"], "fingerprint": "f00"},
    quality={"token_f1": score(0.512345), "exact_match": score(0.4)},
    stages=(
        StageRecord(
            strategy="lora", key="a" * 16, reused=True, spent=Bill(),
            attributed=Bill(energy_j=7200.0, duration_s=60.0), work=Work(flops=3e12),
            details={"trainable_parameters": 1234, "steps": 30, "tokens": 4567, "examples": 24,
                     "final_loss": 0.25, "best_validation_loss": 0.5,
                     "data": {"given": 30, "dropped": {"near_duplicates": 6},
                              "dropped_ids": {"near_duplicates": ["a"]}}},
        ),
    ),
    prepare=Bill(energy_j=7200.0, duration_s=60.0),
    phases={"answer": Phase(duration_s=1.0, energy_j=1.0, components={
        "cpu": Energy(energy_j=1.0, provenance="counter")})},
    carbon=Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table", year=2024),
    general=General(questions=20, set="s", before=score(0.8, 20), after=score(0.6, 20),
                    change=score(-0.2, 20)),
    environment={"hardware": {"cpu": "A CPU", "gpus": []}},
)  # fmt: skip


def read(text: str) -> tuple[Any, str]:
    """The metadata and the body as the hub's own library reads them."""
    card = ModelCard(text)
    assert isinstance(card.data, ModelCardData)
    return card.data, card.text


def test_metadata_of_a_tuned_system_is_what_the_hub_reads() -> None:
    data, _ = read(model_card(TUNED, record=RECORD, title="my-ferry"))
    assert data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (data.library_name, data.license) == ("peft", "apache-2.0")
    assert (data.pipeline_tag, data.language) == ("text-generation", None)
    assert data.tags == ["wattune", "lora"]
    assert data.metrics == ["token_f1"]
    assert data.eval_results is not None
    (result,) = data.eval_results
    assert (result.dataset_name, result.dataset_split) == ("ferry", "test")
    assert (result.metric_type, result.metric_value) == ("token_f1", 0.5123)
    emissions = data.to_dict()["co2_eq_emissions"]
    assert emissions["emissions"] == pytest.approx(7200 / 3.6e6 * 50.0)  # grams
    assert emissions["training_type"] == "fine-tuning"
    assert emissions["geographical_location"] == "FRA"
    assert emissions["hardware_used"] == "A CPU"
    assert "a table" in emissions["source"]


def test_the_page_tells_data_quality_bill_and_what_was_forgotten() -> None:
    _, body = read(model_card(TUNED, record=RECORD, title="my-ferry"))
    for text in (
        'wt.load_system("my-ferry")',
        'PeftModel.from_pretrained(base, "my-ferry", subfolder="adapter")',
        "Task **ferry** (version 1, fingerprint `f00`), evaluated on 40 test questions",
        "lora was trained on 24 examples, given 30, dropped near duplicates 6.",
        "| token f1 | 0.512 | 0.412 – 0.612 | 40 |",
        "| energy, Wh | 2.000 |",
        "| gCO₂e | 0.1000 |",
        "| seconds | 60.0 |",
        "| operations, 10⁹ | 3,000.0 |",
        "| optimizer steps | 30 |",
        "| training tokens | 4,567 |",
        "| final training loss | 0.250 |",
        "| best validation loss | 0.500 |",
        "How the energy is known: cpu counter.",
        "the base answered 80% rightly and this system 60%: a change of -0.200",
    ):
        assert text in body, text


def test_what_is_not_known_is_left_out() -> None:
    folder = BASE.model_copy(update={"model": ModelRef(name="/models/mine", revision="r")})
    text = model_card(folder, title="it")
    data, body = read(text)
    assert (data.base_model, data.license, data.eval_results) == (None, None, None)
    assert "co2_eq_emissions" not in data.to_dict()
    assert "**mine**" in body
    assert "/models" not in text  # where it lies is nobody's business
    assert "not measured" in body
    for changes in (
        {"carbon": None},
        {"prepare": Bill(energy_j=None)},
        {"stages": ()},
    ):
        bare = RECORD.model_copy(update=changes)
        found = yaml.safe_load(model_card(TUNED, record=bare, title="it").split("---")[1])
        assert "co2_eq_emissions" not in found, changes


@pytest.mark.parametrize(
    ("system", "merged", "library", "relation"),
    [
        (TUNED, False, "peft", "adapter"),
        (TUNED, True, "transformers", "finetune"),
        (BASE.model_copy(update={"weights": StageRef(key="b" * 16)}), False, "transformers",
         "finetune"),
        (BASE, False, "wattune", None),
    ],
)  # fmt: skip
def test_the_library_and_the_kind_of_change(
    system: LocalSystem, merged: bool, library: str, relation: str | None
) -> None:
    data, body = read(model_card(system, merged=merged, title="it"))
    assert data.library_name == library
    assert data.to_dict().get("base_model_relation") == relation
    assert ('AutoModelForCausalLM.from_pretrained("it")' in body) == merged


def test_bases_are_named_as_the_hub_names_them(tmp_path: Path) -> None:
    named = {
        "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "org/name@abc": "org/name",
        "smollm2-135m-q4": None,
        str(tmp_path): None,
    }
    found = {name: base_repo(ModelRef(name=name, revision="r")) for name in named}
    assert found == named
