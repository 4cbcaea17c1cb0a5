"""The model card says what is known, in a form that huggingface_hub reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from wattune.artefact.card import model_card
from wattune.artefact.card_blocks import base_repo
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
from wattune.models.quiet import quiet_peft
from wattune.prompt import PromptTemplate
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


def test_the_base_that_the_hub_does_not_have_is_shown_under_what_it_was_made_of() -> None:
    packaged = ModelRef(name="smollm2-135m-q4", revision="r")
    data, body = read(model_card(TUNED.model_copy(update={"model": packaged}), title="it"))
    assert data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert data.to_dict()["base_model_relation"] == "adapter"
    assert "It stands on **smollm2-135m-q4**" in body  # other weights, so not opened by that name
    assert "SmolLM2-135M-Instruct" not in body


def test_the_page_tells_data_quality_bill_and_what_was_forgotten() -> None:
    _, body = read(model_card(TUNED, record=RECORD, title="my-ferry"))
    for text in (
        'wt.load_system("my-ferry")',
        'from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct", revision="12fd25f7")',
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


def test_weights_made_from_nothing_have_no_base() -> None:
    (stage,) = RECORD.stages
    record = RECORD.model_copy(
        update={"stages": (stage.model_copy(update={"strategy": "from_scratch"}),)}
    )
    made = BASE.model_copy(update={"weights": StageRef(key="b" * 16)})
    data, body = read(model_card(made, record=record, title="it"))
    assert (data.base_model, data.license) == (None, None)
    assert "base_model_relation" not in data.to_dict()
    assert "has the architecture alone" in body


def test_prompt_and_steps_stand_in_the_card_as_they_were_recorded(tmp_path: Path) -> None:
    prompt = PromptTemplate(instruction="Reply\n```\n{refusal}\n```", question=" Q: {question}")
    steps: list[dict[str, Any]] = [
        {"prompt": {"shots": 0, "instruction": prompt.instruction, "file": None}},
        {"lora": {"r": 16, "learning_rate": 2e-5, "data": {"paraphraser": str(tmp_path)}}},
    ]
    record = RECORD.model_copy(update={"recipe": {"runs": {"lora": steps}}, "seed": 3})
    text = model_card(TUNED.model_copy(update={"prompt": prompt}), record=record, title="it")
    shown, made = re.findall(r"^(`{3,})yaml\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
    assert yaml.safe_load(shown[1]) == {k: v for k, v in prompt.plain().items() if v is not None}
    del steps[0]["prompt"]["file"]
    steps[1]["lora"]["data"]["paraphraser"] = tmp_path.name  # where it lies is nobody's business
    assert yaml.safe_load(made[1]) == {"seed": 3, "runs": {"lora": steps}}


@pytest.mark.parametrize("kind", ["adapted", "prompt_tuned", "merged", "hub"])
def test_the_code_in_the_card_runs(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], adapted: LocalSystem, kind: str
) -> None:  # fmt: skip
    system: LocalSystem = (
        request.getfixturevalue("prompt_tuned") if kind == "prompt_tuned" else adapted
    )
    folder = system.save(tmp_path / "saved", merge=kind == "merged")
    monkeypatch.chdir(tmp_path)
    text = (folder / "README.md").read_text(encoding="utf-8")
    if kind == "hub":  # a folder of that name stands in for the hub
        Path("org").mkdir()
        Path("org/name").symlink_to(adapted.model.name)
        named = ModelRef(name="org/name@abc", revision="abc")
        text = model_card(system.model_copy(update={"model": named}), title="saved")
    answering, measuring, alone = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    known: dict[str, Any] = {}
    exec(answering, known)
    assert capsys.readouterr().out.strip() == known["answer"].text
    assert known["answer"].text
    compile(measuring, "README.md", "exec")
    with quiet_peft():
        exec(alone, known)
    assert known["model"].config.hidden_size == 32
    assert ("from wattune" in alone) == (kind in ("adapted", "prompt_tuned"))


def test_bases_are_named_as_the_hub_names_them(tmp_path: Path) -> None:
    named = {
        "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "org/name@abc": "org/name",
        "smollm2-135m-q4": None,
        str(tmp_path): None,
    }
    found = {name: base_repo(ModelRef(name=name, revision="r")) for name in named}
    assert found == named
