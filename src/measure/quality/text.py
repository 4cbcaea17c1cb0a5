"""An answer beside the accepted answers, by words and characters; the best of them counts."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...errors import InputError

TextMetric = Callable[[str, Sequence[str]], float | None]
"""(answer, accepted answers) -> a score, or None where the metric does not apply."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NOT_ROUGE = re.compile(r"[^a-z0-9]+")
_T = TypeVar("_T")


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces.

    These are the rules of SQuAD v1.1 (Rajpurkar et al., EMNLP 2016), in its order, after Unicode's
    canonical composition (so that an accented letter equals itself however it is encoded). As
    there, signs inside numbers go: "1,000" is "1000", and "3.5" is "35".
    """
    lowered = unicodedata.normalize("NFC", text).lower()
    return " ".join(_ARTICLES.sub(" ", lowered.translate(_PUNCTUATION)).split())


def comparable(text: str) -> str:
    """The text under the strictest rules that leave something of it; "" where there is nothing.

    Normalisation empties an answer such as "A" (a choice) or "+". Such a text keeps its articles,
    or else its punctuation too.
    """
    return " ".join(_rule_for(text)(text).split())


def token_f1(prediction: str, golds: Sequence[str]) -> float:
    """Harmonic mean of token precision and recall, 0 to 1, as SQuAD v1.1 scores it."""
    return _best(prediction, golds, lambda said, gold: overlap(*_tokens(said, gold)))


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if the prediction equals an accepted answer after normalisation, else 0.0."""

    def equal(said: str, gold: str) -> float:
        tokens, right = _tokens(said, gold)
        return float(tokens == right)

    return _best(prediction, golds, equal)


def contained(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if an accepted answer stands in the prediction as a run of whole tokens, else 0.0."""

    def holds(said: str, gold: str) -> float:
        tokens, right = _tokens(said, gold)
        starts = range(len(tokens) - len(right) + 1)
        return float(any(tokens[at : at + len(right)] == right for at in starts))

    return _best(prediction, golds, holds)


def rouge_l(prediction: str, golds: Sequence[str]) -> float | None:
    """F-measure of the longest common subsequence of tokens, 0 to 1.

    Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, section 3, with beta 1
    and without stemming, as the package rouge-score computes it. Its tokens are runs of ASCII
    letters and digits; None where no accepted answer has any, as in Greek or Japanese.
    """
    said = _rouge_tokens(prediction)
    rights = [tokens for gold in _some(golds) if (tokens := _rouge_tokens(gold))]
    if not rights:
        return None
    return max(_f1(_lcs(said, right), len(said), len(right)) for right in rights)


def chrf(prediction: str, golds: Sequence[str]) -> float:
    """Character n-gram F-score (n up to 6, beta 2), 0 to 1: sacrebleu's sentence chrF over 100.

    Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015. Case and
    punctuation count; spaces do not.
    """
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().sentence_score(prediction, list(_some(golds))).score) / 100


def overlap(said: Sequence[str], right: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over two bags of tokens; 0 where they share none."""
    return _f1(sum((Counter(said) & Counter(right)).values()), len(said), len(right))


METRICS: dict[str, TextMetric] = {
    "token_f1": token_f1,
    "exact_match": exact_match,
    "contained": contained,
    "rouge_l": rouge_l,
    "chrf": chrf,
}
"""The metrics that need one answer and its accepted answers, and nothing else."""


def _some(golds: Sequence[_T]) -> Sequence[_T]:
    if not golds:
        raise InputError("there is no accepted answer to score against; give at least one")
    return golds


def _best(prediction: str, golds: Sequence[str], compare: Callable[[str, str], float]) -> float:
    return max(compare(prediction, gold) for gold in _some(golds))


def _tokens(prediction: str, gold: str) -> tuple[list[str], list[str]]:
    """Both texts as tokens under the rules that leave something of the gold answer.

    Two emptied texts would be equal and say nothing. A gold of no characters matches nothing.
    """
    rule = _rule_for(gold)
    return rule(prediction).split(), rule(gold).split() or ["\0"]


def _rule_for(text: str) -> Callable[[str], str]:
    return next((rule for rule in (normalise, _with_articles) if rule(text).split()), _as_written)


def _with_articles(text: str) -> str:
    return _as_written(text).translate(_PUNCTUATION)


def _as_written(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _rouge_tokens(text: str) -> list[str]:
    return _NOT_ROUGE.sub(" ", text.lower()).split()


def _lcs(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, one row of the table at a time."""
    row = [0] * (len(other) + 1)
    for left in one:
        diagonal = 0
        for at, right in enumerate(other, start=1):
            longest = diagonal + 1 if left == right else max(row[at], row[at - 1])
            diagonal, row[at] = row[at], longest
    return row[-1]


def _f1(common: int, said: int, right: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / said, common / right
    return 2 * precision * recall / (precision + recall)
