"""LangChain's templates and ours: equal there and back, and refused where they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import (
    ChatMessagePromptTemplate,
    ChatPromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
)

from wattune.errors import RecipeError
from wattune.prompt import Passage, Shot, fenced
from wattune.prompt_file import PromptFile, load_prompt, shipped_prompts
from wattune.prompt_langchain import from_langchain, to_langchain, to_langchain_text
from wattune.system import Decoding

BRACES = PromptFile(
    name="braces",
    version=2,
    instruction='Reply in JSON: {{"answer": ...}}. {refusal}',
    question="Q {{}}: {question} ({question}?)",
    passages="{passages} {{}} {question}",
    shots=(Shot(id="t-7", question="{x}?\nyes", answer='{"answer": 1}'),),
    decoding=Decoding(max_tokens=7, stop=("}",)),
    answer_after="}",
    notes="braces everywhere",
)
HEAD = BRACES.model_copy(update={"name": "head", "placement": "before"})
TAIL = BRACES.model_copy(update={"name": "tail", "placement": "after"})
ALONE = HEAD.model_copy(update={"name": "alone", "shots": ()})
ROLES = {"human": "user", "ai": "assistant", "system": "system"}


def said(template: Any, **values: str) -> list[dict[str, str]]:
    """A ChatPromptTemplate's messages, as ours."""
    return [
        {"role": ROLES[message.type], "content": str(message.content)}
        for message in template.invoke(values).to_messages()
    ]


def every() -> list[PromptFile]:
    placed = [HEAD, TAIL, ALONE]
    return [
        BRACES,
        *placed,
        PromptFile(name="bare", placement="after"),
        *map(load_prompt, shipped_prompts()),
    ]


@pytest.mark.parametrize("passages", [False, True])
@pytest.mark.parametrize("prompt", every(), ids=lambda prompt: prompt.name)
def test_a_prompt_comes_back_equal_and_says_the_same(prompt: PromptFile, passages: bool) -> None:
    template = to_langchain(prompt, passages=passages)
    assert from_langchain(template) == prompt
    found = (Passage(text="Two {boats}.", document="d"),) if passages else ()
    values = {"question": "{Who}?", "refusal": "No.", "passages": fenced(found, prompt.fence)}
    assert said(template, **values) == prompt.messages("{Who}?", refusal="No.", passages=found)


def test_one_text_comes_back_equal_and_turns_are_refused() -> None:
    prompt = PromptFile(name="one", question="Q {{}}: {question}", notes="n")
    text = to_langchain_text(prompt)
    assert text.format(question="{Who}?") == "Q {}: {Who}?"
    assert from_langchain(text) == prompt
    assert from_langchain(to_langchain_text(prompt, passages=True)) == prompt
    with pytest.raises(RecipeError, match="is one text, without the system text and the shots"):
        to_langchain_text(BRACES)


def test_one_text_holds_an_instruction_that_is_placed_in_it() -> None:
    prompt = PromptFile(name="one", instruction="Be {{brief}}: {refusal}", placement="after")
    text = to_langchain_text(prompt)
    assert text.format(question="{Who}?", refusal="No.") == "{Who}?\n\nBe {brief}: No."
    assert from_langchain(text) == prompt
    partial: Any = text.partial(refusal="No {x}.")
    filled = from_langchain(partial)
    assert (filled.instruction, filled.question) == ("Be {{brief}}: No {{x}}.", "{question}")
    assert filled.messages("Who?", refusal="") == prompt.messages("Who?", refusal="No {x}.")


def test_a_placed_instruction_that_was_edited_away_is_refused() -> None:
    template = to_langchain(HEAD)
    edited = ChatPromptTemplate([("human", "Hi {question}")], metadata=template.metadata)
    with pytest.raises(RecipeError, match="before the first human turn and it does not stand"):
        from_langchain(edited)
    twice = ChatPromptTemplate([("system", "x"), *template.messages], metadata=template.metadata)
    with pytest.raises(RecipeError, match="and it has a system turn too"):
        from_langchain(twice)


def test_a_template_of_langchains_comes_back_saying_the_same() -> None:
    template = ChatPromptTemplate(
        [
            ("system", "You guard {port}. {{braces}}"),
            ("human", "Asked: Who rows?"),
            ("ai", "Per {{P}}"),
            HumanMessage("Asked: {Who} steers?"),
            AIMessage("Ada {A}"),
            ("human", "Asked: {input}"),
        ]
    ).partial(port="{Norden}")
    prompt = from_langchain(template, name="guard", variables={"input": "question"})
    assert prompt.name == "guard"
    assert [(shot.question, shot.answer) for shot in prompt.shots] == [
        ("Who rows?", "Per {P}"),
        ("{Who} steers?", "Ada {A}"),
    ]
    again = to_langchain(prompt)
    assert said(again, question="When?") == said(template, input="When?")
    assert prompt.messages("When?", refusal="") == said(template, input="When?")


def test_partial_variables_of_one_text_are_filled_in() -> None:
    text = PromptTemplate.from_template(
        "{context}\n{style}: {q}", partial_variables={"style": "{brief}"}
    )
    prompt = from_langchain(text, variables={"context": "passages", "q": "question"})
    assert prompt.passages == "{passages}\n{{brief}}: {question}"
    assert prompt.question == "{question}"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{question}")]),
            'MessagesPlaceholder "history" stands for turns that come later',
        ),
        (
            lambda: ChatPromptTemplate([("human", "{{question}}")], template_format="mustache"),
            "its format is mustache",
        ),
        (lambda: ChatPromptTemplate([("human", "{asked}")]), r"placeholder \{asked\} is not known"),
        (lambda: ChatPromptTemplate([("human", "hello")]), r"has no \{question\}"),
        (lambda: ChatPromptTemplate([("human", "{question!r}")]), "a format or conversion"),
        (lambda: ChatPromptTemplate([("human", "{question:>9}")]), "a format or conversion"),
        (lambda: ChatPromptTemplate([("ai", "{question}")]), "these are ai"),
        (
            lambda: ChatPromptTemplate([("human", "{question}"), ("system", "x")]),
            "these are human, system",
        ),
        (
            lambda: ChatPromptTemplate(
                [("human", "{question}"), ("ai", "x"), ("human", "{question}")]
            ),
            r"\{question\} stands in an earlier turn",
        ),
        (
            lambda: ChatPromptTemplate([("human", "hi"), ("ai", "x"), ("human", "Q: {question}")]),
            'the turn "hi" is not worded as the question is',
        ),
        (
            lambda: ChatPromptTemplate([("human", "{day} {question}")]).partial(day=lambda: "now"),
            "partial variable day is no text but function",
        ),
        (
            lambda: ChatPromptTemplate(
                [ChatMessagePromptTemplate.from_template("{question}", role="judge")]
            ),
            "a ChatMessagePromptTemplate has no place in a prompt file",
        ),
        (
            lambda: ChatPromptTemplate(
                [("human", [{"type": "image_url", "image_url": "{question}"}])]
            ),
            "a HumanMessagePromptTemplate has no place",
        ),
    ],
)
def test_what_a_prompt_file_cannot_hold_is_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        from_langchain(make())
