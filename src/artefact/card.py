"""The model card of a saved System: metadata that the hub reads, and a page for people.

The keys are those of https://huggingface.co/docs/hub/model-cards; huggingface_hub writes them. What
is not known is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..measure.carbon import J_PER_WH, emissions_g
from ..measure.export import model_card_emissions
from ..models.catalogue import CATALOGUE
from ..models.quiet import quiet_hub
from ..system import LocalSystem, System
from .card_blocks import ancestor, base_repo, loading, prompt, settings
from .card_results import TASK_TYPE, named_scores, results, spaced

if TYPE_CHECKING:
    from ..measure.record import Record, StageRecord


_SPOKEN = {
    "adapter": "an adapter",
    "weights": "weights of its own",
    "index": "an index of documents",
    "tree": "a tree of entities",
    "summary": "a tree of summaries",
    "documents": "documents that stand in every prompt",
    "nearest_shots": "examples found by their likeness",
    "classical": "a classifier (TF-IDF and logistic regression)",
}


def model_card(
    system: System, *, record: Record | None = None, merged: bool = False, title: str
) -> str:
    """The card as Markdown with YAML front matter; with a record also figures of its run."""
    with quiet_hub():
        from huggingface_hub import ModelCardData

        data: Any = ModelCardData
        metadata = data(**_metadata(system, record, merged, title)).to_yaml(line_break="\n")
    return f"---\n{metadata.strip()}\n---\n\n" + "\n\n".join(_body(system, record, merged, title))


def _metadata(system: System, record: Record | None, merged: bool, title: str) -> dict[str, Any]:
    made: dict[str, Any] = {"library_name": "wattune", "tags": ["wattune"]}
    if isinstance(system, LocalSystem):
        made["pipeline_tag"] = TASK_TYPE
        base = None if _from_scratch(record) else ancestor(system.model)
        if base:
            made["base_model"] = base
        if system.model.name in CATALOGUE and not _from_scratch(record):
            made["license"] = CATALOGUE[system.model.name].licence.lower()
        if system.quantization is not None:
            made |= {"library_name": "transformers", "base_model_relation": "quantized"}
        elif system.adapters and not merged:
            made |= {"library_name": "peft", "base_model_relation": "adapter"}
        elif system.adapters or system.weights:
            made |= {"library_name": "transformers", "base_model_relation": "finetune"}
        if not base:
            made.pop("base_model_relation", None)
    if record is None:
        return made
    made["tags"] = ["wattune", *dict.fromkeys(stage.strategy for stage in record.stages)]
    quality = named_scores(record)
    if quality:
        made |= {"metrics": list(quality), "model_name": title}
        made["eval_results"] = results(record)
    with contextlib.suppress(InputError):  # nothing was prepared; energy or grid are not known
        made["co2_eq_emissions"] = model_card_emissions(record)
    return made


def _from_scratch(record: Record | None) -> bool:
    """Whether nothing of the base's weights is left."""
    return record is not None and any(stage.strategy == "from_scratch" for stage in record.stages)


def _body(system: System, record: Record | None, merged: bool, title: str) -> Iterator[str]:
    yield f"# {title}"
    yield _what(system, record, merged)
    yield "## How to load it"
    yield from loading(system, merged, title)
    yield from prompt(system)
    if record is not None:
        yield from settings(record)
        yield from _task(record)
        yield from _quality(record)
        yield from _preparing(record)
        yield from _general(record)
    yield "## Limits"
    yield _limits(system, record) + "\n"


def _what(system: System, record: Record | None, merged: bool) -> str:
    from .manifest import stages_of

    steps = " + ".join(stage.strategy for stage in record.stages) if record else ""
    lines = ["A system that answers questions, saved by wattune"]
    lines[0] += f"; made by {steps}." if steps else "."
    if isinstance(system, LocalSystem):
        base = base_repo(system.model) or Path(system.model.name).name
        within = "Its merged weights are here." if merged else "Its weights are not in this folder."
        if system.weights and not merged:
            within = "The weights that replace its own are in `weights/`."
        if _from_scratch(record):
            lines.append(f"Of **{base}** it has the architecture alone. {within}")
        else:
            lines.append(f"It stands on **{base}** (revision `{system.model.revision}`). {within}")
    parts = [_SPOKEN.get(name.partition("-")[0], name) for name in stages_of(system)]
    if system.shots:
        parts.append(f"{len(system.shots)} worked examples in every prompt")
    if parts:
        lines.append(f"It has {', '.join(dict.fromkeys(parts))}.")
    return " ".join(lines)


