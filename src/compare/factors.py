"""Ten factors by which practitioners choose a base model, each from a Record or a model card.

Accuracy, performance, cost, customisation potential, data security, size, specialisation, update
frequency, ease of integration and ethical heritage. A finding says where it is from; what nobody
measured or states is unknown, with where it was looked for, and never filled in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..measure.carbon import J_PER_WH
from ..measure.licences import is_open
from ..measure.model_facts import ModelFacts
from ..measure.paired import paired_differences
from ..measure.quality import better
from ..measure.record import Record
from .base_models import BaseModel, counted, fact_name, sized
from .figures import answer_wh_per_1000, interval, peak_gb, quality_columns, signed
from .seeds import Row

UNKNOWN = "unknown"
Figure = float | str | None


@dataclass(frozen=True)
class Finding:
    """One thing known of a model under a factor.

    `value` is the figure in full, None where it is unknown; `text` is what a person reads. `source`
    says where it is from or was looked for: ``measured: `` and ``recorded: `` are of a Record, the
    rest is told of the model.
    """

    factor: str
    name: str
    value: Figure
    text: str
    source: str


@dataclass(frozen=True)
class Candidate:
    """A model as it does best: its rows on the same questions, and the best of them by `metric`."""

    model: BaseModel
    rows: tuple[Row, ...]
    metric: str | None
    best: Row | None


def candidate(model: BaseModel, rows: Sequence[Row], metric: str | None) -> Candidate:
    """The model with those of `rows` that stand on it."""
    labels = {id(record) for row in model.rows for record in row.records}
    own = tuple(row for row in rows if id(row.records[0]) in labels)
    scored = [(mean, row) for row in own if metric and (mean := row.mean(metric)) is not None]
    if not scored or metric is None:
        return Candidate(model, own, metric, None)
    sign = -1 if better(metric) == "higher" else 1

    def rank(pair: tuple[float, Row]) -> tuple[float, float, str]:
        cost = pair[1].figure(answer_wh_per_1000)  # of equals the cheapest, in any order of records
        return sign * pair[0], cost if isinstance(cost, float) else math.inf, pair[1].label

    return Candidate(model, own, metric, min(scored, key=rank)[1])


def findings(of: Candidate) -> list[Finding]:
    """What is known of a model, factor by factor, in the order of `FACTORS`."""
    return [
        Finding(factor, name, value, text if value is not None else f"{name} {UNKNOWN}", source)
        for factor, found in FACTORS.items()
        for name, value, text, source in found(of)
    ]


Found = Iterator[tuple[str, Figure, str, str]]
"""Name, figure, text and source."""


def _accuracy(of: Candidate) -> Found:
    name = quality_columns([of.metric])[0].plain if of.metric else "quality"
    if of.best is None or of.metric is None:
        yield name, None, "", "not measured in these records"
        return
    score, mean = of.best.score(of.metric), of.best.mean(of.metric)
    text = interval(score) if score else f"{mean:.2f}"
    source = f"measured: quality.{of.metric} of {of.best.label}, the best of {len(of.rows)} run(s)"
    yield name, mean, f"{name} {text}\n({of.best.label})", source


def _performance(of: Candidate) -> Found:
    yield _measured(
        of, "p95 latency", "{} s p95 latency", "realtime.latency_p95_s",
        lambda r: r.realtime.latency_p95_s if r.realtime else None,
    )  # fmt: skip
    yield _measured(
        of, "answers/s at once", "{} answers/s at once", "batch.questions_per_s",
        lambda r: r.batch.questions_per_s if r.batch else None,
    )  # fmt: skip


def _cost(of: Candidate) -> Found:
    yield _measured(
        of, "Wh per 1,000 answers", "{} Wh per 1,000 answers", "phases.answer.energy_j",
        answer_wh_per_1000,
    )  # fmt: skip
    yield _measured(
        of, "Wh to prepare", "{} Wh to prepare", "prepare.energy_j",
        lambda r: None if r.prepare.energy_j is None else r.prepare.energy_j / J_PER_WH,
    )  # fmt: skip
    priced = next((r.money for r in of.best.records if r.money), None) if of.best else None
    unit = priced.currency if priced else "money"
    yield _measured(
        of, "money per 1,000 answers", f"{{}} {unit} per 1,000 answers", "money.answers_1000",
        lambda r: r.money.answers_1000 if r.money else None,
    )  # fmt: skip


def _customisation(of: Candidate) -> Found:
    steps = {stage.strategy for row in of.rows for r in row.records for stage in r.stages}
    tried = ", ".join(sorted(steps)) or "nothing but the base"
    yield "tried", tried, f"tried: {tried}", "recorded: the stages of its runs"
    if of.model.facts is None:
        return
    bare = next((row for row in of.rows if _is_bare(row.records[0])), None)
    name = "gain over the bare model"
    if of.best is None or of.metric is None or bare is None or bare is of.best:
        why = "the bare model was not run" if bare is None else "no run is better than the bare one"
        yield name, None, "", why
    else:
        one, other = of.best.scores(of.metric), bare.scores(of.metric)
        if one and other and len(one) == len(other):
            (d,) = paired_differences([(one, other)])
            text = f"{signed(d.value)} [{signed(d.low)}, {signed(d.high)}] over bare"
            yield name, d.value, text, f"measured: {of.best.label} less {bare.label}, by question"
        else:
            yield name, None, "", "no scores by question to pair"
    weights = "behind a server: prompts and passages only" if _served(of) else "here: can be tuned"
    yield "weights", weights, f"weights {weights}", "recorded: system.kind"


def _security(of: Candidate) -> Found:
    where = of.model.facts.where if of.model.facts else "this_machine"
    texts = {"this_machine": "stays on this machine", "managed": "leaves for a server elsewhere"}
    text = texts.get(where or "")
    yield "data", text, f"data {text}", "recorded: what answers, system.kind and its address"


def _size(of: Candidate) -> Found:
    yield from _stated(
        of, "parameters", lambda f: f.parameters, lambda n: f"{counted(n)} parameters"
    )
    yield from _stated(
        of, "weights_bytes", lambda f: f.weights_bytes, lambda n: f"{sized(n)} stored"
    )
    yield from _stated(of, "precision", lambda f: f.precision, str)
    yield _measured(
        of, "peak memory", "{} GB peak memory", "phases.answer.peak_memory_bytes",
        lambda r: peak_gb(r, "answer"),
    )  # fmt: skip


def _specialisation(of: Candidate) -> Found:
    yield from _stated(
        of, "languages", lambda f: _some(f.languages) or None, lambda t: f"languages: {t}"
    )
    record = of.best.records[0] if of.best else None
    kinds = {} if record is None or of.metric is None else {
        kind: scores[of.metric].value
        for kind, scores in record.quality_by.items()
        if of.metric in scores and "/" not in kind
    }  # fmt: skip
    if len(set(kinds.values())) < 2:
        yield "best kind of question", None, "", "no two kinds of question that score differently"
        return
    high = better(of.metric or "") == "higher"
    best, worst = sorted(kinds, key=lambda kind: kinds[kind], reverse=high)[:: len(kinds) - 1]
    text = f"best at {best} {kinds[best]:.2f},\nworst at {worst} {kinds[worst]:.2f}"
    yield "best kind of question", best, text, "measured: quality_by of its best run"


def _updates(of: Candidate) -> Found:
    yield from _stated(of, "published", lambda f: f.published, lambda t: f"published {t}")
    yield from _stated(of, "updated", lambda f: f.updated, lambda t: f"last changed {t}")
    found = {row.label: row.figure(_refresh_wh) for row in of.rows}
    costs = {label: cost for label, cost in found.items() if isinstance(cost, float)}
    least = min(costs, key=lambda label: costs[label], default=None)
    text = f"{costs[least]:,.3f} Wh to follow the task\n({least})" if least else ""
    source = f"measured: refresh of {least}" if least else "not measured: `refresh: true`"
    yield "Wh of a refresh", costs[least] if least else None, text, source


def _integration(of: Candidate) -> Found:
    yield from _stated(
        of, "context_tokens", lambda f: f.context_tokens, lambda n: f"{n:,.0f} tokens of context"
    )
    how = "asked over HTTP or LangChain" if _served(of) else "opened in this process"
    yield "interface", how, how, "recorded: system.kind"
    yield _measured(
        of, "seconds to load", "{} s to load", "phases.load.duration_s",
        lambda r: r.phases["load"].duration_s if "load" in r.phases else None,
    )  # fmt: skip


def _heritage(of: Candidate) -> Found:
    yield from _stated(
        of, "licence", lambda f: f.licence,
        lambda t: f"licence {t} ({'open' if is_open(t) else 'not listed as open'})",
    )  # fmt: skip
    yield from _stated(
        of, "training_emissions_g", lambda f: f.training_emissions_g,
        lambda g: f"{g / 1000:,.3f} kgCO₂e of training, as stated",
    )  # fmt: skip
    yield from _stated(
        of, "base_models", lambda f: _some(f.base_models) or None, lambda t: f"from {t}"
    )
    yield from _stated(of, "datasets", lambda f: _some(f.datasets) or None, lambda t: f"data: {t}")


FACTORS: dict[str, Callable[[Candidate], Found]] = {
    "accuracy": _accuracy,
    "performance": _performance,
    "cost": _cost,
    "customisation potential": _customisation,
    "data security": _security,
    "size": _size,
    "specialisation": _specialisation,
    "update frequency": _updates,
    "ease of integration": _integration,
    "ethical heritage": _heritage,
}
"""The factors in the order in which they are laid out."""


def _measured(
    of: Candidate, name: str, text: str, field: str, figure: Callable[[Record], Figure]
) -> tuple[str, Figure, str, str]:
    """A figure of the best run; the mean over its seeds."""
    if of.best is None:
        return name, None, "", "no run was scored"
    value = of.best.figure(figure)
    if not isinstance(value, float):
        return name, None, "", f"not measured: {field} of {of.best.label}"
    return name, value, text.format(figured(value)), f"measured: {field} of {of.best.label}"


def _stated(
    of: Candidate, field: str, fact: Callable[[ModelFacts], Figure], text: Callable[..., str]
) -> Found:
    """A fact of the model, and its source; nothing of a classifier, which stands on none."""
    facts = of.model.facts
    if facts is not None:
        value = fact(facts)
        told = "" if value is None else text(value)
        yield fact_name(field), value, told, facts.sources.get(field, "not told")


def _is_bare(record: Record) -> bool:
    """Whether the model answers as it is: nothing trained, nothing retrieved, no examples."""
    system = record.system
    added = ("weights", "adapters", "sources", "quantization")
    return bool(system) and "stage" not in system and not any(system.get(key) for key in added)


def _served(of: Candidate) -> bool:
    """Whether another program answers, so that its weights are not ours."""
    return any(row.records[0].system.get("kind") == "endpoint" for row in of.rows)


def _refresh_wh(record: Record) -> float | None:
    joules = record.refresh.attributed.energy_j if record.refresh else None
    return None if joules is None else joules / J_PER_WH


def _some(names: Sequence[str]) -> str:
    """The first three of a list, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def figured(number: float) -> str:
    """Three digits, and no figure that is not 0 as 0."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
