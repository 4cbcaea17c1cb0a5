"""Chat data and completion data, in the shapes that TRL reads, as Examples.

{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}, …]}
{"prompt": "…", "completion": "…"}
{"prompt": [{"role": …}, …], "completion": [{"role": "assistant", …}]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import did_you_mean
from ..values import digest
from .examples import FORMS, ExampleReader
from .faults import Faults, kind_of
from .task import Example, Turn

IN_FORMS = ("question", "answers", *FORMS)
"""What a row says in one form only."""
SYSTEM = ("system", "developer")
"""Roles whose text is not used: a System has a prompt of its own."""
TOOLS = ("tools", "tool_calls", "function_call", "tool_call_id")
NO_TOOLS = "a System has no tools to call, so chats with tool calls cannot be used; leave them out"


def read_examples(row: object, place: str, reader: ExampleReader) -> list[Example]:
    """The Examples in a row, faults noted: one, or in a chat one for each turn of the assistant.

    There the question is the turn of the user before it, and all turns before that are its
    `history`. Texts of the system are passed over, and so is a last turn of the user. In a
    conversation parted into prompt and completion only the turns of the completion are answers.
    Several Examples of one row share its group, made of the chat where the row names none.
    """
    if not isinstance(row, Mapping) or not any(key in row for key in FORMS):
        one = reader.read(row, place)
        return [one] if one else []
    before = len(reader.faults)
    turns, start = _turns(row, place, reader.faults)
    if len(reader.faults) > before:
        return []
    answers = [at for at in range(start, len(turns)) if turns[at].role == "assistant"]
    if not answers:
        reader.faults.add(f"{place}: no assistant turn, so there is no answer to learn or to ask")
    rest: dict[Any, Any] = {key: value for key, value in row.items() if key not in IN_FORMS}
    several = len(answers) > 1
    if several and not rest.get("group"):
        rest["group"] = f"chat-{digest([turn.plain() for turn in turns])}"
    examples: list[Example] = []
    for number, at in enumerate(answers, start=1):
        asked = {**rest, "question": turns[at - 1].text, "answers": turns[at].text}
        if several and isinstance(rest.get("id"), str):
            asked["id"] = f"{rest['id']}/{number}"
        made = reader.read(asked, place, history=tuple(turns[: at - 1]))
        if made is None:  # what is at fault is the row, so it is told once
            break
        examples.append(made)
    return examples


def _turns(row: Mapping[Any, Any], place: str, faults: Faults) -> tuple[list[Turn], int]:
    """The turns of a row, and the number of the first that may be an answer."""
    form = ("messages",) if "messages" in row else ("prompt", "completion")
    before = len(faults)
    for key in (*IN_FORMS, "answer"):
        if key in row and key not in form:
            faults.add(f'{place}: "{key}" cannot stand beside {" and ".join(form)}; drop one')
        elif key in form and key not in row:
            faults.add(f"{place}: {key} is missing; prompt and completion stand together")
    if any(row.get(key) for key in TOOLS):
        faults.add(f"{place}: {NO_TOOLS}")
    if len(faults) > before:
        return [], 0
    parts: dict[str, Any] = {key: row[key] for key in form}
    if len(form) == 2 and all(isinstance(part, str) for part in parts.values()):
        said = zip(parts.items(), ("user", "assistant"), strict=True)
        parts = {key: [{"role": role, "content": text}] for (key, text), role in said}
    for key, part in parts.items():
        if not isinstance(part, list | tuple):
            wanted = "text, as both are, or a list" if len(form) == 2 else "a list"
            faults.add(
                f"{place}: {key} must be {wanted} of turns with role and content, not "
                f"{kind_of(part)}"
            )
    turns: list[Turn] = []
    start = 0
    if len(faults) > before:
        return turns, start
    for key, part in parts.items():
        start = len(turns) if key == "completion" else 0
        for number, message in enumerate(part):
            fault = _fault(message, turns)
            if fault:  # what comes after it would be out of turn
                faults.add(f"{place}: {key}[{number}]: {fault}")
                return turns, start
            if message["role"] not in SYSTEM:
                turns.append(Turn(role=message["role"], text=message["content"].strip()))
    return turns, start


def _fault(message: object, turns: Sequence[Turn]) -> str:
    """What is wrong with the message that comes after `turns`; "" where nothing is."""
    if not isinstance(message, Mapping):
        return f"an object with role and content is expected, not {kind_of(message)}"
    role, content = message.get("role"), message.get("content")
    if role in ("tool", "function") or any(message.get(key) for key in TOOLS):
        return NO_TOOLS
    for key, value in message.items():
        # Data sets of one schema carry empty keys for what a message does not have.
        if key not in ("role", "content") and value not in (None, []):
            return f'unknown key "{key}"{did_you_mean(str(key), ("role", "content"))}'
    if role in SYSTEM:
        return f"a {role} turn can only open a chat" if turns else ""
    if role not in ("user", "assistant"):
        return f'unknown role "{role}"{did_you_mean(str(role), ("user", "assistant", "system"))}'
    if not isinstance(content, str):
        return f"content must be text, not {kind_of(content)}"
    if not content.strip():
        return "content is empty"
    if role != ("assistant" if turns and turns[-1].role == "user" else "user"):
        after = f"after {turns[-1].role}" if turns else "first"
        return f"{role} stands {after}; user and assistant speak by turns, user first"
    return ""
