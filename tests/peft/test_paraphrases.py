"""Rewordings: what is asked, what is kept of the replies, and why the rest is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wattune.peft.curation import DataSettings
from wattune.peft.paraphrases import MANNERS, fault_of, paraphrased, rewording_in
from wattune.prompt import Message
from wattune.tasks.task import Example

JETTY = Example(
    id="j",
    question="From which jetty does the boat to Alder leave?",
    answers=("jetty 4", "the fourth"),
    kind="fact",
    group="alder",
)
PLAIN = Example(id="p", question="Name the head of the Deck Division", answers=("Ada Lund",))


@pytest.mark.parametrize(
    ("rewording", "fault"),
    [
        ("At which jetty do I board for Alder?", ""),
        ("Where does Alder's boat leave?", ""),
        ("  ", "empty"),
        ("from which jetty does the boat to Alder leave", "known"),
        ("Alder boat?", "length"),
        ("Could you please be so kind as to tell me from which one of all jetties it leaves today?",
         "length"),
        ("Tell me which jetty the boat to Alder leaves from.", "no_question_mark"),
        ("From which of 8 jetties does the boat to Alder go?", "numbers"),
        ("When do the shops in the town open?", "other_words"),
        ("Is the fourth jetty where the boat to Alder goes?", "tells_answer"),
    ],
)  # fmt: skip
def test_what_is_kept_of_replies(rewording: str, fault: str) -> None:
    known = {"from which jetty does the boat to alder leave"}
    assert fault_of(rewording, JETTY, known) == fault


def test_no_question_mark_is_asked_of_what_had_none() -> None:
    assert fault_of("Tell the name of the Deck Division's head.", PLAIN, set()) == ""


@pytest.mark.parametrize(
    ("reply", "question"),
    [
        ('\n "Which jetty is it?"\nAnswer: 4', "Which jetty is it?"),
        ("Reworded question:\n**Which jetty?**", "Which jetty?"),
        ("Question: Which: this or that?", "Which: this or that?"),
        ("Alder: which jetty?", "Alder: which jetty?"),
        ("", ""),
    ],
)
def test_the_rewording_in_a_reply(reply: str, question: str) -> None:
    assert rewording_in(reply) == question


def test_kept_rewordings_follow_their_question_and_share_all_else() -> None:
    asked: list[list[Message]] = []
    replies = [
        "At which jetty do I board for Alder?",
        "at WHICH jetty do I board for Alder?",
        "Name the head of the Deck Division",
        "Who heads it?",
        "Who is at the head of the Deck Division?",
        "Tell me who is the Deck Division's head",
    ]

    def ask(chats: Sequence[list[Message]]) -> list[str]:
        asked.extend(chats)
        return replies

    made, report = paraphrased([JETTY, PLAIN], DataSettings(paraphrases=3), ask, seed=0)
    assert [one.id for one in made] == ["j", "j~1", "p", "p~2", "p~3"]
    assert made[1] == JETTY.model_copy(update={"id": "j~1", "question": replies[0]})
    assert report == {"asked": 6, "kept": 3, "dropped": {"known": 2, "length": 1}}
    assert JETTY.question in asked[0][-1]["content"]
    assert not any(answer in str(asked[:3]) for answer in JETTY.answers)
    manners = [chat[-1]["content"].splitlines()[0] for chat in asked]
    assert len(set(manners[:3])) == 3  # asked alike, a greedy model would write one thing thrice
    assert set(manners) <= set(MANNERS)


def test_the_seed_draws_the_manners_and_nothing_is_asked_for_no_rewordings() -> None:
    def chats(seed: int, count: int = 8) -> list[list[Message]]:
        asked: list[list[Message]] = []

        def ask(given: Sequence[list[Message]]) -> list[str]:
            asked.extend(given)
            return [""] * len(given)

        made, report = paraphrased([JETTY], DataSettings(paraphrases=count), ask, seed=seed)
        assert made == [JETTY]
        assert report["dropped"] == ({"empty": count} if count else {})
        return asked

    assert chats(1) == chats(1)
    assert any(chats(0) != chats(seed) for seed in (1, 2, 3))
    assert chats(0, count=0) == []
