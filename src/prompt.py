"""From a question, its passages and some shots to chat messages. Text in, text out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from pydantic import Field, ValidationInfo, field_validator

from .errors import RecipeError
from .values import Value


class Message(TypedDict):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Passage(Value):
    """A piece of text given to the model: where it is from, how it scored, who found it.

    `id` names the chunk that was found, "" for what is no chunk. `metadata` are its document's,
    where they are known: for who asked, in no prompt and no record.
    """

    text: str
    document: str
    id: str = ""
    title: str = ""
    score: float | None = None
    source: Literal["index", "tree", "documents"] = "index"
    metadata: dict[str, Any] = Field(default={}, exclude=True)


class Shot(Value):
    """A worked example shown in the prompt; `id` is the training example it was taken from."""

    id: str
    question: str
    answer: str


ShotOrder = Literal["chosen", "reversed", "shortest_first"]


def ordered(shots: Sequence[Shot], order: ShotOrder) -> list[Shot]:
    """The shots as they were chosen, the last first, or by their length in characters."""
    if order == "shortest_first":
        return sorted(shots, key=lambda shot: len(shot.question) + len(shot.answer))
    return list(shots if order == "chosen" else reversed(shots))


Placement = Literal["system", "before", "after"]

Fence = Literal["none", "tags"]

_MARK = re.compile(r"<(?=[\s/]*passage)", re.IGNORECASE)


def fenced(passages: Sequence[Passage], fence: Fence) -> str:
    """Passages as one text, numbered from 1, each inside of what shows where it begins and ends.

    With ``tags`` that is ``<passage 1>`` and ``</passage>``, and a text that holds such a mark of
    its own has ``&lt;`` for its bracket: none can close its own fence or open another. With
    ``none`` each begins with ``[1]`` and nothing in its text is altered.
    """
    if fence == "none":
        return "\n\n".join(f"[{at}] {one.text}" for at, one in enumerate(passages, start=1))
    return "\n".join(
        f"<passage {at}>\n{_MARK.sub('&lt;', one.text)}\n</passage>"
        for at, one in enumerate(passages, start=1)
    )


INSTRUCTION = (
    "Answer the question with the shortest exact answer: a name, a number or a few words. "
    'If you cannot know the answer, reply "{refusal}"'
)
PLACEHOLDERS = {
    "instruction": ("refusal",),
    "question": ("question",),
    "passages": ("passages", "question"),
}
"""What each field of a template may name."""


class PromptTemplate(Value):
    """How a question becomes messages.

    `instruction` is the system text (``{refusal}`` is filled with the task's refusal sentence).
    `question` and `passages` are f-string templates with plain ``{question}`` and ``{passages}``
    placeholders only: no attribute access, so a template cannot run code. With `answer_after` the
    model may think aloud: only what follows that marker is its answer. `placement` says where the
    instruction stands: as the system text, at the head of the first user message of the chat, or at
    the end of the last. `fence` is what stands around each passage; see `fenced`.
    """

    instruction: str = INSTRUCTION
    question: str = "{question}"
    passages: str = "{passages}\n\nQuestion: {question}"
    placement: Placement = "system"
    answer_after: str | None = Field(default=None, min_length=1)
    fence: Fence = "tags"

    @field_validator("instruction", "question", "passages")
    @classmethod
    def _plain_placeholders(cls, template: str, info: ValidationInfo) -> str:
        return checked_template(str(info.field_name), template)

    def render(
        self,
        question: str,
        *,
        refusal: str,
        passages: Sequence[Passage] = (),
        shots: Sequence[Shot] = (),
        history: Sequence[Message] = (),
    ) -> list[Message]:
        """Messages for one question: the instruction, the shots as turns, then the question.

        `history` are the turns of its chat so far, user and assistant by turns; they stand after
        the shots, each of the user's as this template asks a question.
        """
        earlier = [(shot.question, shot.answer) for shot in shots]
        said = [turn["content"] for turn in history]
        earlier += zip(said[::2], said[1::2], strict=True)
        asked = [_fill(self.question, {"question": one}) for one, _ in earlier]
        values = {"question": question}
        template = self.question
        if passages:
            template = self.passages
            values["passages"] = fenced(passages, self.fence)
        asked.append(_fill(template, values))
        instruction = _fill(self.instruction, {"refusal": refusal})
        asked = self.instructed(asked, instruction)
        messages: list[Message] = []
        if instruction and self.placement == "system":
            messages.append({"role": "system", "content": instruction})
        for turn, (_, answer) in zip(asked, earlier, strict=False):
            messages.append({"role": "user", "content": turn})
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": asked[-1]})
        return messages

    def instructed(self, turns: Sequence[str], instruction: str) -> list[str]:
        """The user's turns of a chat, with the instruction in the one where it is placed, if any.

        Once in a chat, at its head or its end: shots stay the same for all questions.
        """
        placed = list(turns)
        if instruction and self.placement == "before":
            placed[0] = f"{instruction}\n\n{placed[0]}"
        elif instruction and self.placement == "after":
            placed[-1] = f"{placed[-1]}\n\n{instruction}"
        return placed

    def answer_in(self, written: str) -> str:
        """The answer in what the model wrote: all of it, or what stands after the last marker.

        Where a model did not write the marker, all it wrote is its answer: none is lost.
        """
        if self.answer_after is None:
            return written
        return written.rpartition(self.answer_after)[2].strip()


def checked_template(field: str, template: str) -> str:
    """The template of a field, if its placeholders are plain, known and none is missing.

    Raises `RecipeError`.
    """
    known = PLACEHOLDERS[field]
    filled = _fill(template, {name: f"\0{name}" for name in known})
    for name in known if field != "instruction" else ():
        if f"\0{name}" not in filled:  # not looked for in the template: {{question}} is a word
            raise RecipeError(
                f"prompt template `{field}` has no {{{name}}}, so the model would not see it"
            )
    return template


def _fill(template: str, values: dict[str, str]) -> str:
    """`str.format` restricted to bare names, so that values are never looked into."""
    import string

    pieces: list[str] = []
    try:
        for literal, name, spec, conversion in string.Formatter().parse(template):
            pieces.append(literal)
            if name is None:
                continue
            if name in values and (spec or conversion):
                raise RecipeError(
                    f"prompt template: {{{name}}} has a format or a conversion; only the plain "
                    f"{{{name}}} may stand"
                )
            if name not in values:
                raise RecipeError(
                    f"prompt template: placeholder {{{name}}} is not known here; "
                    f"plain {', '.join('{' + known + '}' for known in values)} may stand "
                    "(write {{ and }} for braces)"
                )
            pieces.append(values[name])
    except ValueError as error:
        raise RecipeError(f"prompt template: {error} (write {{{{ and }}}} for braces)") from error
    return "".join(pieces)
