"""Quality of an answer against the accepted answers, as the SQuAD v1.1 evaluation scores it.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from ..errors import InputError, did_you_mean

Metric = Callable[[str, Sequence[str]], float]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NOT = re.compile(r"n['’]t\b", re.IGNORECASE)


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces.

    These are the rules of SQuAD v1.1, in its order, after Unicode's canonical composition (so that
    an accented letter equals itself however it is encoded). As there, signs inside numbers go:
    "1,000" is "1000", and "3.5" is "35".
    """
    lowered = unicodedata.normalize("NFC", text).lower()
    return " ".join(_ARTICLES.sub(" ", lowered.translate(_PUNCTUATION)).split())


def token_f1(prediction: str, golds: Sequence[str]) -> float:
    """Harmonic mean of token precision and recall against the best accepted answer, 0 to 1."""
    return _best(_f1, prediction, golds)


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if the prediction equals an accepted answer after normalisation, else 0.0."""
    return _best(lambda said, right: float(said == right), prediction, golds)


def contained(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if an accepted answer stands in the prediction as a run of whole tokens, else 0.0."""
    return _best(_contains, prediction, golds)


METRICS: dict[str, Metric] = {
    "token_f1": token_f1,
    "exact_match": exact_match,
    "contained": contained,
}


def score(text: str, golds: Sequence[str], metrics: Sequence[str]) -> dict[str, float]:
    """Each named metric of one answer. Raises `InputError` for a metric that is not in METRICS."""
    for name in metrics:
        if name not in METRICS:
            raise InputError(f'metric "{name}" is not known{did_you_mean(name, METRICS)}')
    return {name: METRICS[name](text, golds) for name in metrics}


def refused(text: str, refusal: str) -> bool:
    """Whether the answer opens with the refusal sentence ("don't" reads as "do not").

    Words after it do not matter when they begin a new sentence; "I do not know the date, but ..."
    is not the refusal "I do not know."
    """
    wanted = normalise(_NOT.sub(" not", refusal))
    sentences = re.split(r"(?<=[.!?])\s+|\n+", _NOT.sub(" not", text.strip()))
    opening = (normalise(" ".join(sentences[:count])) for count in range(1, len(sentences) + 1))
    return bool(wanted) and wanted in opening


def _best(
    compare: Callable[[list[str], list[str]], float], prediction: str, golds: Sequence[str]
) -> float:
    if not golds:
        raise InputError("there is no accepted answer to score against; give at least one")
    return max(compare(*_tokens(prediction, gold)) for gold in golds)


def _tokens(prediction: str, gold: str) -> tuple[list[str], list[str]]:
    """Both texts as tokens under the strictest rules that leave something of the gold answer.

    Normalisation empties an answer such as "A" (a choice) or "+"; two emptied texts would be
    equal and say nothing. Such a gold keeps its articles, or else its punctuation too. A gold of
    no characters is left empty, and matches nothing.
    """
    for rule in (normalise, _with_articles, _with_punctuation):
        tokens = rule(gold).split()
        if tokens:
            return rule(prediction).split(), tokens
    return [], ["\0"]


def _with_articles(text: str) -> str:
    return _with_punctuation(text).translate(_PUNCTUATION)


def _with_punctuation(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _f1(said: list[str], right: list[str]) -> float:
    common = sum((Counter(said) & Counter(right)).values())
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(right)
    return 2 * precision * recall / (precision + recall)


def _contains(said: list[str], right: list[str]) -> float:
    width = len(right)
    return float(
        any(said[start : start + width] == right for start in range(len(said) - width + 1))
    )
