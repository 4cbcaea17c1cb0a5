"""The tables of a comparison by hardware, and what its orders say of decisions."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure.paired import Difference
from .by_hardware import Beside, ByHardware, joules, provenance, seconds
from .comparability import contention
from .figures import quality_columns, signed
from .layout import Table
from .order import Order
from .seeds import Row
from .transfer_table import projection_notes
from .uncertainty import answer_draws, interval


def tables(found: ByHardware) -> list[Table]:
    """The machines; quality, and energy and time, each with a column a machine."""
    rows = tuple((m.letter, m.name, provenance(m) or "–") for m in found.machines)
    places = Table("Machines", ("", "machine", "how joules are known"), rows, words=True)
    return [places, _quality(found), _costs(found)] if found.pairs else [places]


def _quality(found: ByHardware) -> Table:
    first, *rest = found.machines
    name = _metric(found)
    heads = [f"{name}\n{machine.letter}" for machine in found.machines]
    heads += [f"{machine.letter} − {first.letter}" for machine in rest]
    heads += [f"scored alike\n{first.letter} and {machine.letter}" for machine in rest]
    lines = []
    for run in found.runs:
        at = [machine.rows.get(run) for machine in found.machines]
        means = [row.mean(found.metric or "") if row else None for row in at]
        apart = [found.difference(at[0], row) if at[0] and row else None for row in at[1:]]
        lines.append(
            (
                found.label(run),
                *("–" if mean is None else f"{mean:.3f}" for mean in means),
                *map(_apart, apart),
                *(_alike(at[0], row, found.metric) for row in at[1:]),
            )
        )
    title = "Quality of the same System by machine, differences with 95 % interval"
    return Table(title, ("run", *heads), tuple(lines))


def _costs(found: ByHardware) -> Table:
    first, *rest = found.machines
    heads: list[str] = []
    for name in ("J an answer", "s an answer"):
        heads += [f"{name}\n{machine.letter}" for machine in found.machines]
        heads += [f"{machine.letter} / {first.letter}" for machine in rest]
    lines = []
    for run in found.runs:
        at = [machine.rows.get(run) for machine in found.machines]
        cells: list[str] = []
        for of in (joules, seconds):
            figures = [of(row) if row else None for row in at]
            cells += ["–" if value is None else f"{value:,.3g}" for value in figures]
            cells += [_ratio(figures[0], value) for value in figures[1:]]
        lines.append((found.label(run), *cells))
    return Table("Energy and time by machine, all at once", ("run", *heads), tuple(lines))


def _metric(found: ByHardware) -> str:
    return quality_columns([found.metric or "quality"])[0].plain


def _apart(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    low, high = signed(difference.low), signed(difference.high)
    return f"{signed(difference.value)} [{low}, {high}]"


def _alike(one: Row | None, other: Row | None, metric: str | None) -> str:
    """How many questions have the same score on both, such as ``198 of 200``."""
    mine, theirs = (row.scores(metric or "") if row else None for row in (one, other))
    if mine is None or theirs is None or len(mine) != len(theirs):
        return "–"
    return f"{sum(a == b for a, b in zip(mine, theirs, strict=True)):,} of {len(mine):,}"


def _ratio(one: float | None, other: float | None) -> str:
    return "–" if not one or other is None else f"{other / one:.2f}"


def verdicts(found: ByHardware) -> list[str]:
    """Whether decisions carry over: a sentence for each two machines."""
    return [_verdict(found, pair) for pair in found.pairs]


def _verdict(found: ByHardware, pair: Beside) -> str:
    here, there = pair.one.letter, pair.other.letter
    if len(pair.runs) < 2:
        return f"{here} and {there} have one run in common, so there is no order to compare."
    told = [
        _held(found, pair, what, order, of_quality)
        for what, order, of_quality in (
            ("J an answer", pair.energy, False), (_metric(found), pair.quality, True),
        )
    ]  # fmt: skip
    return f"The order of {len(pair.runs)} runs on {here} and {there}: {'; '.join(told)}."


def _held(found: ByHardware, pair: Beside, what: str, order: Order | None, of_quality: bool) -> str:
    if order is None:
        return f"by {what} it is not known"
    tau = "" if order.tau is None else f" (Kendall's tau {order.tau:.2f})".replace("-", "−")
    if order.same:
        return f"by {what} it is the same{tau}"
    names = [_named(found, pair, two, of_quality) for two in order.turned]
    return f"by {what} {len(names)} of {order.pairs} pairs turn{tau}: {', '.join(names)}"


def _named(found: ByHardware, pair: Beside, two: tuple[int, int], of_quality: bool) -> str:
    """A pair that turns; where a machine cannot tell the two apart, it may be chance."""
    runs = [pair.runs[place] for place in two]
    name = " and ".join(map(found.label, runs))
    unsure = [
        machine.letter
        for machine in (pair.one, pair.other)
        if _not_told_apart(found, [machine.rows[run] for run in runs], of_quality)
    ]
    return f"{name} (not told apart on {' and '.join(unsure)})" if unsure else name


def _not_told_apart(found: ByHardware, rows: Sequence[Row], of_quality: bool) -> bool:
    """Whether the 95 % interval of their difference holds 0, or cannot be had."""
    if of_quality:
        apart = found.difference(*rows)
        return apart is None or apart.low <= 0 <= apart.high
    one, other = (answer_draws(row.records, "batch") for row in rows)
    if one is None or other is None:
        return True
    low, high = interval(one - other)
    return low <= 0 <= high


def notes(found: ByHardware) -> list[str]:
    """The verdict first; how to read the tables; what is not in them, and why."""
    if not found.pairs:
        return [
            "No run was measured on two machines. Run the same recipe on another one (`wattune "
            "pack` bundles it) and give both folders, or project onto one with --on."
        ]
    told = [
        *verdicts(found),
        "The same System on the same questions; other hardware, device or precision. Tau is 1 for "
        "the same order, −1 for the reverse.",
    ]
    ways = {provenance(machine) for machine in found.machines if machine.rows}
    if len(ways) > 1:
        told.append(
            "Joules are not known in the same way on all of them, so a ratio is also one of two "
            "ways of knowing; the order within a machine is surer."
        )
    kept = {id(r) for m in found.machines for row in m.rows.values() for r in row.records}
    left = [record.name for record in found.comparison.done if id(record) not in kept]
    if left:
        told.append(
            "Left out, for no other machine has a record of the same System, questions and seed, "
            f"or their own has a newer one: {', '.join(dict.fromkeys(left))}."
        )
    busy = [
        f"{found.label(run)} on {machine.letter}"
        for machine in found.machines
        for run, row in machine.rows.items()
        if any(contention(record) is not None for record in row.records)
    ]
    if busy:
        told.append(
            f"WARNING: other programs kept the machine busy (contended): {', '.join(busy)}. Their "
            "energy and time are too high."
        )
    return [*told, *projection_notes(found.comparison.done)]
