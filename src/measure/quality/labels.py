"""Classification: answers that are one of a closed set of labels."""

from __future__ import annotations

from collections.abc import Sequence

from ..record import Score
from .metric import Item, Tools, Values
from .text import comparable

CLASSIFICATION = "classification"
"""The kind, or a tag, of questions whose answer is a label."""
OTHER = "\0other"
"""The prediction where an answer is none of the labels."""
RESAMPLES = 2000


def labelled(items: Sequence[Item]) -> list[bool]:
    """Which questions ask for a label: those of the kind or tag ``classification``; where there is
    none, the task is taken for a classification altogether, and all answerable ones do."""
    marked = [CLASSIFICATION in (item.kind, *item.tags) for item in items]
    return marked if any(marked) else [item.answerable for item in items]


def labels_of(items: Sequence[Item]) -> list[tuple[str, str]]:
    """(right label, predicted label) of each question, normalised.

    The right label is the canonical answer. Predicted is the label, among all right ones here,
    that the whole answer equals after normalisation, under any of its accepted names.
    """
    named: dict[str, str] = {}
    for item in items:
        for name in item.answers:
            named.setdefault(comparable(name), comparable(item.answers[0]))
    pairs = []
    for item in items:
        said, right = comparable(item.text), comparable(item.answers[0])
        own = said and said in map(comparable, item.answers)
        pairs.append((right, right if own else named.get(said, OTHER)))
    return pairs


def hits(items: Sequence[Item]) -> Values:
    """1.0 where the predicted label is the right one, None where no label was asked for."""
    asked = labelled(items)
    pairs = iter(labels_of([item for item, wanted in zip(items, asked, strict=True) if wanted]))
    return [float(len(set(next(pairs))) == 1) if wanted else None for wanted in asked]


def accuracy(items: Sequence[Item], tools: Tools) -> dict[str, Values]:
    """The share of labels that are right, as scikit-learn's ``accuracy_score``."""
    return {"accuracy": hits(items)}


def macro_f1(items: Sequence[Item], tools: Tools) -> dict[str, Values]:
    """Which labels are right; what `macro_f1_total` makes of them is no mean."""
    return {"macro_f1": hits(items)}


def macro_f1_total(items: Sequence[Item], values: Sequence[float | None]) -> Score | None:
    """The unweighted mean, over the right labels that occur, of F1 = 2 TP / (2 TP + FP + FN).

    As scikit-learn's ``f1_score(average="macro", zero_division=0)`` over those labels; an answer
    that is no label is missed by its label, and "other" is no label. The interval is the 95 %
    percentile bootstrap over questions; a resample is a draw of how often each pair of right and
    predicted label occurs.
    """
    import numpy as np

    asked = [item for item, value in zip(items, values, strict=True) if value is not None]
    if not asked:
        return None
    pairs, counts = np.unique(np.array(labels_of(asked)), axis=0, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(asked), counts / counts.sum(), size=RESAMPLES)
    # (1 + RESAMPLES, pairs); the first row is what was counted.
    weights = np.vstack([counts, drawn])
    labels, at = np.unique(pairs[:, 0], return_inverse=True)
    known = np.isin(pairs[:, 1], labels)
    said = np.searchsorted(labels, pairs[known, 1])
    right, predicted, both = (np.zeros((len(weights), len(labels))) for _ in range(3))
    np.add.at(right.T, at, weights.T)
    np.add.at(predicted.T, said, weights[:, known].T)
    same = pairs[:, 0] == pairs[:, 1]
    both[:, at[same]] = weights[:, same]
    f1 = np.divide(2 * both, right + predicted, out=np.zeros_like(both), where=right > 0)
    means = f1.sum(axis=1) / (right > 0).sum(axis=1)
    low, high = np.quantile(means[1:], [0.025, 0.975])
    return Score(value=float(means[0]), low=float(low), high=float(high), n=len(asked))
