"""Records side by side: grouped by what may be ranked together, judged, and laid out in tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import InputError
from ..measure.record import Record
from .comparability import Group, cost_groups, quality_groups
from .export import plain_rows, to_csv
from .layout import REFERENCE, Table, tables
from .seeds import Row, rows_of
from .usage import Usage
from .use_tables import Use, use_tables, uses
from .verdicts import Verdict, Verdicts, verdicts

__all__ = ["REFERENCE", "Comparison", "Table", "compare", "plain_rows"]


@dataclass(frozen=True)
class Comparison:
    """Records to be compared; `show` prints, the others return text.

    Finished records stand in `groups`, within which they are ranked; `allow` makes one of all. With
    a `usage` the tables and notes also tell what each would cost over a time of use, and which one
    least of those that reach `min_quality` in the first metric.
    """

    records: tuple[Record, ...]
    allow: bool = False
    usage: Usage | None = None
    min_quality: float | None = None

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of the records, in the order of the task."""
        return list(dict.fromkeys(metric for r in self.records for metric in r.quality))

    @cached_property
    def judged(self) -> list[str]:
        """The metrics that the records' tasks name: those that rank. The others only inform."""
        named = {metric for r in self.records for metric in r.task.get("metrics", ())}
        return [metric for metric in self.metrics if metric in named or not named]

    @property
    def done(self) -> list[Record]:
        """The records that have figures."""
        return [record for record in self.records if record.status == "done"]

    @cached_property
    def rows(self) -> list[Row]:
        """The finished records, repetitions with other seeds as one row."""
        return rows_of(self.records, together=self.allow)

    @cached_property
    def _quality_groups(self) -> tuple[list[Group], list[str]]:
        return quality_groups(self.rows, allow=self.allow)

    @cached_property
    def _cost_groups(self) -> list[tuple[list[Group], list[str]]]:
        return [cost_groups(group, allow=self.allow) for group in self.groups]

    @property
    def groups(self) -> list[Group]:
        """Rows whose quality is ranked together: the same questions and scorer."""
        return self._quality_groups[0]

    @property
    def cost_groups(self) -> list[list[Group]]:
        """For each of `groups`, its parts whose energy and time are ranked together."""
        return [groups for groups, _ in self._cost_groups]

    @property
    def reasons(self) -> list[str]:
        """What keeps groups apart, or was overridden, as sentences."""
        apart = [
            *self._quality_groups[1],
            *(r for _, reasons in self._cost_groups for r in reasons),
        ]
        return list(dict.fromkeys(apart))

    @cached_property
    def verdicts(self) -> Verdicts:
        """Each row against the best of its group, by metric; none where `allow` mixed a group."""
        return verdicts([() if group.mixed else group.rows for group in self.groups], self.judged)

    def verdict(self, group: int, metric: str) -> tuple[Verdict | None, ...]:
        """The verdicts of a group's rows in a metric, in their order."""
        nothing: tuple[Verdict | None, ...] = (None,) * len(self.groups[group].rows)
        return self.verdicts.of[group].get(metric, nothing)

    @cached_property
    def uses(self) -> list[Use]:
        """Each cost group over the time of use: life cycles, break-evens and what would change the
        winner; none without a usage."""
        return [] if self.usage is None else uses(self, self.usage, self.min_quality)

    def tables(self) -> list[Table]:
        """For each group quality, spread between seeds, cost and serving (in their groups), kinds;
        forgetting; footprints; life cycles and break-evens, with a usage."""
        return [*tables(self), *use_tables(self.uses)]

    def notes(self) -> list[str]:
        """What a reader must know to believe the tables."""
        from .notes import notes
        from .use_notes import use_notes

        return [*notes(self), *use_notes(self.uses)]

    def show(self) -> None:
        """Print the tables to the terminal."""
        from .render import show

        show(self)

    def to_markdown(self) -> str:
        """The tables as Markdown."""
        from .render import markdown

        return markdown(self)

    def to_csv(self) -> str:
        """One line a record, full precision, units in the headers; empty where unknown."""
        return to_csv(self)


def compare(
    records: Sequence[Record],
    *,
    allow: bool = False,
    usage: Usage | None = None,
    min_quality: float | None = None,
) -> Comparison:
    """Records side by side, in the order given.

    Records of other questions, another scorer, other hardware or other provenance form groups and
    are not ranked together; the notes say why. With `allow` all are ranked together and the tables
    are marked. A record given twice counts once. With a `usage` the costs over that time of use are
    added; `min_quality` says which runs are good enough. Raises `InputError` for no records.
    """
    if not records:
        raise InputError("there are no records to compare; run a recipe first (`wattune compare`)")
    once: dict[tuple[str, ...], list[Record]] = {}
    kept: list[Record] = []
    for record in records:
        alike = once.setdefault((record.name, record.key, record.created_at), [])
        if record not in alike:
            alike.append(record)
            kept.append(record)
    return Comparison(tuple(kept), allow, usage, min_quality)
