"""From the names of metrics to their figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from ...errors import InputError, did_you_mean
from ...values import digest
from ..record import Score
from .behaviour import agreement, format_kept, hallucination, refusal
from .custom import DOTTED, custom_metric, imported
from .judge import PREFIX, judge_metric
from .labels import accuracy, macro_f1, macro_f1_total
from .metric import Item, Metric, Tools, Values, each
from .retrieval import retrieval_metric
from .semantic import semantic
from .text import METRICS, TextMetric

SCORER_VERSION = 2
"""Raise it when a rule changes so that the same answers score otherwise: scores of two versions do
not compare."""


def _of_text(name: str, function: TextMetric) -> Metric:
    return Metric(each(name, lambda item: function(item.text, item.answers)))


REGISTRY: dict[str, Metric] = {
    **{name: _of_text(name, function) for name, function in METRICS.items()},
    "semantic": Metric(semantic, needs="embed"),
    "accuracy": Metric(accuracy),
    "macro_f1": Metric(macro_f1, total=macro_f1_total),
    "refusal_rate": Metric(each("refusal_rate", refusal)),
    "hallucination_rate": Metric(each("hallucination_rate", hallucination)),
    "agreement": Metric(agreement),
    "format": Metric(each("format", format_kept)),
}
"""The metrics by name; others are made of their names by `metric_of`."""
ALWAYS = ("refusal_rate", "hallucination_rate", "agreement", "format")
"""What is told of every task that it applies to, named or not."""
LOWER = ("refusal_rate", "hallucination_rate", "unsure", "unparsed", "failed")
PATTERNS = ("recall@5", "mrr@5", "ndcg@5")


def metric_of(name: str) -> Metric:
    """The metric of a name: of `REGISTRY`, ``recall@k``, ``mrr@k``, ``ndcg@k``,
    ``judge:module:factory``, or the ``module:function`` of one's own.

    Raises `InputError` for any other, and for what cannot be imported.
    """
    found = REGISTRY.get(name) or retrieval_metric(name)
    if found is not None:
        return found
    if name.startswith(PREFIX):
        imported(name.removeprefix(PREFIX))
        return judge_metric(name)
    if DOTTED.fullmatch(name):
        return custom_metric(name)
    raise InputError(f'metric "{name}" is not known{did_you_mean(name, [*REGISTRY, *PATTERNS])}')


def check_metrics(names: Iterable[str]) -> None:
    """Raise `InputError` unless every metric can be had; opens no model.

    A metric of one's own is tried on an empty answer, since a run may give one.
    """
    probe = Item(id="(a trial)", question="?", text="", answers=("an answer",))
    for name in names:
        metric = metric_of(name)
        if name not in REGISTRY and metric.needs is None:
            metric.rate([probe], Tools())


def needs_of(names: Iterable[str]) -> set[str]:
    """What must be given to score: some of ``embed`` and ``judge``."""
    return {needed for name in names if (needed := metric_of(name).needs)}


def rate(items: Sequence[Item], names: Sequence[str], tools: Tools) -> dict[str, Values]:
    """The values of each named metric, then of those that are always told.

    Recall, MRR and nDCG are told at the number of passages that questions were given at most, or
    that were looked for where none was found. A metric that applies to no question is left out.
    """
    if not items:
        return {}
    depth = max(len(item.passages) for item in items) or tools.retrieves
    retrieval = [f"{name}@{depth}" for name in ("recall", "mrr", "ndcg")] if depth else []
    rated: dict[str, Values] = {}
    for name in dict.fromkeys((*names, *ALWAYS, *retrieval)):
        for key, values in metric_of(name).rate(items, tools).items():
            if any(value is not None for value in values):
                rated[key] = values
    return rated


def total(name: str, items: Sequence[Item], values: Sequence[float | None]) -> Score | None:
    """The figure of a metric over questions and their values, None where it applies to none."""
    return metric_of(name.partition("/")[0]).total(items, values)


def better(name: str) -> Literal["higher", "lower"]:
    """Which way a metric is better."""
    return "lower" if name.rpartition("/")[2] in LOWER else "higher"


def scorer_digest(metrics: Iterable[str], embedder: str = "") -> str:
    """Digest of how answers were scored; `embedder` is the model's name where one is used."""
    return digest([SCORER_VERSION, sorted(set(metrics)), embedder])
