"""Charts of what was measured: where the energy went, and quality by kind of question."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ..compare.figures import busy_baseline, interval, quality_columns
from ..compare.layout import Table
from ..compare.seeds import Row
from ..compare.wording import number
from ..measure.carbon import J_PER_WH
from ..measure.record import Record, Score
from .chart import Chart, altair, by_run, finished, values
from .colours import Colours

ANSWERS = 1000
PHASES = ("prepare", "load", "answer", "idle")
OPACITY = (1.0, 0.75, 0.5, 0.22)
"""Of each phase: the colour is the run's."""
BAR_HEIGHT, DOT_HEIGHT = 26, 13


def phases_chart(name: str, rows: Sequence[Row], colours: Colours) -> Chart | None:
    """Wh of preparing once, loading once and 1,000 answers, stacked; what the machine would have
    taken at rest meanwhile stands apart as idle. None where no run has them."""
    found = {row.label: parts for row in rows if (parts := _parts(row)) is not None}
    if not found:
        return None
    alt = altair()
    labels = list(found)
    data = [
        {"run": run, "phase": phase, "wh": parts[phase], "place": PHASES.index(phase),
         "text": f"{number(parts[phase])} Wh"}
        for run, parts in found.items() for phase in PHASES
    ]  # fmt: skip
    chart = (
        alt.Chart(values(data))
        .mark_bar(stroke=colours.paper, strokeWidth=1)
        .encode(
            x=alt.X("wh:Q", stack="zero", title=f"Wh: preparing, loading, {ANSWERS:,} answers",
                    axis=alt.Axis(tickCount=6)),
            y=alt.Y("run:N", sort=labels, title=None),
            color=by_run(labels, colours, legend=False)["color"],
            opacity=alt.Opacity(
                "phase:O", sort=list(PHASES),
                scale=alt.Scale(type="ordinal", domain=list(PHASES), range=list(OPACITY)),
                legend=alt.Legend(title=None, symbolFillColor=colours.ink, symbolType="square"),
            ),
            order=alt.Order("place:O"),
            tooltip=[alt.Tooltip("run:N"), alt.Tooltip("phase:N"), alt.Tooltip("text:N")],
        )
    )  # fmt: skip
    most = max(found, key=lambda run: sum(found[run].values()))
    gross = [row.label for row in rows if row.label in found and not _has_net(row)]
    note = (
        f" {', '.join(gross)}: what the machine takes at rest is not known, so it is not set apart."
        if gross
        else ""
    )
    return Chart(
        name,
        "Where the energy goes",
        f"Preparing once, loading once and {ANSWERS:,} answers given at once. Idle is what the "
        f"machine would have taken at rest in that time.{note}",
        f"Stacked bars of Wh for {len(found)} runs; the longest is {most}.",
        Table(
            "Wh by phase",
            ("run", *PHASES, "in all"),
            tuple(
                (run, *(number(parts[phase]) for phase in PHASES), number(sum(parts.values())))
                for run, parts in found.items()
            ),
        ),
        finished(chart, colours, height=BAR_HEIGHT * len(found)),
    )


def _parts(row: Row) -> dict[str, float] | None:
    """Wh by phase, the mean over the seeds; None where one record's energy is not known."""
    made = [_of_record(record, net=_has_net(row)) for record in row.records]
    known = [parts for parts in made if parts is not None]
    if not known or len(known) < len(made):
        return None
    return {phase: fmean(parts[phase] for parts in known) for phase in PHASES}


def _bills(record: Record) -> dict[str, tuple[float | None, float | None]]:
    """Joules, and those over what the machine takes at rest, of each phase."""
    load, answer = record.phases.get("load"), record.phases.get("answer")
    times = ANSWERS / record.answers if record.answers else 0.0
    bills: dict[str, tuple[float | None, float | None]] = {
        "prepare": (record.prepare.energy_j, record.prepare.net_energy_j)
    }
    # A classifier loads nothing worth a phase.
    bills["load"] = (0.0, 0.0) if load is None else tuple(
        None if joules is None else joules / load.repeats
        for joules in (load.energy_j, load.net_energy_j)
    )  # type: ignore[assignment]  # fmt: skip
    bills["answer"] = (None, None) if answer is None or not times else tuple(
        None if joules is None else joules * times
        for joules in (answer.energy_j, answer.net_energy_j)
    )  # type: ignore[assignment]  # fmt: skip
    return bills


