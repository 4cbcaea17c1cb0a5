"""Quality then and now: the same questions answered in two ways, tested in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..measure.paired import Difference, Scores, holm, paired_differences
from ..measure.quality import better
from .comparability import QUALITY, Fields
from .seeds import Row
from .verdicts import LEVEL


@dataclass(frozen=True)
class QualityChange:
    """A metric's mean then and now, None where it is not known.

    `word` (better, worse, tied) and `difference`, now less then, where the questions, the scorer
    and their number agree; `p` is corrected for all tests made together (Holm).
    """

    then: float | None
    now: float | None
    word: str = "unknown"
    difference: Difference | None = None
    p: float | None = None


def quality_changes(pairs: Sequence[tuple[Row, Row]]) -> list[dict[str, QualityChange]]:
    """For each pair of rows (then, now) its metrics that the task names, all tests corrected
    together."""
    asked: list[tuple[int, str]] = []
    scores: list[tuple[Scores, Scores]] = []
    for number, (then, now) in enumerate(pairs):
        for metric in _judged(now):
            mine, other = now.scores(metric), then.scores(metric)
            if mine and other and not differing(then, now, QUALITY) and _common(mine, other):
                asked.append((number, metric))
                scores.append((mine, other))
    differences = paired_differences(scores)
    corrected = holm([difference.p for difference in differences])
    found = [
        {m: QualityChange(then.mean(m), now.mean(m)) for m in _judged(now)} for then, now in pairs
    ]
    for (number, metric), difference, p in zip(asked, differences, corrected, strict=True):
        word = "tied"
        if p <= LEVEL:
            word = "better" if (difference.value > 0) == (better(metric) == "higher") else "worse"
        plain = found[number][metric]
        found[number][metric] = QualityChange(plain.then, plain.now, word, difference, p)
    return found


def differing(then: Row, now: Row, fields: Fields) -> list[str]:
    """Which of the fields two rows differ in, with both sides."""
    found = []
    for name, of in fields.items():
        sides = [" or ".join(dict.fromkeys(map(of, row.records))) for row in (then, now)]
        if sides[0] != sides[1]:
            found.append(f"{name}: {sides[0]} then, {sides[1]} now")
    return found


def _judged(row: Row) -> list[str]:
    record = row.records[0]
    named = record.task.get("metrics") or list(record.quality)
    return [metric for metric in named if metric in record.quality]


def _common(one: Scores, other: Scores) -> bool:
    return len(one) == len(other) and any(
        a is not None and b is not None for a, b in zip(one, other, strict=True)
    )
