"""Ten thousand records give a table and a choice as a few do."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from wattune.advice.decide import advise
from wattune.advice.needs import Needs
from wattune.compare.table import compare
from wattune.compare.usage import Usage
from wattune.measure.record import Record

MANY = 10_000


def test_the_needle_is_found(made: Callable[..., Record]) -> None:
    """One of ten thousand is the cheapest that is good enough: neither the first nor the last."""
    hay, needle = made("hay", 0.6, answer_j=4.0), made("needle", 0.6, answer_j=1.0)
    poor = made("poor", 0.1, answer_j=0.5)
    alike = [
        hay.model_copy(update={"name": f"hay-{n}", "key": f"hay-{n}"}) for n in range(MANY - 2)
    ]
    records = [*alike[:7000], needle, *alike[7000:], poor]
    usage = Usage(answers_per_day=1000)
    comparison = compare(records, usage=usage, min_quality=0.5)
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [row["run"] for row in rows] == [record.name for record in records]
    (found,) = advise(records, Needs(usage=usage, min_quality=0.5)).decisions
    assert found.choice == "needle"
    assert len(found.candidates) == MANY
    standing = {candidate.run: candidate.standing for candidate in found.candidates}
    assert standing["poor"] == "not good enough"
