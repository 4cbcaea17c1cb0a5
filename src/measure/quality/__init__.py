"""Quality of answers: overlap with accepted ones, labels, refusals, retrieval, judges."""

from .behaviour import Outcome, declined, outcome, refused
from .metric import Embed, Item, Judge, Metric, Tools, Values, mean
from .registry import (
    REGISTRY,
    SCORER_VERSION,
    better,
    check_metrics,
    metric_of,
    needs_of,
    rate,
    scorer_digest,
    total,
)
from .text import METRICS, chrf, contained, exact_match, normalise, rouge_l, token_f1

__all__ = [
    "METRICS",
    "REGISTRY",
    "SCORER_VERSION",
    "Embed",
    "Item",
    "Judge",
    "Metric",
    "Outcome",
    "Tools",
    "Values",
    "better",
    "check_metrics",
    "chrf",
    "contained",
    "declined",
    "exact_match",
    "mean",
    "metric_of",
    "needs_of",
    "normalise",
    "outcome",
    "rate",
    "refused",
    "rouge_l",
    "scorer_digest",
    "token_f1",
    "total",
]
