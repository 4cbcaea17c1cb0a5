"""What was measured goes into a model card that is there, and nothing that stood there is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wattune.artefact.card_merge import merged_card
from wattune.errors import InputError
from wattune.measure.record import Bill, Carbon, Record, Score, StageRecord

CARD = """\
---
# see the specification
license: mit   # as upstream
model-index:
- name: my-model
  results:
  - task: {type: text-generation}
    dataset: {name: MMLU, type: mmlu}
    metrics:
    - {type: accuracy, value: 0.5, args: {shots: 5}}
    extra: kept
- name: its-sister
  results: []
# before the tags

tags: [a, b]
---

# My model

---
A line, and --- more.
"""


def record(**changes: Any) -> Record:
    bill = Bill(energy_j=7200.0, duration_s=60.0)
    stage = StageRecord(
        strategy="lora", key="s", reused=False, spent=bill, attributed=bill,
        details={"trainable_parameters": 10},
    )  # fmt: skip
    given = {
        "name": "lora", "key": "0123", "stages": (stage,), "prepare": bill,
        "task": {"name": "ferry", "split": "test", "metrics": ["token_f1", "contained"]},
        "quality": {
            "token_f1": Score(value=0.51234, low=0.4, high=0.6, n=20),
            "contained": Score(value=0.25, low=0.1, high=0.4, n=20),
            "refusal_rate": Score(value=0.1, low=0.0, high=0.2, n=20),
        },
        "carbon": Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table", year=2023),
        "environment": {"software": {"wattune": "0.1.0"}},
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


def front(card: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return content


def test_what_stood_in_the_card_stands_there_still() -> None:
    card, notes = merged_card(CARD, record(), title="it")
    assert notes == []
    for line in ("# see the specification", "license: mit   # as upstream", "tags: [a, b]"):
        assert f"{line}\n" in card
    assert card.endswith("---\n\n# My model\n\n---\nA line, and --- more.\n")
    assert "\n# before the tags\n\ntags" in card
    before, after = front(CARD), front(card)
    assert list(after) == [*before, "co2_eq_emissions"]
    first, sister = after["model-index"]
    assert sister == before["model-index"][1]
    assert first["name"] == "my-model"
    assert first["results"][0] == before["model-index"][0]["results"][0]
    ours = first["results"][1]
    assert ours["dataset"] == {"name": "ferry", "type": "ferry", "split": "test"}
    assert [metric["type"] for metric in ours["metrics"]] == ["token_f1", "contained"]
    assert ours["metrics"][0]["value"] == 0.5123
    assert ours["metrics"][0]["args"] == {
        "measured_by": "wattune 0.1.0", "record": "0123", "questions": 20, "low": 0.4, "high": 0.6,
    }  # fmt: skip
    # 7,200 J are 0.002 kWh, at 50 g/kWh 0.1 g.
    assert after["co2_eq_emissions"]["emissions"] == 0.1
    assert after["co2_eq_emissions"]["source"].startswith("wattune")


def test_the_hub_reads_it() -> None:
    from huggingface_hub import ModelCard

    card: Any = ModelCard(merged_card(None, record(), title="it")[0])
    result = card.data.eval_results[0]
    assert (card.data.model_name, result.dataset_type, result.dataset_split) == (
        "it", "ferry", "test",
    )  # fmt: skip
    assert (result.metric_type, result.metric_value) == ("token_f1", 0.5123)
    assert result.metric_args["measured_by"] == "wattune 0.1.0"


def test_again_changes_nothing_and_a_newer_record_replaces_ours() -> None:
    once, _ = merged_card(CARD, record(), title="it")
    assert merged_card(once, record(), title="it")[0] == once
    better = record(quality={"token_f1": Score(value=0.9, low=0.8, high=1.0, n=20)}, key="4567")
    newer = front(merged_card(once, better, title="it")[0])["model-index"][0]["results"]
    assert len(newer) == 2
    assert [metric["value"] for metric in newer[1]["metrics"]] == [0.9]
    other = record(task={"name": "ferry", "split": "validation"})
    both = front(merged_card(once, other, title="it")[0])["model-index"][0]["results"]
    assert [one["dataset"].get("split") for one in both] == [None, "test", "validation"]


def test_somebody_elses_figure_of_the_same_data_stays() -> None:
    once = front(merged_card(None, record(), title="it")[0])
    result = once["model-index"][0]["results"][0]
    result["metrics"] = [{"type": "token_f1", "value": 0.3}]
    card = f"---\n{yaml.safe_dump(once)}---\n"
    found = front(merged_card(card, record(), title="it")[0])["model-index"][0]["results"]
    assert [one["metrics"][0]["value"] for one in found] == [0.3, 0.5123]


@pytest.mark.parametrize("there", ["12.5", "{emissions: 12.5, source: code carbon}"])
def test_emissions_that_others_stated_are_left(there: str) -> None:
    card, (note,) = merged_card(f"---\nco2_eq_emissions: {there}\n---\n", record(), title="it")
    assert front(card)["co2_eq_emissions"] == yaml.safe_load(there)
    assert "left as it is" in note
    assert "model-index" in front(card)


def test_a_run_that_prepared_nothing_has_results_and_no_emissions() -> None:
    card, (note,) = merged_card(None, record(stages=(), prepare=Bill()), title="it")
    assert list(front(card)) == ["model-index"]
    assert "prepared nothing" in note


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        ("---\nlicense: mit\n", "has no end"),
        ("---\na: [\n---\n", "no YAML"),
        ("---\na: 1\n...\n---\nbody", "take out the line of"),
        ("---\n- a\n---\n", "no mapping"),
        ("---\n{license: mit}\n---\n", "write a key a line"),
        ("---\nmodel-index: 5\n---\n", "no list of models"),
        ("---\nmodel-index: [{name: a}]\n---\n", "no list of models"),
        ("---\nmodel-index: [{name: a, results: [{task: {}}]}]\n---\n", "would not read"),
    ],
)
def test_a_card_that_cannot_be_read_is_left(card: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        merged_card(card, record(), title="it")


def test_one_key_is_not_added_below_the_end_either() -> None:
    with pytest.raises(InputError, match="take out the line of"):
        merged_card("---\na: 1\n...\n---\n", record(stages=(), prepare=Bill()), title="it")


def test_only_finished_records_have_something_to_say() -> None:
    with pytest.raises(InputError, match="is failed"):
        merged_card(None, record(status="failed"), title="it")
    with pytest.raises(InputError, match="prepared nothing"):
        merged_card(None, record(quality={}, stages=()), title="it")


def test_a_page_without_front_matter_gets_one() -> None:
    card, _ = merged_card("# It\n", record(), title="it")
    assert card.startswith("---\nmodel-index:")
    assert card.endswith("---\n\n# It\n")
    windows, _ = merged_card(CARD.replace("\n", "\r\n"), record(), title="it")
    assert windows == merged_card(CARD, record(), title="it")[0]


def test_the_command_line_merges(wattune: Any, tmp_path: Path) -> None:
    from wattune.measure.store import write_record

    file = write_record(tmp_path / "runs", record(), [])
    (tmp_path / "README.md").write_text(CARD, encoding="utf-8")
    assert wattune("export", file, "-o", "README.md").code == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card == merged_card(CARD, record(), title="it")[0]
    assert wattune("export", file, "-o", "new.md").code == 0
    new = (tmp_path / "new.md").read_text(encoding="utf-8")
    assert front(new)["model-index"][0]["name"] == tmp_path.name
    assert "either -o FILE or --mlflow" in wattune("export", file).err
