"""Transfer: records carried over to another machine or size of model, marked as projected.

How a phase is carried over stands in `rescaled.py`. Tokens stay as they were written, and batches
as large. Quality stays that of the System that was measured: of another precision it is nearly so,
of another size it says nothing. Not carried over: memory, loading, money, and what was forgotten.
Operations beside the model (finding words, reading an index) take what they took.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CannotRun, InputError
from ..measure.calibration import Calibration
from ..measure.model_facts import ModelFacts
from ..measure.predicted import Expected, total
from ..measure.projected import MARK, Projected
from ..measure.record import Baseline, Bill, Energy, Phase, Record, StageRecord
from ..measure.serving import Realtime, batch_of
from ..measure.work import Work
from .base_models import counted, facts_of
from .comparability import hardware, hardware_of
from .rescaled import SIZE_SD, Kind, Rescaled, Scale, source_of

ALL_WEIGHTS = ("full_fine_tuning", "from_scratch")
REWRITES = ("merge", "quantize", "prune")
"""Steps that read all weights and write them anew, which no operations are counted for."""
OTHER_SIZE = ("from_scratch", "prune")
"""Steps after which a model is not of its base's size."""
WAITS = ("first_token_p50_s", "first_token_p95_s", "latency_p50_s", "latency_p95_s")
NOT_CARRIED = dict.fromkeys(("footprint", "money", "predicted", "general", "realtime", "refresh"))
UNSPENT = Bill(energy_j=None, duration_s=0.0, net_energy_j=None)


def project(
    records: Sequence[Record],
    *,
    onto: Calibration | None = None,
    parameters: float | None = None,
    sources: Sequence[Calibration] = (),
    known: Mapping[str, ModelFacts] | None = None,
) -> tuple[list[Record], list[str]]:
    """Copies of the records as they would be on the machine of `onto`, with a model of so many
    `parameters`, and a sentence for each reason why some are left out.

    Each copy is called "(projected)", its energies have the provenance `projected`, and its field
    `projected` tells what was measured, and the ranges. `sources` are calibrations of machines that
    measured; `known` are facts of models by revision, for records without their own. Runs without
    figures stay as they are. Raises `InputError` where nothing can be projected.
    """
    if onto is None and parameters is None:
        raise InputError("to project, give another machine (--on) or another size (--parameters)")
    made: list[Record] = []
    out: dict[str, list[str]] = {}
    for record in records:
        if record.status != "done" or record.projected is not None:
            made.append(record)
            continue
        try:
            size = 1.0 if parameters is None else parameters / _parameters(record, known or {})
            source = source_of(record, (*sources, *((onto,) if onto else ())))
            here = record.environment.get("machine") or {}
            made.append(carried(record, Scale(onto, source, size, here), parameters))
        except CannotRun as reason:
            out.setdefault(str(reason), []).append(record.name)
    told = [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in out.items()]
    if not any(record.projected for record in made):
        raise InputError("nothing can be projected. " + "; ".join(told or ["no finished record"]))
    return made, [f"Not projected: {sentence}." for sentence in told]


def _parameters(record: Record, known: Mapping[str, ModelFacts]) -> int:
    facts = facts_of(record, known)
    if facts is None or facts.parameters is None:
        raise CannotRun("the number of parameters of what answers is not known")
    changed = [stage.strategy for stage in record.stages if stage.strategy in OTHER_SIZE]
    if changed:
        raise CannotRun(f"{' and '.join(changed)} changed the size of its model")
    return facts.parameters


