"""Prompts to and from LangChain's templates, turn by turn; its load and save are not used."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .errors import RecipeError
from .prompt_file import PromptFile
from .yaml_lines import LineFaults

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

_Turn = tuple[Literal["system", "human", "ai"], str]

METADATA = "wattune"
"""Where a LangChain template carries what it has no place for: version, decoding, notes."""


def to_langchain(prompt: PromptFile, *, passages: bool = False) -> ChatPromptTemplate:
    """The prompt as a ChatPromptTemplate: system text, shots as turns, the question.

    The instruction stands where the prompt places it: as the system turn, or in a human one. Its
    variables are `question`, `refusal` where the instruction names it, and with `passages` also
    `passages`: the last turn is then the template of a question with passages. What LangChain has
    no place for stands in its metadata, so that `from_langchain` gives an equal prompt.
    """
    from langchain_core.prompts import ChatPromptTemplate

    apart = prompt.instruction and prompt.placement == "system"
    turns = [("system", prompt.instruction)] if apart else []
    *asked, last = _human_turns(prompt, passages)
    for human, shot in zip(asked, prompt.shots, strict=True):
        turns += [("human", human), ("ai", _braced(shot.answer))]
    turns.append(("human", last))
    return ChatPromptTemplate(turns, metadata=_metadata(prompt, passages))


def to_langchain_text(prompt: PromptFile, *, passages: bool = False) -> PromptTemplate:
    """The prompt as a PromptTemplate, which is one text.

    Raises `RecipeError` where it has a system text or shots: those are turns of their own.
    """
    from langchain_core.prompts import PromptTemplate

    if (prompt.instruction and prompt.placement == "system") or prompt.shots:
        raise RecipeError(
            f"prompt {prompt.name}: LangChain's PromptTemplate is one text, without the system "
            "text and the shots this prompt has; make a ChatPromptTemplate of it (to_langchain)"
        )
    (text,) = _human_turns(prompt, passages)
    return PromptTemplate.from_template(text, metadata=_metadata(prompt, passages))


def from_langchain(
    template: ChatPromptTemplate | PromptTemplate,
    *,
    name: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> PromptFile:
    """The prompt of a LangChain template: a system text, shots as pairs of turns, the question.

    `variables` maps its names to ours, ``{"input": "question", "context": "passages"}``. Partial
    variables are filled in. Raises `RecipeError` for what a prompt file cannot hold: a
    MessagesPlaceholder, roles beyond system, human and ai, other formats than f-strings, variables
    beyond ours, turns in another order.
    """
    from langchain_core.prompts import ChatPromptTemplate

    partial = template.partial_variables
    parts = template.messages if isinstance(template, ChatPromptTemplate) else [template]
    turns = [_turn(part, partial, variables or {}) for part in parts]
    carried = dict((template.metadata or {}).get(METADATA, {}))
    ids = carried.pop("shot_ids", [])
    instruction = turns.pop(0)[1] if turns and turns[0][0] == "system" else ""
    roles = [role for role, _ in turns]
    if roles != ["human", "ai"] * (len(roles) // 2) + ["human"]:
        raise RecipeError(
            "LangChain template: after the system text, human and ai turns are expected in turn, a "
            f"human one last; these are {', '.join(roles) or 'none'}"
        )
    if carried.get("placement", "system") != "system":
        placed = _rewritten(str(carried.get("instruction", "")), partial, variables or {})
        if instruction:
            raise RecipeError(
                "LangChain template: its metadata places the instruction in a human turn, and it "
                "has a system turn too; take one of the two out"
            )
        instruction = placed
        turns = _taken_out(turns, placed, before=carried["placement"] == "before")
    last = turns.pop()[1]
    field = "passages" if "passages" in _names(last) else "question"
    content = {"name": "langchain", **carried, "instruction": instruction, field: last}
    asked = _pattern(str(content.get("question", "{question}")))
    content["shots"] = [
        {
            "id": ids[number] if number < len(ids) else f"shot-{number + 1}",
            "question": _unfilled(asked, _literal(human)),
            "answer": _literal(ai),
        }
        for number, ((_, human), (_, ai)) in enumerate(zip(turns[::2], turns[1::2], strict=True))
    ]
    if name is not None:
        content["name"] = name
    faults = LineFaults("LangChain template", {})
    prompt = faults.validate(PromptFile, content)
    faults.raise_any(RecipeError)
    assert prompt is not None
    return prompt


def _human_turns(prompt: PromptFile, passages: bool) -> list[str]:
    """The texts of the shots and of the question as templates, the instruction among them where it
    is placed there. Braces of the shots are doubled: they are no placeholders."""
    plain = prompt.model_copy(update={"instruction": "", "shots": ()})
    asked = [plain.messages(shot.question, refusal="")[0]["content"] for shot in prompt.shots]
    last = prompt.passages if passages else prompt.question
    return prompt.instructed([*map(_braced, asked), last], prompt.instruction)


def _taken_out(turns: list[_Turn], instruction: str, *, before: bool) -> list[_Turn]:
    """The turns without the instruction at the head of the first, or else the end of the last."""
    if not instruction:
        return turns
    at = 0 if before else -1
    role, text = turns[at]
    if before:
        rest = text.removeprefix(f"{instruction}\n\n")
    else:
        rest = text.removesuffix(f"\n\n{instruction}")
    if rest == text:
        raise RecipeError(
            "LangChain template: its metadata places the instruction "
            f'"{instruction[:60]}" {"before the first" if before else "after the last"} human turn '
            "and it does not stand there; take the metadata out of a template that was edited"
        )
    edited = list(turns)
    edited[at] = (role, rest)
    return edited


def _metadata(prompt: PromptFile, passages: bool) -> dict[str, Any]:
    shown = {"shots", "passages" if passages else "question"}
    if prompt.placement == "system":
        shown.add("instruction")
    carried = {key: value for key, value in prompt.plain().items() if key not in shown}
    return {METADATA: {**carried, "shot_ids": [shot.id for shot in prompt.shots]}}


def _turn(part: Any, partial: Mapping[str, Any], variables: Mapping[str, str]) -> _Turn:
    """One turn: its role, and its text as a template of ours."""
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
    from langchain_core.prompts import (
        AIMessagePromptTemplate,
        HumanMessagePromptTemplate,
        MessagesPlaceholder,
        PromptTemplate,
        SystemMessagePromptTemplate,
    )

    if isinstance(part, MessagesPlaceholder):
        raise RecipeError(
            f'LangChain template: MessagesPlaceholder "{part.variable_name}" stands for turns that '
            "come later; a prompt file holds fixed turns: write them as shots"
        )
    roles: dict[type[Any], Literal["system", "human", "ai"]] = {
        SystemMessage: "system", SystemMessagePromptTemplate: "system",
        HumanMessage: "human", HumanMessagePromptTemplate: "human", PromptTemplate: "human",
        AIMessage: "ai", AIMessagePromptTemplate: "ai",
    }  # fmt: skip
    role = roles.get(type(part))
    text = part.content if isinstance(part, BaseMessage) else getattr(part, "prompt", part)
    if role is None or not isinstance(text, str | PromptTemplate):
        raise RecipeError(
            f"LangChain template: a {type(part).__name__} has no place in a prompt file; system, "
            "human and ai turns of plain text are expected"
        )
    if isinstance(text, str):
        return role, _braced(text)
    if text.template_format != "f-string":
        raise RecipeError(
            f"LangChain template: its format is {text.template_format}, which can run code; only "
            "f-string templates can be read"
        )
    return role, _rewritten(text.template, {**partial, **text.partial_variables}, variables)


def _rewritten(template: str, partial: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """The template with partial variables filled in and the others named as ours."""
    pieces: list[str] = []
    for literal, name, spec, conversion in _parsed(template):
        pieces.append(_braced(literal))
        if name is None:
            continue
        if name in partial and not isinstance(partial[name], str):
            raise RecipeError(
                f"LangChain template: the partial variable {name} is no text but "
                f"{type(partial[name]).__name__}; fill it in first"
            )
        if spec or conversion:
            raise RecipeError(
                f"LangChain template: {{{name}}} has a format or conversion, which can look into "
                "values; write the plain name"
            )
        pieces.append(
            _braced(partial[name]) if name in partial else f"{{{variables.get(name, name)}}}"
        )
    return "".join(pieces)


def _parsed(template: str) -> Sequence[tuple[str, str | None, str | None, str | None]]:
    return list(string.Formatter().parse(template))


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in _parsed(template) if name is not None}


def _braced(text: str) -> str:
    """Plain text as a template of it."""
    return text.replace("{", "{{").replace("}", "}}")


def _literal(template: str) -> str:
    """The text of a template without placeholders; shots have none."""
    names = _names(template)
    if names:
        raise RecipeError(
            f"LangChain template: {{{sorted(names)[0]}}} stands in an earlier turn; only the "
            "system text and the last turn may have variables"
        )
    return "".join(literal for literal, *_ in _parsed(template))


def _pattern(question: str) -> re.Pattern[str]:
    """What a shot's turn looks like: the template of a question with any question in it."""
    texts = [""]
    for literal, name, _, _ in _parsed(question):
        texts[-1] += literal
        if name is not None:
            texts.append("")
    first, *rest = map(re.escape, texts)
    return re.compile(f"{first}(.*)" + r"\1".join(rest), re.DOTALL)


def _unfilled(asked: re.Pattern[str], turn: str) -> str:
    """The question that stands in a shot's turn."""
    found = asked.fullmatch(turn)
    if found is None:
        raise RecipeError(
            f'LangChain template: the turn "{turn[:60]}" is not worded as the question is, and a '
            "prompt file asks its shots as it asks the question"
        )
    return found[1]
