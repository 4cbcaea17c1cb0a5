"""Self-consistency: several answers to one question are drawn, and the most frequent one counts.

Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models", 2022,
arXiv 2203.11171: a majority vote over the answers, however they were reasoned to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ..measure.quality.text import comparable
from ..models.generation import Reply


def voted(samples: Sequence[Reply], answer_in: Callable[[str], str]) -> tuple[Reply, int | None]:
    """One reply for all samples of a question, and how many of them gave its answer.

    `answer_in` finds the answer in what was written. Answers that differ only in what the metric
    `exact_match` overlooks are one; of those that are as frequent, the one drawn first wins. A
    sample that failed does not vote; where all did, so did the question, for the first reason.
    Tokens are summed, None where a server did not tell them. One sample is no vote: None.
    """
    drawn = [sample for sample in samples if not sample.failed]
    if not drawn:
        return _whole(samples[0], samples), None
    answers = [answer_in(sample.text) for sample in drawn]
    ballots = [comparable(answer) for answer in answers]
    winner, votes = Counter(ballots).most_common(1)[0]  # of equal counts the one met first
    first = ballots.index(winner)
    elected = drawn[first].model_copy(update={"text": answers[first]})
    return _whole(elected, samples), votes if len(samples) > 1 else None


def _whole(elected: Reply, samples: Sequence[Reply]) -> Reply:
    """The elected reply with the tokens of all samples."""
    if len(samples) == 1:
        return elected

    def total(name: str) -> int | None:
        counts = [getattr(sample, name) for sample in samples]
        told = [n for n, sample in zip(counts, samples, strict=True) if n or not sample.failed]
        return None if None in told or not told else sum(told)

    return elected.model_copy(
        update={
            "tokens_in": total("tokens_in"),
            "tokens_out": total("tokens_out"),
            "tokens_reused": sum(sample.tokens_reused for sample in samples),
            "first_token_s": None,  # there is no answer to be shown before the vote
        }
    )