def carried(record: Record, scale: Scale, parameters: float | None) -> Record:
    """One record as it would be. Raises `CannotRun` with the reason why that cannot be told."""
    answering = record.phases.get("answer")
    if record.system.get("kind") != "local":
        raise CannotRun("no model on the machine itself answers")
    if answering is None or not record.answers or not answering.duration_s:
        raise CannotRun("how long answering took is not recorded")
    if record.prepare.duration_s and not record.stages:
        raise CannotRun("the record does not tell the stages that were prepared")
    answer = scale.bill(_bill(answering), record.work.get("answer"), "answering")
    stages = [_stage(stage, scale) for stage in record.stages]
    prepare = _sum([moved for _, moved in stages])
    alone, realtime = _alone(record, scale)
    spreads = {stage.key: moved.spread for stage, moved in stages} | {"answer": answer.spread}
    phases = {"answer": _phase(answering, answer, scale)}
    if alone is not None and "realtime" in record.phases:
        phases["realtime"] = _phase(record.phases["realtime"], alone, scale)
        spreads["realtime"] = alone.spread
    changes: dict[str, Any] = NOT_CARRIED | _where(record, scale) | _what(record, scale, parameters)
    if record.refresh is not None:
        again = [_stage(stage, scale) for stage in record.refresh.stages]
        due = _sum([moved for stage, moved in again if getattr(stage, "how", "") != "kept"])
        changes["refresh"] = record.refresh.model_copy(
            update={
                "stages": tuple(stage for stage, _ in again),
                "attributed": due.bill(),
                "spent": UNSPENT,
            }
        )
        spreads |= {stage.key: moved.spread for stage, moved in again}
    return record.model_copy(
        update=changes
        | {
            "name": record.name + MARK,
            "phases": phases,
            "prepare": prepare.bill(),
            "spent": UNSPENT,
            "stages": tuple(stage for stage, _ in stages),
            "work": {
                name: sum((stage.work for stage, _ in stages), Work())
                if name == "prepare"
                else scale.work(work)
                for name, work in record.work.items()
            },
            "batch": batch_of(record.answers, answer.seconds.likely),
            "realtime": realtime,
            "projected": Projected(
                machine=_name(scale.onto) if scale.onto else "",
                parameters=parameters,
                of_model=str((record.system.get("model") or {}).get("name", "")),
                of_machine=hardware(record),
                size=scale.size,
                anchored=scale.onto is None or scale.source is not None,
                measured=_measured(record),
                figures=_figures(record, answer, prepare, alone),
                common=SIZE_SD * abs(math.log(scale.size)),
                spreads=spreads,
            ),
        }
    )


def _name(onto: Calibration) -> str:
    """The other machine in words, with device and precision."""
    parts = [hardware_of(onto.environment)]
    parts += [str(onto.machine[name]) for name in ("device", "dtype") if onto.machine.get(name)]
    return ", ".join(parts)


def _where(record: Record, scale: Scale) -> dict[str, Any]:
    """The other machine, and what it draws at rest."""
    onto = scale.onto
    if onto is None:
        return {}
    environment = {
        name: value for name, value in record.environment.items() if name not in ("metered",)
    }
    idle = None
    if onto.idle_w is not None:
        idle = Baseline(
            power_w={"machine": onto.idle_w}, duration_s=onto.duration_s,
            cpu_percent=onto.contended_percent, measured_at=onto.created_at,
        )  # fmt: skip
    return {
        "environment": environment
        | {"hardware": onto.environment.get("hardware"), "machine": onto.machine},
        "baseline": idle,
    }


def _what(record: Record, scale: Scale, parameters: float | None) -> dict[str, Any]:
    """The other model: of it nothing is known but its size."""
    if parameters is None:
        return {}
    name = f"a model of {counted(parameters)} parameters"
    return {
        "model": None,
        "system": {**record.system, "model": {"name": name, "revision": ""}},
        "fingerprints": {k: v for k, v in record.fingerprints.items() if k != "model"},
    }


