"""Facts of a model: each from a file that lies here, with its source, whatever its card holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from wattune.endpoint_ref import EndpointRef
from wattune.errors import ModelError
from wattune.measure.licences import is_open
from wattune.measure.model_facts import STATED
from wattune.models.card_metadata import card_metadata
from wattune.models.catalogue import CATALOGUE
from wattune.models.facts import facts_here, facts_of, known_facts
from wattune.models.labels import model_labels, name_at
from wattune.system import EndpointSystem, LocalSystem, ModelRef

CARD = """\
---
license: other
license_name: Port Licence
language: [no, de]
base_model: maker/parent
datasets: [ships, {odd: 1}]
date: 2025-02-28
co2_eq_emissions:
  emissions: 24700000
  source: "the maker's own meter"
model-index:
- name: tiny
  results:
  - task: {type: text-generation}
    dataset: {type: gsm8k, name: GSM8K, split: test}
    metrics: [{type: acc, name: accuracy, value: 12.5}, {type: f1, value: soon}]
    source: {name: A leaderboard, url: "https://example.org/board"}
---
# Tiny
"""


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """The tiny model with a card."""
    made = tmp_path / "tiny-with-card"
    shutil.copytree(tiny, made)
    (made / "README.md").write_text(CARD, encoding="utf-8")
    return made


def test_each_fact_has_its_source(folder: Path) -> None:
    found = facts_here(str(folder))
    assert (found.name, found.revision) == (str(folder), "")
    assert found.precision == "float32"
    assert found.context_tokens == 256
    assert found.weights_bytes == (folder / "model.safetensors").stat().st_size
    assert found.licence == "Port Licence"
    assert found.languages == ("no", "de")  # and not false, as YAML 1.1 has it
    assert found.base_models == ("maker/parent",)
    assert found.training_emissions_g == 24_700_000
    assert (found.published, found.updated) == ("2025-02-28", None)
    assert set(found.sources) == set(STATED)
    assert found.sources["parameters"] == "the headers of its weights"
    assert found.sources["context_tokens"] == "config.json"
    assert found.sources["licence"] == "README.md"
    assert found.sources["updated"] == "only the hub states it; --online asks"


def test_parameters_are_those_that_transformers_counts(tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny)
    counted = sum(weight.numel() for weight in model.parameters())
    assert facts_here(str(tiny)).parameters == counted


def test_scores_of_a_card_keep_who_published_them(folder: Path) -> None:
    found = facts_here(str(folder))
    (score,) = found.scores
    assert (score.benchmark, score.metric, score.score) == ("GSM8K test", "accuracy", 12.5)
    assert (score.source, score.url) == ("A leaderboard", "https://example.org/board")
    assert found.notes == (
        'README.md:6: "datasets" takes a text or a list of texts, so it was left out',
        'README.md:11: "model-index" has 1 result(s) without a number or a name: left out',
    )


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (None, "there is no README.md"),
        ("# Tiny\n", "no front matter between two lines --- at its top"),
        ("---\nlicense: mit\n# never closed\n", "no front matter between two lines ---"),
        ("---\nlicense: [mit\nlanguage: de\n---\n", "README.md:3: broken YAML: "),
        ("---\nlicense: &a mit\nlanguage: *a\n---\n", "has YAML aliases, which are not read"),
        (f"---\nx: {'[' * 200}{']' * 200}\n---\n", "nested too deeply"),
        ("---\n- mit\n---\n", "no mapping of keys to values"),
        ("---\n? {a: 1}\n: 2\n---\n", "README.md:2: broken YAML: found unhashable key"),
        ("---\nco2_eq_emissions: a lot\n---\n", 'README.md:2: "co2_eq_emissions" takes grams'),
        ("---\nco2_eq_emissions: -3\n---\n", 'README.md:2: "co2_eq_emissions" takes grams'),
        ("---\nco2_eq_emissions: 1e999\n---\n", 'README.md:2: "co2_eq_emissions" takes grams'),
        ("---\ndate: yesterday\n---\n", 'README.md:2: "date" takes a date'),
        ("---\nmodel-index: 7\n---\n", 'README.md:2: "model-index" is not as the hub writes it'),
        ("---\nmodel-index: [{name: a}]\n---\n", '"model-index" is not as the hub writes it'),
        (b"---\nlicense: \xff\n---\n", "not UTF-8 text"),
    ],
)
def test_a_card_that_cannot_be_read_says_so(
    tmp_path: Path, card: str | bytes | None, told: str
) -> None:
    if card is not None:
        content = card.encode() if isinstance(card, str) else card
        (tmp_path / "README.md").write_bytes(content)
    found = card_metadata(tmp_path, "tiny")
    (fault,) = found.faults
    assert told in fault
    assert not found.scores
    assert not any(found.stated.values())


def test_a_fault_in_one_key_hides_no_other_and_control_characters_stay_out(tmp_path: Path) -> None:
    card = '---\r\nlicense: "mit\\x1b[31m\\n red"\r\nlanguage: {de: yes}\r\n---\r\n'
    (tmp_path / "README.md").write_bytes(card.encode())
    found = card_metadata(tmp_path, "tiny")
    assert found.stated["licence"] == "mit [31m red"
    assert found.stated["languages"] == ()
    assert found.faults == [
        'README.md:3: "language" takes a text or a list of texts, so it was left out'
    ]


def test_a_card_of_another_kind_of_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "README.md").open("wb") as card:
        card.truncate(5 * 1024**2)
    (fault,) = card_metadata(tmp_path, "tiny").faults
    assert "5.2 MB is no model card" in fault


def test_damaged_files_are_noted_and_hide_nothing_else(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    found = facts_here(str(folder))
    assert (found.parameters, found.context_tokens) == (None, None)
    assert found.sources["parameters"] == "not in the headers of its weights"
    assert found.licence == "Port Licence"
    assert any(note.startswith("config.json cannot be read") for note in found.notes)
    assert any("its weights cannot be read" in note for note in found.notes)


def test_packed_weights_are_not_counted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq"}
    (folder / "config.json").write_text(json.dumps(config))
    found = facts_here(str(folder))
    assert (found.parameters, found.precision) == (None, "quantised, gptq")
    assert found.weights_bytes is not None


def test_a_model_that_is_not_fetched_is_known_by_the_catalogue(cache: Path) -> None:
    found = facts_here("smollm2-135m-q4")
    assert found.parameters == CATALOGUE["smollm2-135m-q4"].parameters
    assert found.base_models == ("HuggingFaceTB/SmolLM2-135M-Instruct",)
    assert found.sources["licence"] == "wattune's catalogue"
    assert (found.context_tokens, found.weights_bytes) == (None, None)
    assert found.notes == ("its files are not here; `wattune models fetch` brings them",)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("minilmm", 'did you mean "minilm"'),
        ("maker/nowhere", "--online asks the hub"),
        (".", "neither config.json nor README.md"),
    ],
)
def test_what_is_no_model_here_is_told(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=told):
        facts_here(name)


def test_a_system_tells_where_it_answers() -> None:
    server = EndpointRef(endpoint="https://models.example.org/v1", model="large")
    facts = facts_of(EndpointSystem(endpoint=server, refusal="no"))
    assert facts is not None
    assert (facts.where, facts.parameters) == ("managed", None)
    assert set(facts.sources.values()) == {"an endpoint does not state it"}
    gone = facts_of(LocalSystem(model=ModelRef(name="/gone/model", revision="1"), refusal="no"))
    assert gone is not None
    assert gone.where == "this_machine"
    assert "no hub id" in gone.notes[0]


def test_older_records_find_the_facts_of_pinned_weights_only(cache: Path) -> None:
    from wattune.measure.record import Record

    def record(name: str, revision: str) -> Record:
        return Record(name="r", key="k", system={"model": {"name": name, "revision": revision}})

    entry = CATALOGUE["smollm2-135m-q4"]
    known = known_facts([record(entry.name, entry.revision), record(entry.name, "older")])
    assert list(known) == [entry.revision]


def test_labels_are_short_and_each_another() -> None:
    server = EndpointRef(endpoint="https://a.example/v1", model="org/Large v2")
    models: list[str | EndpointRef] = ["minilm", "maker/tiny@main", "/models/tiny", server]
    labels = model_labels(models)
    assert (labels[0], labels[3]) == ("minilm", "org_Large_v2")
    assert labels[1].startswith("tiny-")
    assert labels[2].startswith("tiny-")
    assert len(set(labels)) == 4
    long = name_at("r" * 60, "m" * 60)
    assert len(long) <= 61
    assert long != name_at("r" * 60, "m" * 61)


@pytest.mark.parametrize("licence", ["Apache-2.0", "mit", "GPL-3.0-only", "cc-by-4.0"])
def test_open_licences(licence: str) -> None:
    assert is_open(licence)


@pytest.mark.parametrize("licence", ["llama3.1", "openrail", "cc-by-nc-4.0", "other", "gemma"])
def test_other_licences(licence: str) -> None:
    assert not is_open(licence)
