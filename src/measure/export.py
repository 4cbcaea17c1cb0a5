"""Export: records as a table (pandas, CSV, Parquet), as a model card's emissions, as JSON schema.

A column is named by its place in the Record, so that units stand in the names as they do there;
the words phases, components, utilisation, work and quality are left out. So there are
`prepare_net_energy_j`, `answer_energy_j`, `answer_cpu_provenance`, `answer_tokens_in`,
`token_f1_low` and `footprint_sci_g`.
"""

from __future__ import annotations

import io
import types
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from ..errors import InputError
from ..files import harmless, write_bytes, write_json, write_text
from ..values import Value
from .carbon import J_PER_KWH
from .record import SCHEMA_VERSION, Record

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]

DTYPES = {bool: "boolean", int: "Int64", float: "float64", str: "string"}
"""pandas types that a column keeps when none of its values is known (float64 has NaN for it)."""

UNNAMED = {"phases", "work", "quality", "components", "utilisation"}
BY_HAND = {"flags", "recipe", "system", "task", "stages", "quality_by", "scores", "environment"}
"""Fields of a Record that are no single figures; `_row` takes what a table needs of them."""

LEAST_G = 1e-4
"""Python writes smaller numbers with an exponent, of which huggingface_hub 2.4 reads the mantissa
alone (`_is_emission_within_threshold` takes 3.2e-05 for 3.2)."""

Cell = tuple[str, str, Any]
"""Column, its pandas type, the value."""


