"""Constraints: each held against each run, and met, not met or unknown; never met in silence."""

from __future__ import annotations

from collections.abc import Callable

from ..compare.elsewhere import asked_elsewhere
from ..compare.figures import answer_wh_per_1000, quality_columns
from ..compare.floor import reaches
from ..compare.lifecycle import LifeCycle
from ..compare.seeds import Row
from ..compare.serving import FEW_REALTIME, realtime_wh_per_1000
from ..compare.wording import number
from ..measure.licences import is_open
from ..measure.record import Record
from ..models.catalogue import CATALOGUE
from .needs import Needs
from .verdict import Check, Constraint, State
from .wording import scored

NO_MODEL = "none: no language model"


def checks_of(row: Row, cycle: LifeCycle, metric: str, needs: Needs) -> tuple[Check, ...]:
    """The constraints that were asked for, held against a row; quality is the first."""
    found: list[Check] = []
    if needs.min_quality is not None:
        found.append(_quality(row, metric, needs.min_quality))
    if needs.max_latency_p95_s is not None:
        found.append(_latency(row, needs.max_latency_p95_s))
    if needs.max_memory_bytes is not None:
        found.append(_memory(row, needs.max_memory_bytes / 1e9, needs.usage.serving))
    if needs.max_energy_wh_per_1000 is not None:
        found.append(_energy(row, needs.max_energy_wh_per_1000, needs.usage.serving))
    if needs.max_cost is not None:
        found.append(_cost(cycle, needs.max_cost, needs.currency))
    if needs.privacy == "on-premises":
        found.append(_privacy(row))
    if needs.licence == "open":
        found.append(_licence(row))
    return tuple(found)


def _quality(row: Row, metric: str, floor: float) -> Check:
    """Met where the 95 % interval of the mean reaches the floor: acceptable before optimal."""
    score, name = row.score(metric), quality_columns([metric])[0].plain
    source = f"quality.{metric}"
    if score is None:
        told = f"{name} was not measured"
        measure = f"`metrics: [{metric}]` in the task"
        return Check(constraint="quality", state="unknown", figure=None, limit=floor, unit="",
                     source=source, sentence=told, measure=measure)  # fmt: skip
    met = reaches(score, floor, metric)
    told = f"{name} {scored(score)} {FLOOR_WORDS[met]} {floor:g}"
    return Check(constraint="quality", state="not met" if met == "no" else "met", limit=floor,
                 figure=score.value, unit="", source=source, sentence=told)  # fmt: skip


FLOOR_WORDS = {
    "surely": "surely reaches", "perhaps": "is not distinguishable from", "no": "misses",
}  # fmt: skip


def _latency(row: Row, limit_s: float) -> Check:
    figure = _worst(row, lambda r: r.realtime.latency_p95_s if r.realtime else None)
    asked = [r.realtime.questions for r in row.records if r.realtime and r.realtime.questions]
    few = f", of only {min(asked)} waits" if asked and min(asked) < FEW_REALTIME else ""
    return _bounded(
        "latency", figure, limit_s, "s", "realtime.latency_p95_s",
        "95 % of answers within {figure} s" + few,
        "the wait for an answer was not measured", "realtime_questions=20",
    )  # fmt: skip


def _memory(row: Row, limit_gb: float, serving: str) -> Check:
    phase = "realtime" if serving == "realtime" else "answer"

    def peak_gb(record: Record) -> float | None:
        """The larger of the process tree's memory and that of a GPU."""
        found = record.phases.get(phase)
        peaks = (found.peak_memory_bytes, found.peak_gpu_memory_bytes) if found else ()
        known = [peak for peak in peaks if peak is not None]
        return max(known) / 1e9 if known else None

    return _bounded(
        "memory", _worst(row, peak_gb), limit_gb, "GB", f"phases.{phase}.peak_memory_bytes",
        "at most {figure} GB of memory while answering", "memory was not measured",
        "another run on this machine",
    )  # fmt: skip


