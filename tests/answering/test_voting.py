"""Self-consistency: the most frequent answer counts, its tokens are those of all samples."""

from __future__ import annotations

from typing import Any

import pytest

from wattune.answering.voting import voted
from wattune.models.generation import Reply
from wattune.prompt import PromptTemplate


def replies(*texts: str | None) -> list[Reply]:
    """Replies of 10 tokens in and 2 out; None is one that failed, with a number for a reason."""
    return [
        Reply(text="", failed=f"HTTP 50{number}")
        if text is None
        else Reply(text=text, tokens_in=10, tokens_out=2, tokens_reused=9, first_token_s=0.1)
        for number, text in enumerate(texts)
    ]


def as_written(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("texts", "answer", "votes"),
    [
        (["jetty 2", "jetty 1", "jetty 1"], "jetty 1", 2),
        (["jetty 2", "jetty 1", "jetty 1", "jetty 2"], "jetty 2", 2),  # the first drawn
        (["a", "b", "c"], "a", 1),
        (["jetty 2", "The Jetty 1.", "jetty 1"], "The Jetty 1.", 2),  # as exact match reads them
        (["A", "B", "b."], "B", 2),  # articles count where nothing else is left
        ([None, "jetty 2", "jetty 1", None, "jetty 1"], "jetty 1", 2),
        ([None, "jetty 2"], "jetty 2", 1),
        (["", "jetty 1", ""], "", 2),  # saying nothing is an answer too
    ],
)
def test_the_most_frequent_answer_wins(texts: list[str | None], answer: str, votes: int) -> None:
    made, agreed = voted(replies(*texts), as_written)
    assert (made.text, agreed, made.failed) == (answer, votes, "")


def test_the_vote_is_on_the_answers_not_on_the_thoughts() -> None:
    template = PromptTemplate(answer_after="Answer:")
    thoughts = ["I guess. Answer: 3", "It is 1, or is it? Answer: 4", "2 and 2. Answer: 4"]
    made, agreed = voted(replies(*thoughts), template.answer_in)
    assert (made.text, agreed) == ("4", 2)


def test_tokens_are_those_of_all_samples() -> None:
    made, _ = voted(replies("a", "b", None, "a"), as_written)
    assert (made.tokens_in, made.tokens_out, made.tokens_reused) == (30, 6, 27)
    assert made.first_token_s is None
    untold = [*replies("a", "a"), Reply(text="b")]  # the server told nothing of the last
    made, agreed = voted(untold, as_written)
    assert (made.text, agreed, made.tokens_in, made.tokens_out) == ("a", 2, None, None)


def test_where_all_samples_failed_so_did_the_question() -> None:
    made, agreed = voted(replies(None, None), as_written)
    assert (made.failed, made.text, agreed) == ("HTTP 500", "", None)
    assert (made.tokens_in, made.tokens_out) == (None, None)


def test_one_sample_is_no_vote() -> None:
    (only,) = replies("Thoughts. Answer: 4")
    answer_in: Any = PromptTemplate(answer_after="Answer:").answer_in
    assert voted([only], answer_in) == (only.model_copy(update={"text": "4"}), None)
    (failed,) = replies(None)
    assert voted([failed], answer_in) == (failed, None)
