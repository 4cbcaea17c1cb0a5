"""What a metric is: from answers to one value a question, and from those to one figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ...errors import InputError
from ...values import Value
from ..record import Score
from ..statistics import bootstrap_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

Values = list[float | None]
"""One value a question, in the order of the questions; None where the metric does not apply."""
Embed = Callable[[Sequence[str]], "NDArray[Any]"]
"""n texts -> vectors (n, d)."""
Judge = Callable[[str, Sequence[str]], "Sequence[str | None]"]
"""(name of the judge, n prompts) -> n replies, None for a call that failed."""


class Item(Value):
    """One answered question: all that a metric may look at.

    `text` is the answer, `answers` the accepted ones, the first being canonical. `evidence` and
    `passages` are document ids; passages are those retrieved, best first. `group` is shared by
    rewordings of one question. `format` is a regular expression for the whole answer. Where no
    answer was to be had `answerable` is False; `refused` says whether the system declined.
    """

    id: str
    question: str
    text: str
    answers: tuple[str, ...]
    kind: str = "question"
    tags: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    group: str | None = None
    answerable: bool = True
    format: str | None = None
    passages: tuple[str, ...] = ()
    refused: bool = False


@dataclass(frozen=True)
class Tools:
    """What some metrics need and this room does not know: models, as callables, and how many
    documents the system looks for (0: it does not), also where it finds none."""

    embed: Embed | None = None
    judge: Judge | None = None
    retrieves: int = 0


def mean(items: Sequence[Item], values: Sequence[float | None]) -> Score | None:
    """The mean over the questions that the metric applies to, None where there are none."""
    known = [value for value in values if value is not None]
    return bootstrap_mean(known) if known else None


@dataclass(frozen=True)
class Metric:
    """A metric: what it needs, its values, and the figure they make.

    `rate` gives values by name: its own, and perhaps others that qualify it. `total` takes
    questions with their values, all of a split or those of one kind, and gives None where it
    applies to none of them. Where `total` is `mean`, two runs may be compared by their values.
    """

    rate: Callable[[Sequence[Item], Tools], dict[str, Values]]
    needs: Literal["embed", "judge"] | None = None
    total: Callable[[Sequence[Item], Sequence[float | None]], Score | None] = mean


def missing(name: str, tool: str) -> InputError:
    """The error for a metric whose tool was not given."""
    return InputError(f'the metric "{name}" needs {tool}, and none was given')


def each(
    name: str, value: Callable[[Item], float | None]
) -> Callable[[Sequence[Item], Tools], dict[str, Values]]:
    """The `rate` of a metric that looks at one answer at a time."""
    return lambda items, tools: {name: [value(item) for item in items]}