def to_frame(records: Sequence[Record]) -> pandas.DataFrame:
    """One row a record; the units stand in the column names, unknown cells are missing.

    A column keeps its type where all its cells are missing. Needs pandas; raises `InputError` where
    it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise InputError("a data frame needs pandas; run `pip install pandas`") from error
    tables = [_row(record) for record in records]
    blank = _row(Record(name="", key=""))  # its columns stand even in a table of no records
    dtypes = {column: dtype for cells in (blank, *tables) for column, dtype, _ in cells}
    rows = [{column: cell for column, _, cell in cells} for cells in tables]
    return pandas.DataFrame(
        {
            column: pandas.Series([row.get(column) for row in rows], dtype=dtype)
            for column, dtype in dtypes.items()
        }
    )


def to_csv(records: Sequence[Record], path: Path | str | None = None) -> str:
    """The table of `to_frame` as CSV (comma, UTF-8, LF, missing cells empty, text `harmless`), also
    written to `path` where one is given. Raises `InputError` without pandas, `StorageError` for the
    file."""
    frame = to_frame(records).rename(columns=harmless)
    for column in frame.select_dtypes("string"):
        frame[column] = frame[column].map(harmless)
    text = str(frame.to_csv(index=False, lineterminator="\n"))
    if path is not None:
        write_text(Path(path), text)
    return text


def to_parquet(records: Sequence[Record], path: Path | str) -> None:
    """Write the table of `to_frame` as Parquet.

    Needs pandas and pyarrow. Raises `InputError` where one is not installed, `StorageError` where
    the file cannot be written.
    """
    frame = to_frame(records)
    stream = io.BytesIO()
    try:
        frame.to_parquet(stream, engine="pyarrow", index=False)
    except ImportError as error:
        raise InputError("Parquet needs pyarrow; run `pip install pyarrow`") from error
    write_bytes(Path(path), stream.getvalue())


def model_card_emissions(
    record: Record, training_type: Literal["pre-training", "fine-tuning"] = "fine-tuning"
) -> dict[str, str | float]:
    """What preparing emitted, as the `co2_eq_emissions` metadata of a model card.

    `emissions` is in grams of CO2e (https://huggingface.co/docs/hub/model-cards-co2): the energy
    that the stages cost when they were made, x the grid's intensity x PUE. It is rounded to a
    microgram; anything under 0.0001 g stands as 0.0001, and `source` says so. Raises `InputError`
    where nothing was prepared, or where energy or intensity is not known. Where nothing was trained
    (shots were chosen, an index was built) there is no `training_type`.
    """
    energy, carbon = record.prepare.energy_j, record.carbon
    if not record.stages:
        raise InputError(f'record "{record.name}" prepared nothing; a model card tells of training')
    if energy is None:
        raise InputError(f'record "{record.name}": the energy of preparing was not measured')
    if carbon is None:
        raise InputError(
            f'record "{record.name}" names no place; set `place` (such as FRA) or '
            "`intensity_g_per_kwh`, the finished run is shown with it"
        )
    grams = energy / J_PER_KWH * carbon.intensity_g_per_kwh * carbon.pue
    year = f", {carbon.year}" if carbon.year is not None else ""
    source = (
        f"wattune: energy of preparing x {carbon.intensity_g_per_kwh:g} g/kWh ({carbon.kind}; "
        f"{carbon.source}{year}) x PUE {carbon.pue:g}"
    )
    if 0 < grams < LEAST_G:
        grams, source = LEAST_G, f"{source}; less than {LEAST_G:g} g"
    card: dict[str, str | float] = {
        "emissions": round(grams, 6),
        "source": source,
    }
    if any("trainable_parameters" in stage.details for stage in record.stages):
        card["training_type"] = training_type
    card["geographical_location"] = carbon.place
    hardware = _hardware(record)
    return {**card, "hardware_used": hardware} if hardware else card


def model_card_yaml(
    record: Record, training_type: Literal["pre-training", "fine-tuning"] = "fine-tuning"
) -> str:
    """The front matter of a model card with `model_card_emissions`, which see for errors."""
    import yaml

    content = {"co2_eq_emissions": model_card_emissions(record, training_type)}
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{body}---\n"


def record_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a record file of the present schema version."""
    schema = Record.model_json_schema()
    schema["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:wattune:record:{SCHEMA_VERSION}",
        **schema,
        "title": f"wattune record, schema {SCHEMA_VERSION}",
    }


def write_schema(path: Path) -> None:
    """Write `record_schema` to a file; docs/record-schema.json is made so."""
    write_json(path, record_schema())


def _row(record: Record) -> list[Cell]:
    """The cells of one record. A phase that is named like a bill keeps its own columns."""
    task, system = record.task.get("name"), record.system.get("model")
    cells = [
        *_cells(Record, record, skip=BY_HAND | {"phases"}),
        ("task", "string", None if task is None else str(task)),
        ("model", "string", system.get("name") if isinstance(system, dict) else None),
        ("strategies", "string", " + ".join(stage.strategy for stage in record.stages)),
        ("hardware", "string", _hardware(record) or None),
        ("flags", "string", "; ".join(record.flags)),
    ]
    taken = {column for column, _, _ in cells}
    for name, phase in record.phases.items():
        for column, dtype, cell in _cells(type(phase), phase, f"{name}_"):
            cells.append((f"phase_{column}" if column in taken else column, dtype, cell))
    return cells


def _cells(
    model: type[Value], value: Value | None, prefix: str = "", skip: Set[str] = frozenset()
) -> Iterator[Cell]:
    """The single figures in a value, with those of the values within; all missing for None."""
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        inner = None if value is None else getattr(value, name)
        kind = _known_type(field.annotation)
        within = prefix if name in UNNAMED else f"{prefix}{name}_"
        if get_origin(kind) is dict:
            of = _known_type(get_args(kind)[1])
            for key, item in (inner or {}).items():
                if isinstance(item, Value):
                    yield from _cells(type(item), item, f"{within}{key}_")
                else:
                    yield f"{within}{key}", DTYPES[of], item
        elif isinstance(kind, type) and issubclass(kind, Value):
            yield from _cells(kind, inner, within)
        elif kind in DTYPES:
            # A score's value carries the metric's bare name.
            column = prefix.removesuffix("_") if name == "value" else f"{prefix}{name}"
            yield column, DTYPES[kind], inner


def _known_type(annotation: Any) -> Any:
    """The type of a field where it has a value: without None, and str for a literal."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    return str if get_origin(annotation) is Literal else annotation


def _hardware(record: Record) -> str:
    """Such as "2 x NVIDIA H100, Intel Xeon", empty where the record does not say."""
    known = record.environment.get("hardware", {})
    gpus = [f"{count} x {name}" for name, count in Counter(known.get("gpus") or ()).items()]
    return ", ".join([*gpus, *filter(None, [known.get("cpu")])])
