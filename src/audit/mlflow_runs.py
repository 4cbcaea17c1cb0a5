"""Records as runs of MLflow: one run a record, found again by the record's key.

    parameters   the resolved recipe, flattened
    metrics      quality with its interval, joules, seconds, grams, money
    tags         key, fingerprints, place, how the energy is known
    artefacts    the record and its answers

Nothing is sent anywhere but to the tracking server that is named, and only when asked.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..measure.record import Record
from ..measure.store import answers_path
from .known import known_of

EXPERIMENT = "wattune"
KEY = "wattune.key"
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
"""MLflow 3 tells its makers of its use unless the first is set when it is imported."""
STATUS = {"done": "FINISHED", "failed": "FAILED", "skipped": "KILLED"}
"""How a run ends in MLflow; until it is all there it is "RUNNING"."""
LONGEST_PARAM = 6000
LONGEST_TAG = 5000
LONGEST_NAME = 250
MOST_PARAMS = 100
MOST_METRICS = 1000
MOST_TAGS = 100
"""Limits of MLflow's log-batch, as its documentation and mlflow.utils.validation give them. Longer
texts are cut; the record, which is attached, is whole."""


@dataclass(frozen=True)
class Tracking:
    """A client of MLflow's tracking (`mlflow.tracking.MlflowClient`), and the classes of what it
    logs in batches (`mlflow.entities`)."""

    client: Any
    metric: Callable[..., Any]
    param: Callable[..., Any]
    tag: Callable[..., Any]


@dataclass(frozen=True)
class Sent:
    """How many records were written as new runs, and how many were there before."""

    written: int
    before: int


@contextlib.contextmanager
def tracking(uri: str) -> Iterator[Tracking]:
    """MLflow's client for a tracking server or folder, its telemetry off.

    Raises `InputError` where mlflow is not installed or does not take the address, and where the
    server refuses or cannot be reached while inside.
    """
    before = {name: os.environ.get(name) for name in SILENT}
    os.environ.update(SILENT)
    try:
        try:
            from mlflow.entities import (  # type: ignore[import-not-found,unused-ignore]
                Metric,
                Param,
                RunTag,
            )
            from mlflow.exceptions import (  # type: ignore[import-not-found,unused-ignore]
                MlflowException,
            )
            from mlflow.tracking import (  # type: ignore[import-not-found,unused-ignore]
                MlflowClient,
            )
        except ImportError as error:
            raise InputError(
                "export to MLflow needs mlflow; run `pip install 'wattune[mlflow]'`"
            ) from error
        try:
            yield Tracking(MlflowClient(tracking_uri=uri), Metric, Param, RunTag)
        except MlflowException as error:
            raise InputError(f"MLflow at {uri}: {_first_line(error)}") from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def send(found: Sequence[tuple[Path, Record]], to: Tracking, experiment: str = EXPERIMENT) -> Sent:
    """Write records with their files as runs of an experiment, which is made where there is none.

    A record whose key an ended run of the experiment bears is passed over, so sending again sends
    what is missing; a run that an earlier sending left open, or that ended otherwise than the
    record does now, is made anew. Raises `InputError`
    for a deleted experiment.
    """
    if not found:
        raise InputError("there are no records to export; run a recipe first")
    known = to.client.get_experiment_by_name(experiment)
    if known is not None and known.lifecycle_stage == "deleted":
        raise InputError(f'experiment "{experiment}" was deleted in MLflow; name another one')
    number = known.experiment_id if known is not None else to.client.create_experiment(experiment)
    written = 0
    for path, record in found:
        there = to.client.search_runs([number], filter_string=f"tags.`{KEY}` = '{record.key}'")
        if any(run.info.status == STATUS[record.status] for run in there):
            continue
        for run in there:
            to.client.delete_run(run.info.run_id)
        _send(path, record, to, number)
        written += 1
    return Sent(written, len(found) - written)


def _send(path: Path, record: Record, to: Tracking, experiment: str) -> None:
    began, ended = _ms(record.started_at or record.created_at), _ms(record.ended_at)
    run = to.client.create_run(
        experiment, start_time=began, tags={KEY: record.key}, run_name=record.name
    )
    number = run.info.run_id
    at = ended or began or 0
    metrics = [to.metric(name, value, at, 0) for name, value in metrics_of(record).items()]
    params = [to.param(name, value) for name, value in params_of(record).items()]
    tags = [to.tag(name, value) for name, value in tags_of(record).items()]
    for some in _batches(metrics, MOST_METRICS):
        to.client.log_batch(number, metrics=some)
    for some in _batches(params, MOST_PARAMS):
        to.client.log_batch(number, params=some)
    for some in _batches(tags, MOST_TAGS):
        to.client.log_batch(number, tags=some)
    for file in (path, answers_path(path)):
        if file.is_file():
            to.client.log_artifact(number, str(file))
    to.client.set_terminated(number, status=STATUS[record.status], end_time=ended)


def params_of(record: Record) -> dict[str, str]:
    """The resolved recipe by dotted names; a list of plain values in one piece."""
    flat = _flat({key: value for key, value in record.recipe.items() if key != "runs"})
    runs = record.recipe.get("runs") or {}
    for steps in runs.values() if isinstance(runs, Mapping) else ():
        for number, step in enumerate(steps, start=1):
            flat |= _flat(step, f"step_{number}")
    named = {_name(key): value[:LONGEST_PARAM] for key, value in flat.items()}
    return {key: value for key, value in named.items() if key}


def metrics_of(record: Record) -> dict[str, float]:
    """Every figure that is known; MLflow has no word for one that is not, so it is left out."""
    found: dict[str, float | None] = {"seed": record.seed, "answers": record.answers}
    for metric, score in record.quality.items():
        found |= {metric: score.value, f"{metric}_low": score.low, f"{metric}_high": score.high}
    for name, phase in record.phases.items():
        found |= {
            f"{name}_energy_j": phase.energy_j,
            f"{name}_net_energy_j": phase.net_energy_j,
            f"{name}_duration_s": phase.duration_s,
            f"{name}_peak_memory_bytes": phase.peak_memory_bytes,
        }
    for name, bill in (("prepare", record.prepare), ("spent", record.spent)):
        found |= {f"{name}_energy_j": bill.energy_j, f"{name}_duration_s": bill.duration_s}
    if record.footprint is not None:
        of = record.footprint
        found |= {
            name: getattr(of, name)
            for name in (
                "operational_g", "embodied_g", "sci_g", "scope2_location_g", "scope2_market_g",
                "scope3_g",
            )
        }  # fmt: skip
    if record.money is not None:
        unit = record.money.currency
        found |= {
            f"money_prepare_{unit}": record.money.prepare,
            f"money_answers_1000_{unit}": record.money.answers_1000,
            f"money_spent_{unit}": record.money.spent,
        }
    if record.realtime is not None:
        found["latency_p95_s"] = record.realtime.latency_p95_s
    found["artefact_bytes"] = record.artefact_bytes
    known = {n: float(value) for n, value in found.items() if value is not None}
    return {_name(name): value for name, value in known.items() if math.isfinite(value)}


def tags_of(record: Record) -> dict[str, str]:
    """What a run is known by: status, fingerprints, task, model, place, provenance, flags."""
    carbon, software = record.carbon, record.environment.get("software") or {}
    tags = {
        "wattune.status": record.status,
        "wattune.reason": record.reason,
        "wattune.version": str(software.get("wattune") or ""),
        "wattune.task": str(record.task.get("name", "")),
        "wattune.model": _model(record),
        "wattune.place": carbon.place if carbon else "",
        "wattune.intensity_source": carbon.source if carbon else "",
        "wattune.energy_known_by": known_of([record]).by,
        "wattune.boundary": (record.footprint.boundary or "") if record.footprint else "",
        "wattune.flags": "; ".join(record.flags),
    }
    tags |= {f"wattune.fingerprint.{name}": mark for name, mark in record.fingerprints.items()}
    return {_name(name): value[:LONGEST_TAG] for name, value in tags.items() if value}


def _model(record: Record) -> str:
    model = record.system.get("model") or record.system.get("endpoint") or {}
    return str(model.get("name") or model.get("model") or "") if isinstance(model, dict) else ""


def _flat(value: Any, at: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{at}.{key}" if at else str(key))
        return found
    return {} if value is None or value == "" else {at: str(value)}


def _name(text: str) -> str:
    """A name that MLflow takes: letters, digits, "_", "-", "." and spaces; "@" becomes "_at_"."""
    plain = "".join(c if c.isalnum() or c in "_-. " else "_" for c in text.replace("@", "_at_"))
    return plain[:LONGEST_NAME]


def _batches(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _ms(text: str) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 time; None for an empty one."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