def _phase(was: Phase, moved: Rescaled, scale: Scale) -> Phase:
    """A phase as it would be: joules by component where the machine stays, else of all of it."""
    joules = None if moved.joules is None else moved.joules.likely
    told = "projected from what was measured; see `projected`"
    if scale.onto is None and was.energy_j and joules is not None:
        parts = {
            name: None if part.energy_j is None else part.energy_j * joules / was.energy_j
            for name, part in was.components.items()
        }
    else:
        parts = {"machine": joules}
    return Phase(
        duration_s=moved.seconds.likely,
        energy_j=joules,
        components={
            name: Energy(
                energy_j=part,
                provenance="projected" if part is not None else "failed",
                detail=told if part is not None else "no watts to project with",
            )
            for name, part in parts.items()
        },
        overlapped=was.overlapped,
        repeats=was.repeats,
    )


def _stage(stage: StageRecord, scale: Scale) -> tuple[StageRecord, Rescaled]:
    kind = _kind(stage)
    rewrites = stage.strategy in REWRITES
    moved = scale.bill(stage.attributed, stage.work, kind, of_weights=rewrites)
    changes = {
        "attributed": moved.bill(),
        "spent": UNSPENT,
        "work": scale.work(stage.work, kind),
        "peak_memory_bytes": None,
    }
    return stage.model_copy(update=changes), moved


def _kind(stage: StageRecord) -> Kind:
    """What kind of work a stage was: trained, read and written by the model, else embedded."""
    if stage.details.get("losses"):
        return "training_all" if stage.strategy in ALL_WEIGHTS else "training_adapter"
    reads = stage.work.tokens_in or stage.work.tokens_out or stage.strategy in REWRITES
    return "answering" if reads else "embedding"


def _alone(record: Record, scale: Scale) -> tuple[Rescaled | None, Realtime | None]:
    """Answers one at a time, of whose work a record tells nothing; None where nothing bounds it."""
    was, phase = record.realtime, record.phases.get("realtime")
    if was is None or phase is None or not was.questions or not phase.duration_s:
        return None, None
    try:
        moved = scale.bill(_bill(phase), None, "answering")
    except CannotRun:
        return None, None
    times = moved.seconds.likely / phase.duration_s
    waits = {name: getattr(was, name) for name in WAITS}
    changes: dict[str, Any] = {
        name: None if wait is None else wait * times for name, wait in waits.items()
    }
    changes |= {
        "energy_j_per_answer": moved.joules.likely / was.questions if moved.joules else None,
        "latency_s": tuple(wait * times for wait in was.latency_s),
        "first_token_s": tuple(wait * times for wait in was.first_token_s),
    }
    return moved, was.model_copy(update=changes)


def _figures(
    record: Record, answer: Rescaled, prepare: Rescaled, alone: Rescaled | None
) -> dict[str, Expected]:
    """What it comes to, by the names of `Projected`."""
    each = {"answer": (answer, record.answers), "prepare": (prepare, 1)}
    if alone is not None and record.realtime and record.realtime.questions:
        each["realtime"] = alone, record.realtime.questions
    found: dict[str, Expected] = {}
    for name, (moved, count) in each.items():
        found[f"{name}_s"] = moved.seconds.times(1 / count)
        if moved.joules is not None:
            found[f"{name}_j"] = moved.joules.times(1 / count)
    return found


def _measured(record: Record) -> dict[str, float]:
    """What was measured of the same, by the same names; what is not known is left out."""
    asked = record.realtime.questions if record.realtime else None
    found: dict[str, float | None] = {
        "prepare_j": record.prepare.energy_j, "prepare_s": record.prepare.duration_s
    }  # fmt: skip
    for name, count in (("answer", record.answers), ("realtime", asked)):
        phase = record.phases.get(name)
        if phase is not None and count:
            found[f"{name}_s"] = phase.duration_s / count
            found[f"{name}_j"] = None if phase.energy_j is None else phase.energy_j / count
    return {name: value for name, value in found.items() if value is not None}


def _bill(phase: Phase) -> Bill:
    return Bill(energy_j=phase.energy_j, duration_s=phase.duration_s)


def _sum(parts: Sequence[Rescaled]) -> Rescaled:
    seconds = total(part.seconds for part in parts)
    assert seconds is not None
    return Rescaled(seconds, total(part.joules for part in parts), 0.0)