def _task(record: Record) -> Iterator[str]:
    task = record.task
    yield "## Task and data"
    yield (
        f"Task **{task.get('name', '?')}** (version {task.get('version') or 'not given'}, "
        f"fingerprint `{task.get('fingerprint', '?')}`), evaluated on {task.get('questions', '?')} "
        f"{task.get('split', '')} questions"
        + (
            "; some of them stand in the training data too."
            if "overlap_allowed" in record.flags
            else " that no training saw."
        )
    )
    for stage in record.stages:
        if "examples" in stage.details:
            told = [f"{stage.details['examples']} examples", *_counts(stage.details.get("data"))]
            yield f"{stage.strategy} was trained on {', '.join(told)}."


def _counts(report: Any) -> Iterator[str]:
    """What a report of curation counts; lists of what was dropped stay in the record."""
    for name, value in report.items() if isinstance(report, dict) else ():
        if isinstance(value, dict):
            yield from (f"{spaced(name)} {inner}" for inner in _counts(value))
        elif isinstance(value, int | float | str):
            yield f"{spaced(name)} {value}"


def _quality(record: Record) -> Iterator[str]:
    if not record.quality:
        return
    yield "## Quality"
    rows = [
        (spaced(name), f"{s.value:.3f}", f"{s.low:.3f} – {s.high:.3f}", str(s.n))
        for name, s in record.quality.items()
    ]
    yield _table(("metric", "mean", "95 % interval", "questions"), rows)


def _preparing(record: Record) -> Iterator[str]:
    if not record.stages:
        return
    yield "## What preparing cost"
    yield _table(
        ("", *[stage.strategy for stage in record.stages]),
        [row for row in _bill(record) if any(cell != "–" for cell in row[1:])],
    )
    phase = record.phases.get("answer")
    known = {
        name: energy.provenance for name, energy in (phase.components if phase else {}).items()
    }
    how = ", ".join(f"{name} {provenance}" for name, provenance in sorted(known.items()))
    if how:
        yield f"How the energy is known: {how}."
    if record.carbon is not None:
        c = record.carbon
        yield f"Grams by {c.intensity_g_per_kwh:g} g/kWh ({c.place}, {c.source}), PUE {c.pue:g}."


def _bill(record: Record) -> Iterator[tuple[str, ...]]:
    def row(name: str, of: Any, digits: int = 0) -> tuple[str, ...]:
        values = [of(stage) for stage in record.stages]
        return (name, *["–" if v is None else f"{v:,.{digits}f}" for v in values])

    def detail(name: str) -> Any:
        return lambda stage: stage.details.get(name)

    def wh(stage: StageRecord) -> float | None:
        joules = stage.attributed.energy_j
        return None if joules is None else joules / J_PER_WH

    yield row("energy, Wh", wh, 3)
    yield row("gCO₂e", lambda stage: emissions_g(stage.attributed.energy_j, record.carbon), 4)
    yield row("seconds", lambda stage: stage.attributed.duration_s, 1)
    yield row("operations, 10⁹", lambda s: None if s.work.flops is None else s.work.flops / 1e9, 1)
    yield row("optimizer steps", detail("steps"))
    yield row("training tokens", detail("tokens"))
    yield row("trained parameters", detail("trainable_parameters"))
    yield row("final training loss", detail("final_loss"), 3)
    yield row("best validation loss", detail("best_validation_loss"), 3)


def _general(record: Record) -> Iterator[str]:
    """What a change of weights made the system forget, where that was asked."""
    asked = record.general
    if asked is None:
        return
    yield "## What it forgot"
    yield (
        f"Of {asked.questions} general questions outside of the task the base answered "
        f"{asked.before.value:.0%} rightly and this system {asked.after.value:.0%}: a change of "
        f"{asked.change.value:+.3f} (95 % interval {asked.change.low:+.3f} to "
        f"{asked.change.high:+.3f})."
    )


def _limits(system: System, record: Record | None) -> str:
    said = [
        "It was made for one task; elsewhere it may answer worse than its base, and wrong answers "
        "look like right ones."
    ]
    if record is None:
        said.append("How well it answers was not measured when it was saved.")
    else:
        said.append("The figures above are of that task's questions on one machine, no others.")
    if any(
        source.type in ("index", "summary", "documents", "nearest_shots")
        for source in system.sources
    ):
        said.append("The folder holds text of the documents or examples it was made from.")
    return " ".join(said)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
