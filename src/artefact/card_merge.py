"""A record's results and emissions in a model card that may be there already.

Only the keys `model-index` and `co2_eq_emissions` of the front matter are written. All other text,
comments and the order of keys included, stays as it stands but for its ends of lines, which become
LF, and so do results that are not ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from ..errors import InputError
from ..measure.export import model_card_emissions
from ..models.quiet import quiet_hub
from .card_results import MEASURED_BY, results

if TYPE_CHECKING:
    from ..measure.record import Record

EMISSIONS = "co2_eq_emissions"
INDEX = "model-index"
OURS = "wattune"


def merged_card(text: str | None, record: Record, *, title: str) -> tuple[str, list[str]]:
    """The card with what was measured, and sentences on what was left as it stood or left out.

    `text` is the card that is there, None for a new one; `title` names the model where its card
    does not. Emissions that somebody else stated stay. Raises `InputError` for a record that is not
    finished, or has nothing for a card, and for a card that the hub could not read.
    """
    if record.status != "done":
        raise InputError(
            f'record "{record.name}" is {record.status}; a card tells of finished ones'
        )
    front, body = _parted(text or "")
    there = _front(front)
    notes: list[str] = []
    blocks: dict[str, Any] = {}
    measured = results(record)
    if measured:
        blocks[INDEX] = _index(there.get(INDEX), measured, title)
    emissions = _emissions(record, there.get(EMISSIONS), notes)
    if emissions is not None:
        blocks[EMISSIONS] = emissions
    if not blocks:
        raise InputError("; ".join(notes) or f'record "{record.name}" has no scores for a card')
    try:
        for key, content in blocks.items():
            front = _with(front, key, content)
        made = f"---\n{front}---\n{body}"
        _check(made)
    except yaml.YAMLError as error:  # read alone it was whole
        raise InputError(
            "nothing can be added to the card's front matter: it ends before its line of ---; take "
            f"out the line of ... ({str(error).splitlines()[0]})"
        ) from error
    return made, notes


def _emissions(record: Record, there: Any, notes: list[str]) -> dict[str, Any] | None:
    source = str(there.get("source", "")) if isinstance(there, dict) else ""
    if there is not None and not source.startswith(OURS):
        notes.append(
            f"{EMISSIONS} stands in the card already ({source or 'without a source'}) and is left "
            "as it is; take it out to have this record's"
        )
        return None
    try:
        return dict(model_card_emissions(record))
    except InputError as error:
        notes.append(f"no {EMISSIONS}: {error}")
        return None


def _index(there: Any, measured: list[Any], title: str) -> list[Any]:
    """The card's results with ours; of ours those of the same data set and split are replaced."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    if there is not None and not _is_index(there):
        raise InputError(
            f"the card's {INDEX} is no list of models with their results; mend it, or take it out"
        )
    models: list[Any] = [dict(model) for model in there or [{"name": title, "results": []}]]
    (own,) = eval_results_to_model_index(models[0].get("name") or title, measured)
    # Plain copies: equal objects would come out as anchors.
    (fresh,) = yaml.safe_load(yaml.safe_dump(own["results"], sort_keys=False))
    kept = []
    for result in models[0]["results"]:
        if result.get("dataset") == fresh["dataset"] and result.get("task") == fresh["task"]:
            metrics = [one for one in result.get("metrics") or [] if not _is_ours(one)]
            if not metrics:
                continue
            result = {**result, "metrics": metrics}
        kept.append(result)
    models[0]["results"] = [*kept, fresh]
    return models


def _is_index(there: Any) -> bool:
    return (
        isinstance(there, list)
        and bool(there)
        and all(
            isinstance(model, dict)
            and isinstance(model.get("results"), list)
            and all(isinstance(result, dict) for result in model["results"])
            for model in there
        )
    )


def _is_ours(metric: Any) -> bool:
    args = metric.get("args") if isinstance(metric, dict) else None
    return isinstance(args, dict) and str(args.get(MEASURED_BY, "")).startswith(OURS)


def _parted(text: str) -> tuple[str, str]:
    """Front matter (without its fences, each line ended) and the rest of a card."""
    plain = text.replace("\r\n", "\n")
    lines = plain.split("\n")
    if lines[0].strip() != "---":
        return "", f"\n{plain}" if plain else ""
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            front = "\n".join(lines[1:number])
            return f"{front}\n" if front else "", "\n".join(lines[number + 1 :])
    raise InputError("the card's front matter has no end; close it with a line of ---")


def _front(front: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(front)
    except yaml.YAMLError as error:
        raise InputError(
            f"the card's front matter is no YAML ({str(error).splitlines()[0]})"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError("the card's front matter is no mapping of keys to values")
    return content


def _with(front: str, key: str, content: Any) -> str:
    """The front matter with one key written anew where it stands, or at the end."""
    block = yaml.safe_dump({key: content}, sort_keys=False, allow_unicode=True, width=1000)
    root = yaml.compose(front, Loader=yaml.SafeLoader)
    if root is None:
        return front + block
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise InputError("the card's front matter is one {...}; write a key a line")
    for name, value in root.value:
        if name.value == key:
            lines = front.split("\n")
            # The value of a block ends where the next key begins; comments between are not its own.
            end = value.end_mark.line if value.end_mark.column == 0 else value.end_mark.line + 1
            while end > name.start_mark.line + 1 and _is_beside(lines[end - 1]):
                end -= 1
            before, after = lines[: name.start_mark.line], lines[end:]
            return "\n".join([*before, block.rstrip("\n"), *after])
    return front + block


def _is_beside(line: str) -> bool:
    """Whether a line is empty or a comment from the first column on."""
    return not line.strip() or line.startswith("#")


def _check(card: str) -> None:
    """Raise `InputError` unless the hub's own library reads the card."""
    with quiet_hub():
        from huggingface_hub import ModelCard

        try:
            ModelCard(card)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"the hub would not read this card: {error}") from error