def _has_net(row: Row) -> bool:
    """Whether the idle share of all phases is known: there was a baseline, taken at rest."""
    return all(
        busy_baseline(record) is None and all(net is not None for _, net in _bills(record).values())
        for record in row.records
    )


def _of_record(record: Record, *, net: bool) -> dict[str, float] | None:
    parts = {"idle": 0.0}
    for phase, (gross, above) in _bills(record).items():
        if gross is None:
            return None
        # Noise can make the net a little negative, or a little more than there was.
        busy = min(max(above, 0.0), gross) if net and above is not None else gross
        parts[phase] = busy / J_PER_WH
        parts["idle"] += (gross - busy) / J_PER_WH
    return parts


def kinds_chart(name: str, rows: Sequence[Row], metric: str, colours: Colours) -> Chart | None:
    """Quality by kind of question, a dot a run with its 95 % interval; None where the task has but
    one kind."""
    labels = [row.label for row in rows]
    data = [
        {"run": row.label, "kind": f"{kind.replace('_', ' ')} ({score.n})", "quality": score.value,
         "low": score.low, "high": score.high, "text": interval(score)}
        for row in rows
        for kind, score in _by_kind(row, metric).items()
    ]  # fmt: skip
    kinds = list(dict.fromkeys(str(point["kind"]) for point in data))
    if len(kinds) < 2:
        return None
    alt = altair()
    header = quality_columns([metric])[0].plain
    y = alt.Y("kind:N", sort=kinds, title=None, scale=alt.Scale(paddingInner=0.25),
              axis=alt.Axis(labelLimit=160))  # fmt: skip
    offset = alt.YOffset("run:N", sort=labels)
    chart = alt.Chart(values(data))
    x_title, axis = f"{header}, 95 % intervals", alt.Axis(tickCount=6)
    x = alt.X("quality:Q", title=x_title, axis=axis)
    both = by_run(labels, colours)
    layers = [
        chart.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
            x=alt.X("low:Q", title=x_title, axis=axis), x2="high:Q", y=y, yOffset=offset,
            color=both["color"],
        ),
        chart.mark_point(filled=True, size=60, opacity=1).encode(
            x=x, y=y, yOffset=offset, **both,
            tooltip=[alt.Tooltip("run:N"), alt.Tooltip("kind:N"), alt.Tooltip("text:N")],
        ),
    ]  # fmt: skip
    texts: dict[Any, dict[Any, Any]] = {}
    for point in data:
        texts.setdefault(point["run"], {})[point["kind"]] = point["text"]
    return Chart(
        name,
        f"{header} by kind of question",
        "The number of questions of each kind in brackets; few questions, wide intervals.",
        f"Dots with intervals of {header} for {len(kinds)} kinds of question: "
        f"{', '.join(kinds)}, and {len(texts)} runs.",
        Table(
            f"{header} by kind of question",
            ("run", *kinds),
            tuple((run, *(of.get(kind, "–") for kind in kinds)) for run, of in texts.items()),
        ),
        finished(alt.layer(*layers), colours, height=DOT_HEIGHT * len(kinds) * (len(labels) + 2)),
    )


def _by_kind(row: Row, metric: str) -> dict[str, Score]:
    """The scores of each kind, tags left out; of several seeds the mean of ends and middles."""
    found: dict[str, list[Score]] = {}
    for record in row.records:
        for kind, scores in record.quality_by.items():
            if "/" not in kind and metric in scores:
                found.setdefault(kind, []).append(scores[metric])
    return {
        kind: Score(
            value=fmean(s.value for s in scores), low=fmean(s.low for s in scores),
            high=fmean(s.high for s in scores), n=scores[0].n,
        )
        for kind, scores in found.items()
        if len(scores) == len(row.records)
    }  # fmt: skip
