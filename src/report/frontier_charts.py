"""Charts of what is decided by: quality against energy, and energy against volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..advice.verdict import Amount
from ..advice.wording import energy
from ..compare.figures import interval, quality_columns
from ..compare.frontier import Front, TradeOff
from ..compare.layout import Table
from ..compare.lifecycle import costs_of
from ..compare.uncertainty import interval as middle
from ..compare.uncertainty import prepare_draws
from ..compare.usage import Usage
from ..compare.wording import number, span
from ..measure.carbon import J_PER_WH
from .chart import Chart, altair, by_run, finished, powers_of_ten, scale_of, values
from .colours import Colours
from .volumes import Stop, shown_of

HEIGHT = 380
MOST_NAMED = 12
"""Points with their name beside them; of more, only those on the frontier."""


def frontier_chart(name: str, front: Front, usage: Usage, colours: Colours) -> Chart | None:
    """Quality over energy with 95 % intervals of both, and the step line of those that none
    beats; None where no point has both."""
    points = [p for p in front.points if p.quality is not None and p.wh is not None]
    if not points:
        return None
    alt = altair()
    header = quality_columns([front.metric])[0].plain
    rows = [_point(point, front, usage) for point in points]
    energies = [row["wh"] for row in rows]
    labels = [row["run"] for row in rows]
    scale = scale_of(energies, padding=30)
    x = alt.X("wh:Q", title=front.cost, scale=scale, axis=alt.Axis(format="~g", tickCount=6))
    y = alt.Y("quality:Q", title=f"{header}, 95 % intervals", scale=alt.Scale(zero=False))
    both = by_run(labels, colours, legend=False)
    chart = alt.Chart(values(rows))
    best = [row for row in rows if row["best"]]
    layers = [
        alt.Chart(values(best))
        .mark_line(interpolate="step-after", strokeDash=[5, 4], color=colours.ink, opacity=0.6)
        .encode(x=x, y=y),
        chart.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
            x=x, y="low:Q", y2="high:Q", color=both["color"]
        ),
        chart.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
            x="wh_low:Q", x2="wh_high:Q", y=y, color=both["color"]
        ),
        chart.mark_point(filled=True, size=120, opacity=1).encode(
            x=x, y=y, **both, tooltip=_tips(alt)
        ),
        # Neighbours by energy have their names on other sides, where they would overlap.
        *(
            alt.Chart(values((rows if len(rows) <= MOST_NAMED else best)[side::2]))
            .mark_text(align="left", baseline="middle", dx=9, dy=9 if side else -9)
            .encode(x=x, y=y, text="run:N")
            for side in (0, 1)
        ),
    ]  # fmt: skip
    named = ", ".join(row["run"] for row in best) or "none: other programs kept the machine busy"
    unknown = [p.row.label for p in front.points if p not in points]
    left_out = f" Not drawn, for want of a figure: {', '.join(unknown)}." if unknown else ""
    return Chart(
        name,
        f"{header} against energy",
        f"Up and to the left is better. The dashed line joins what no other run beats: {named}."
        f"{left_out}",
        f"Scatter chart of {header} over {front.cost} for {len(rows)} runs. "
        f"On the frontier, the cheapest first: {named}.",
        Table(
            f"{header} and energy",
            ("run", header, front.cost, "on the frontier"),
            tuple((r["run"], r["quality_text"], r["wh_text"], _WORD[r["best"]]) for r in rows),
        ),
        finished(alt.layer(*layers), colours, height=HEIGHT),
    )


_WORD = {True: "yes", False: "no", None: "–"}


def _tips(alt: Any) -> list[Any]:
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in
            (("run", "run"), ("quality_text", "quality"), ("wh_text", "Wh"))]  # fmt: skip


def _point(point: TradeOff, front: Front, usage: Usage) -> dict[str, Any]:
    quality, wh, score = point.quality or 0.0, point.wh or 0.0, point.score
    within: tuple[float, float] | None = None
    if front.cost == "Wh per 1,000 answers":
        taken = costs_of(point.row, usage.model_copy(update={"serving": "batch"})).answer_j
        if taken is not None:
            within = 1000 * taken.low / J_PER_WH, 1000 * taken.high / J_PER_WH
    elif (draws := prepare_draws(point.row.records)) is not None:
        within = middle(draws / J_PER_WH)
    low, high = within or (wh, wh)
    return {
        "run": point.row.label,
        "wh": wh,
        "wh_low": low,
        "wh_high": high,
        "wh_text": f"{number(wh)} [{number(low)}, {number(high)}]" if within else number(wh),
        "quality": quality,
        "low": score.low if score else quality,
        "high": score.high if score else quality,
        "quality_text": interval(score) if score else f"{quality:.2f}",
        "best": point.on_frontier,
    }


def break_even_chart(
    name: str, stops: Sequence[Stop], runs: Sequence[str], usage: Usage, colours: Colours
) -> Chart | None:
    """Energy in all over the number of answers, a line a run with its 95 % band; a rule at the
    usage's volume, which the page's slider moves, and there a ring around what is taken."""
    labels = [run for run in runs if all(_wh(stop, run) for stop in stops)]
    if not labels:
        return None
    alt = altair()
    rows = [_row(stop, run) for stop in stops for run in labels]
    log, over = alt.Scale(type="log", nice=False), f"answers in {span(usage.horizon_days)}"
    x = alt.X("answers:Q", title=over, scale=log, axis=_decades([s.answers for s in stops]))
    y = alt.Y("wh:Q", title="Wh in all", scale=log, axis=_decades([row["wh"] for row in rows]))
    both = by_run(labels, colours)
    volume = alt.param(name="volume", value=stops[shown_of(stops, usage)].answers)
    chart = alt.Chart(values(rows))
    here = chart.transform_filter("datum.answers == volume")
    layers = [
        chart.mark_area(opacity=0.14).encode(
            x=x, y="low:Q", y2="high:Q", color=both["color"]
        ),
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, color=both["color"]),
        here.mark_rule(color=colours.ink, strokeDash=[3, 3]).encode(x=x),
        here.mark_point(filled=True, size=60, opacity=1).encode(
            x=x, y=y, **both
        ),
        here.transform_filter("datum.taken").mark_point(
            size=260, strokeWidth=2.5, filled=False, color=colours.ink, opacity=1
        ).encode(x=x, y=y),
    ]  # fmt: skip
    ends = (stops[0], stops[-1])
    lines = "; ".join(
        f"{run} from {energy(_wh(ends[0], run).value)} to {energy(_wh(ends[1], run).value)}"  # type: ignore[union-attr]
        for run in labels
    )
    unknown = [run for run in runs if run not in labels]
    left_out = (
        f" Not drawn, for what they take is not known: {', '.join(unknown)}." if unknown else ""
    )
    return Chart(
        name,
        "Energy in all, by the number of answers",
        "In all: preparing, refreshes, answers and idle time. Where two lines cross, the run that "
        "is dearer to prepare has paid back. Bands are 95 % intervals. "
        f"The ring marks what is taken at the volume of the dotted line.{left_out}",
        f"Line chart of energy over {number(ends[0].answers)} to {number(ends[1].answers)} "
        f"answers: {lines}.",
        _totals_table(stops, labels),
        finished(alt.layer(*layers).add_params(volume), colours, height=HEIGHT),
    )


def _decades(figures: Sequence[float]) -> Any:
    """A logarithmic axis with lines at powers of ten, their figures written out."""
    return altair().Axis(format=",~r", values=powers_of_ten(figures))


def _wh(stop: Stop, run: str) -> Amount | None:
    total = stop.totals.get(run)
    return total if total is not None and total.value > 0 else None


def _row(stop: Stop, run: str) -> Mapping[str, Any]:
    total = stop.totals[run] or Amount(value=0.0, low=0.0, high=0.0)
    high = total.value if total.high is None else total.high
    return {
        "run": run,
        "answers": stop.answers,
        "wh": total.value,
        "low": max(total.low, total.value / 100),  # a logarithm needs more than nothing
        "high": high,
        "taken": stop.choice == run,
    }


def _totals_table(stops: Sequence[Stop], labels: Sequence[str]) -> Table:
    rows = []
    for stop in stops:
        totals = [_wh(stop, run) for run in labels]
        texts = ["–" if total is None else number(total.value) for total in totals]
        rows.append((number(stop.answers), *texts, stop.choice or "–"))
    return Table("Wh in all, by the number of answers", ("answers", *labels, "taken"), tuple(rows))
