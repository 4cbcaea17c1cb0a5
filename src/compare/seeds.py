"""One row for one way of doing it: the records of several seeds are its repetitions."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..measure.record import Record, Score
from ..measure.statistics import Spread, between_seeds, bootstrap_mean, mean_over_seeds

NOT_THE_RUN = {"seed", "seeds", "place", "intensity_g_per_kwh"}
"""Keys of a recipe that two repetitions may differ in: the seed, and what is not measured."""
MADE_BY_STAGES = {"weights", "adapters", "sources"}
"""Parts of a System that a stage made with the seed: they differ by it, the strategies do not."""


ROUNDING = 1e-5
"""Scores by question are kept to six decimals, so their mean may be off by half of the last."""


@dataclass(frozen=True)
class Row:
    """A run under its label; several records where it was repeated with other seeds."""

    label: str
    records: tuple[Record, ...]

    def figure(self, of: Callable[[Record], float | str | None]) -> float | str | None:
        """The mean of a figure over the seeds, None where one has none; text where all agree."""
        values = [of(record) for record in self.records]
        numbers = [value for value in values if isinstance(value, (int, float))]
        if len(numbers) == len(values):
            return statistics.fmean(numbers) if len(numbers) > 1 else numbers[0]
        texts = {value for value in values if isinstance(value, str)}
        return texts.pop() if len(texts) == 1 and not numbers and None not in values else None

    def scores(self, metric: str) -> tuple[float | None, ...] | None:
        """One score a question, the mean over the seeds; None where they are not recorded, or
        where the metric is no mean over questions (macro-F1), so that they do not stand for it."""
        found = [record.scores.get(metric) for record in self.records]
        lists = [scores for scores in found if scores]
        if len(lists) < len(found) or len({len(scores) for scores in lists}) > 1:
            return None
        for record, scores in zip(self.records, lists, strict=True):
            known = [score for score in scores if score is not None]
            if not known or not math.isclose(
                statistics.fmean(known), record.quality[metric].value, abs_tol=ROUNDING
            ):
                return None
        return tuple(lists[0]) if len(lists) == 1 else mean_over_seeds(lists)

    def mean(self, metric: str) -> float | None:
        """The mean of a metric over the seeds; None where a record lacks it."""
        value = self.figure(lambda r: r.quality[metric].value if metric in r.quality else None)
        return value if isinstance(value, float) else None

    def score(self, metric: str) -> Score | None:
        """The mean with its interval over questions, from the mean over seeds of each question.

        None where it is not known: for several seeds the scores by question are needed.
        """
        if len(self.records) == 1:
            return self.records[0].quality.get(metric)
        scores = self.scores(metric)
        known = [score for score in scores or () if score is not None]
        return bootstrap_mean(known) if known else None

    def spread(self, metric: str) -> Spread | None:
        """How far the seeds lie apart in a metric; None for one seed, which says nothing of it."""
        means = [
            record.quality[metric].value for record in self.records if metric in record.quality
        ]
        return between_seeds(means)


def rows_of(records: Sequence[Record], *, together: bool = False) -> list[Row]:
    """The finished records as rows, in the order of their first ones.

    Records are one row where all is alike but the seed: name, resolved recipe, System, questions,
    scorer, software and precision. One without its recipe or its scores by question (written by an
    older wattune, or by `run` of the API) stays alone: nobody knows what it repeats. Names that
    stand for several rows of the same questions and scorer (or, where all will stand `together`,
    for several rows at all) are told apart by the key.
    """
    done = [record for record in records if record.status == "done"]
    repeats: dict[str, list[list[Record]]] = {}
    times: Counter[tuple[str, int]] = Counter()
    rows: list[list[Record]] = []
    for record in done:
        if not (record.recipe and record.scores):
            rows.append([record])
            continue
        identity = _identity(record)
        alike = repeats.setdefault(identity, [])
        place = times[identity, record.seed]  # the second of a seed goes to the second row
        times[identity, record.seed] += 1
        if place < len(alike):
            alike[place].append(record)
        else:
            rows.append([record])
            alike.append(rows[-1])
    names = [(row[0].name, "" if together else _scored(row[0])) for row in rows]
    counts = Counter(names)
    return [
        Row(_label(row, counts[name] > 1), tuple(row))
        for row, name in zip(rows, names, strict=True)
    ]


def _label(row: Sequence[Record], ambiguous: bool) -> str:
    name = f"{row[0].name}#{row[0].key[:6]}" if ambiguous else row[0].name
    return f"{name} ({len(row)} seeds)" if len(row) > 1 else name


def _scored(record: Record) -> str:
    return json.dumps([record.task.get("items"), record.fingerprints.get("scorer")])


def _identity(record: Record) -> str:
    software, machine = (record.environment.get(name) for name in ("software", "machine"))
    return json.dumps([record.name, same_system(record), software, machine], sort_keys=True)


def same_system(record: Record, aside: Collection[str] = ()) -> str:
    """What two records have in common that asked the same questions of the same System, wherever
    and with whatever seed: recipe (but its keys `aside`), System, questions and scorer."""

    def without(content: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
        return {key: value for key, value in content.items() if key not in keys}

    return json.dumps(
        [
            without(record.recipe, {*NOT_THE_RUN, *aside}),
            without(record.system, MADE_BY_STAGES),
            record.task.get("name"),
            _scored(record),
        ],
        sort_keys=True,
    )