def _energy(row: Row, limit_wh: float, serving: str) -> Check:
    alone = serving == "realtime"
    figure = _worst(row, realtime_wh_per_1000 if alone else answer_wh_per_1000)
    source = "realtime.energy_j_per_answer" if alone else "phases.answer.energy_j"
    return _bounded(
        "energy", figure, limit_wh, "Wh", source, "{figure} Wh for 1,000 answers",
        "the energy of an answer was not measured",
        "realtime_questions=20" if alone else "another run, with a meter that works",
    )  # fmt: skip


def _cost(cycle: LifeCycle, limit: float, currency: str | None) -> Check:
    figure, unit = cycle.total_money, cycle.currency or currency or ""
    if currency and cycle.currency and currency != cycle.currency:
        figure = None
    return _bounded(
        "cost", figure, limit, unit, "money, over the horizon", f"{{figure}} {unit} in all".strip(),
        f"what it costs in {currency or 'money'} is not known",
        "accounting.prices, in the recipe",
    )  # fmt: skip


def _bounded(
    constraint: Constraint, figure: float | None, limit: float, unit: str, source: str,
    told: str, untold: str, measure: str,
) -> Check:  # fmt: skip
    """A figure that must not be above its limit."""
    if figure is None:
        return Check(constraint=constraint, state="unknown", figure=None, limit=limit, unit=unit,
                     source=source, sentence=untold, measure=measure)  # fmt: skip
    state: State = "met" if figure <= limit else "not met"
    sentence = f"{told.format(figure=number(figure))}, limit {number(limit)} {unit}".strip()
    return Check(constraint=constraint, state=state, figure=figure, limit=limit, unit=unit,
                 source=source, sentence=sentence)  # fmt: skip


def _worst(row: Row, of: Callable[[Record], float | None]) -> float | None:
    """The largest over the seeds: a limit is for each of them. None where one is not known."""
    found = [of(record) for record in row.records]
    known = [figure for figure in found if figure is not None]
    return max(known) if known and len(known) == len(found) else None


def _privacy(row: Row) -> Check:
    """A System that sends nothing to a server elsewhere, while preparing or while answering."""
    asked = {name for record in row.records for name in asked_elsewhere(record)}
    if asked:
        names = ", ".join(sorted(asked))
        return Check(constraint="privacy", state="not met", figure=names, limit="on-premises",
                     unit="", source="system", sentence=f"may ask elsewhere: {names}",
                     measure="`where: this_machine` of a server, `@this_machine` behind a factory, "
                             "if that is where it is")  # fmt: skip
    if any(not record.system for record in row.records):
        return Check(constraint="privacy", state="unknown", figure=None, limit="on-premises",
                     unit="", source="system", sentence="the record does not say what answers",
                     measure="another run with this version")  # fmt: skip
    return Check(constraint="privacy", state="met", figure="this machine", limit="on-premises",
                 unit="", source="system", sentence="nothing leaves the machine")  # fmt: skip


def _licence(row: Row) -> Check:
    found = {licence_of(record) for record in row.records}
    licence = found.pop() if len(found) == 1 else None
    model = model_of(row.records[0])
    if licence is None:
        return Check(constraint="licence", state="unknown", figure=None, limit="open", unit="",
                     source="system.model", sentence=f"the licence of {model} is not known",
                     measure=f"the model card of {model}: `wattune models card`")  # fmt: skip
    free = licence == NO_MODEL or is_open(licence)
    return Check(constraint="licence", state="met" if free else "not met", figure=licence,
                 limit="open", unit="", source="system.model",
                 sentence=f"licence of the model: {licence}")  # fmt: skip


def licence_of(record: Record) -> str | None:
    """The licence of the model that answers, None where it is not known."""
    if record.system.get("kind") == "classical":
        return NO_MODEL
    if record.model is not None:
        return record.model.licence
    entry = CATALOGUE.get(model_of(record))
    return entry.licence if entry else None


def model_of(record: Record) -> str:
    """What a person calls the model that answers."""
    model = record.system.get("model") or {}
    server = record.system.get("endpoint") or {}
    return str(model.get("name") or server.get("model") or server.get("langchain") or "this model")
