"""Records as tables, as a model card's emissions, as a JSON schema."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import InputError, StorageError
from wattune.measure import record as records_module
from wattune.measure.export import (
    model_card_emissions,
    model_card_yaml,
    record_schema,
    to_csv,
    to_frame,
    to_parquet,
    write_schema,
)
from wattune.measure.predicted import Expected, Predicted, PredictedPhase
from wattune.measure.projected import Projected
from wattune.measure.record import (
    Baseline,
    Bill,
    Carbon,
    Energy,
    Footprint,
    General,
    GeneralKind,
    Money,
    Phase,
    Record,
    Score,
    StageRecord,
    Utilisation,
)
from wattune.measure.refresh import Refresh
from wattune.measure.serving import batch_of, realtime_of
from wattune.measure.store import write_record
from wattune.measure.work import Work
from wattune.values import Value

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = DOCS / "record-schema.json"

BLANK = Record(name="base", key="00ff")
ABOUT_2 = Expected(likely=2.0, low=1.0, high=4.0)
STALE = {"token_f1": Score(value=0.1, low=0.0, high=0.2, n=4)}
FULL = Record(
    name="lora",
    key="0123456789abcdef",
    seed=7,
    created_at="2026-11-20T12:00:00+00:00",
    task={"name": "harbour"},
    system={"model": {"name": "smollm2-135m-q4", "revision": "0f1e"}},
    fingerprints={"task": "aa"},
    stages=(
        StageRecord(
            strategy="lora",
            key="11",
            reused=False,
            spent=Bill(energy_j=3.6e6, duration_s=60.0),
            attributed=Bill(energy_j=3.6e6, duration_s=60.0, net_energy_j=None),
            work=Work(tokens_in=5, flops=1e12, flops_method="counted"),
            details={"trainable_parameters": 4},
        ),
    ),
    phases={
        "answer": Phase(
            duration_s=2.0,
            energy_j=20.0,
            exclusive_duration_s=1.5,
            exclusive_energy_j=15.0,
            net_energy_j=8.0,
            components={
                "cpu": Energy(
                    energy_j=20.0, provenance="modelled_load", tdp_w=8.0, tdp_source="4 W a thread"
                ),
                "gpu": Energy(energy_j=None, provenance="failed", detail="MIG", coverage=0.0),
            },
            utilisation=Utilisation(cpu_percent=50.0, cpu_s=2.0),
            peak_memory_bytes=9,
            overlapped=True,
        )
    },
    baseline=Baseline(power_w={"cpu": 6.0}, duration_s=2.0),
    prepare=Bill(energy_j=3.6e6, duration_s=60.0, net_energy_j=None),
    spent=Bill(energy_j=3.7e6, duration_s=70.0, net_energy_j=1.0),
    answers=3,
    outcomes={"correct": 2, "wrong": 1},
    quality={"token_f1": Score(value=0.5, low=0.4, high=0.6, n=3)},
    quality_by={"question": {"token_f1": Score(value=0.5, low=0.4, high=0.6, n=3)}},
    scores={"token_f1": (1.0, None, 0.0)},
    work={"answer": Work(tokens_in=30, tokens_out=6, tokens_reused=4)},
    batch=batch_of(3, 2.0),
    realtime=realtime_of(2, 30.0, [1.0, 2.0], []),
    refresh=Refresh(
        version="2", fingerprint="bb", questions_changed=4, questions_unchanged=6, stale=STALE
    ),
    general=General(
        questions=4,
        set="bb",
        before=Score(value=0.75, low=0.25, high=1.0, n=4),
        after=Score(value=0.5, low=0.0, high=1.0, n=4),
        change=Score(value=-0.25, low=-0.75, high=0.0, n=4),
        by_kind={"fact": GeneralKind(questions=4, before=0.75, after=0.5)},
        scores_before=(1.0, 1.0, 0.0, 1.0),
        scores_after=(1.0, 1.0, 0.0, 0.0),
    ),
    predicted=Predicted(
        phases={"answer": PredictedPhase(duration_s=ABOUT_2, energy_j=ABOUT_2)},
        tokens_in=ABOUT_2,
        tokens_out=ABOUT_2,
        flops_prepare=ABOUT_2,
        flops_answer=Expected.exactly(1e12),
        peak_memory_bytes=ABOUT_2,
    ),
    projected=Projected(
        machine="a server",
        parameters=7e9,
        measured={"answer_j": 1.0},
        figures={"answer_j": ABOUT_2},
        spreads={"answer": 0.5},
    ),
    carbon=Carbon(
        place="FRA", intensity_g_per_kwh=56.0, source="a table", year=2023, pue=1.5, pue_source="x"
    ),
    footprint=Footprint(operational_g=80.0, sci_g=0.25, boundary="owned", notes=("none",)),
    money=Money(currency="EUR", prepare=0.2, source="prices.yaml"),
    environment={"hardware": {"cpu": "a processor", "gpus": ["H100", "H100"]}},
)


# Tables


def test_units_stand_in_the_columns() -> None:
    row = to_frame([FULL]).iloc[0]
    expected = {
        "name": "lora",
        "task": "harbour",
        "model": "smollm2-135m-q4",
        "strategies": "lora",
        "seed": 7,
        "prepare_energy_j": 3.6e6,
        "spent_net_energy_j": 1.0,
        "answer_energy_j": 20.0,
        "answer_exclusive_energy_j": 15.0,
        "answer_exclusive_duration_s": 1.5,
        "answer_net_energy_j": 8.0,
        "answer_cpu_energy_j": 20.0,
        "answer_cpu_provenance": "modelled_load",
        "answer_gpu_provenance": "failed",
        "answer_cpu_percent": 50.0,
        "answer_peak_memory_bytes": 9,
        "answer_overlapped": True,
        "answer_tokens_in": 30,
        "answer_tokens_reused": 4,
        "batch_questions_per_s": 1.5,
        "realtime_questions": 2,
        "realtime_latency_p50_s": 1.5,
        "realtime_energy_j_per_answer": 15.0,
        "general_questions": 4,
        "general_before": 0.75,
        "general_after_high": 1.0,
        "general_change": -0.25,
        "general_change_low": -0.75,
        "general_change_high": 0.0,
        "general_by_kind_fact_after": 0.5,
        "refresh_questions_changed": 4,
        "refresh_stale_token_f1_high": 0.2,
        "predicted_answer_duration_s_low": 1.0,
        "predicted_flops_answer_likely": 1e12,
        "projected_figures_answer_j_high": 4.0,
        "outcomes_correct": 2,
        "token_f1": 0.5,
        "token_f1_low": 0.4,
        "carbon_intensity_g_per_kwh": 56.0,
        "carbon_pue": 1.5,
        "footprint_operational_g": 80.0,
        "footprint_sci_g": 0.25,
        "money_prepare": 0.2,
        "money_currency": "EUR",
        "baseline_power_w_cpu": 6.0,
        "fingerprints_task": "aa",
    }
    assert {name: row[name] for name in expected} == expected
    unknown = ["prepare_net_energy_j", "answer_gpu_energy_j", "money_spent", "answer_gpu_percent"]
    unknown += ["realtime_first_token_p50_s"]
    assert row[unknown].isna().all()


def test_every_figure_of_a_record_has_a_column() -> None:
    """Each number in the JSON, wherever it stands, is in the row; but in lists and by question."""
    columns = set(to_frame([FULL]).columns)
    hidden = {"recipe", "system", "task", "stages", "scores", "quality_by", "environment", "notes"}
    hidden |= {"latency_s", "first_token_s", "scores_before", "scores_after", "basis"}

    def check(value: Any, path: tuple[str, ...]) -> None:
        for name, inner in value.items():
            if name in hidden or name == "flags":
                continue
            if isinstance(inner, dict):
                check(inner, (*path, name))
            else:
                words = [*path, name] if name != "value" else [*path]
                left_out = {"phases", "components", "utilisation", "work", "quality"}
                assert "_".join(word for word in words if word not in left_out) in columns

    check(FULL.plain(), ())


def test_one_row_a_record_and_missing_cells_are_missing() -> None:
    frame = to_frame([FULL, BLANK])
    assert list(frame["name"]) == ["lora", "base"]
    assert frame["answer_energy_j"].isna().tolist() == [False, True]
    assert frame["carbon_pue"].isna().tolist() == [False, True]
    assert frame["prepare_energy_j"].tolist() == [3.6e6, 0.0]
    assert to_frame([]).empty
    assert "prepare_energy_j" in to_frame([]).columns


def test_a_phase_named_like_a_bill_keeps_its_own_columns() -> None:
    phases = {"prepare": Phase(duration_s=1.0, energy_j=2.0)}
    frame = to_frame([FULL.model_copy(update={"phases": phases})])
    assert frame["prepare_energy_j"][0] == 3.6e6
    assert frame["phase_prepare_energy_j"][0] == 2.0


def test_columns_keep_their_types_when_nothing_is_known() -> None:
    known, unknown = to_frame([FULL]), to_frame([BLANK])
    assert not set(unknown.columns) - set(known.columns)
    for column in unknown.columns:
        assert known[column].dtype == unknown[column].dtype, column
    nothing = Phase(duration_s=1.0, energy_j=None)
    unmeasured = to_frame([FULL.model_copy(update={"phases": {"answer": nothing}})])
    for column in ("answer_energy_j", "answer_peak_memory_bytes", "answer_parent"):
        assert unmeasured[column].isna().all()
        assert unmeasured[column].dtype == known[column].dtype


def test_csv(tmp_path: Path) -> None:
    import pandas  # type: ignore[import-untyped]

    path = tmp_path / "new" / "table.csv"
    text = to_csv([FULL, BLANK], path)
    assert path.read_bytes() == text.encode()
    assert "\r" not in text
    back = pandas.read_csv(io.StringIO(text))
    assert back["answer_energy_j"].isna().tolist() == [False, True]
    assert back["prepare_energy_j"].tolist() == [3.6e6, 0.0]
    assert back["seed"].tolist() == [7, 0]
    assert len(to_csv([]).splitlines()) == 1


def test_parquet(tmp_path: Path) -> None:
    import pandas
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    known, unknown = tmp_path / "known.parquet", tmp_path / "unknown.parquet"
    to_parquet([FULL, BLANK], known)
    to_parquet([BLANK], unknown)
    pandas.testing.assert_frame_equal(pandas.read_parquet(known), to_frame([FULL, BLANK]))
    types = {field.name: field.type for field in parquet.read_schema(known)}
    for field in parquet.read_schema(unknown):
        assert field.type == types[field.name], field.name
    assert str(types["realtime_first_token_p95_s"]) == "double"  # known in neither
    assert parquet.read_table(known)["answer_energy_j"].null_count == 1
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_a_parquet_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        to_parquet([FULL], tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_what_tables_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        to_frame([FULL])
    monkeypatch.undo()
    import pandas

    def missing(*_: object, **__: object) -> None:
        raise ImportError("pyarrow")

    monkeypatch.setattr(pandas.DataFrame, "to_parquet", missing)
    with pytest.raises(InputError, match="pip install pyarrow"):
        to_parquet([FULL], tmp_path / "table.parquet")


# Model cards


def prepared(energy_j: float | None) -> Record:
    return FULL.model_copy(update={"prepare": Bill(energy_j=energy_j, duration_s=60.0)})


def test_where_nothing_was_trained_the_card_says_no_training() -> None:
    (stage,) = FULL.stages
    shots = stage.model_copy(update={"strategy": "prompt", "details": {}})
    assert "training_type" not in model_card_emissions(FULL.model_copy(update={"stages": (shots,)}))


def test_emissions_are_grams_of_preparing() -> None:
    assert model_card_emissions(FULL) == {
        "emissions": 84.0,  # 1 kWh x 56 g/kWh x 1.5
        "source": "wattune: energy of preparing x 56 g/kWh (average; a table, 2023) x PUE 1.5",
        "training_type": "fine-tuning",
        "geographical_location": "FRA",
        "hardware_used": "2 x H100, a processor",
    }
    assert model_card_emissions(FULL, "pre-training")["training_type"] == "pre-training"


@pytest.mark.parametrize("energy_j", [1e-9, 1e-3, 1.0, 3.9, 4.3, 5.0, 77.7, 8e4, 3.6e6, 9e13])
def test_emissions_survive_the_model_card(energy_j: float) -> None:
    from huggingface_hub import ModelCard
    from huggingface_hub.hf_api import ModelInfo
    from huggingface_hub.utils.endpoint_helpers import _is_emission_within_threshold

    record = prepared(energy_j)
    grams = energy_j / 3.6e6 * 56.0 * 1.5
    text = model_card_yaml(record)
    written = re.search(r"emissions: (.*)\n  source", text)
    assert written is not None
    assert re.fullmatch(r"\d+\.\d+", written[1])
    card = ModelCard(f"{text}\n# A model\n")
    found = card.data["co2_eq_emissions"]
    assert found == model_card_emissions(record)
    assert found["emissions"] == pytest.approx(max(grams, 1e-4), abs=5e-7)
    assert found["emissions"] > 0
    assert ("less than 0.0001 g" in found["source"]) == (grams < 1e-4)
    # The reader that takes 3.2e-05 for 3.2.
    info = ModelInfo(id="x", cardData={"co2_eq_emissions": found})  # type: ignore[no-untyped-call]
    assert _is_emission_within_threshold(info, found["emissions"] * 0.99, found["emissions"] * 1.01)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stages": ()}, "prepared nothing"),
        ({"prepare": Bill(energy_j=None)}, "was not measured"),
        ({"carbon": None}, "set `place`"),
    ],
)
def test_no_card_without_figures(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f'"lora".*{told}'):
        model_card_emissions(FULL.model_copy(update=changes))


# The schema


def test_the_published_schema_is_the_codes() -> None:
    rewrite = (
        'run: python -c "from pathlib import Path; from wattune.measure.export import '
        "write_schema; write_schema(Path('docs/record-schema.json'))\""
    )
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == record_schema(), rewrite


def test_writing_the_schema(tmp_path: Path) -> None:
    write_schema(tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_bytes() == SCHEMA.read_bytes()


@pytest.mark.parametrize("record", [FULL, BLANK], ids=["full", "blank"])
def test_written_records_are_valid(tmp_path: Path, record: Record) -> None:
    validator().validate(json.loads(write_record(tmp_path, record, []).read_text()))


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 1},
        {"surplus": 1},
        {"status": "perhaps"},
        {"answers": "3"},
        {"phases": {"answer": {"duration_s": None, "energy_j": None}}},
        {"carbon": {"place": "FRA"}},
    ],
)
def test_what_is_no_record_is_not_valid(changes: dict[str, Any]) -> None:
    assert not validator().is_valid({**FULL.plain(), **changes})


def validator() -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_field_is_explained() -> None:
    text = (DOCS / "record.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(\w+)`", text))
    models = [
        model
        for model in vars(records_module).values()
        if isinstance(model, type) and issubclass(model, Value) and model is not Value
    ]
    assert {field for model in models for field in model.model_fields} <= explained


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path / "runs" / "quickstart", FULL, [])
    examples = re.findall(r"```python\n(.*?)```", (DOCS / "record.md").read_text(), re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        exec(compile(example, "record.md", "exec"), {})
