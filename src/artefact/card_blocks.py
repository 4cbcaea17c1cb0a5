"""The fenced blocks of a model card: code that opens the System, its prompt, the settings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..models.catalogue import CATALOGUE
from ..models.hub import HUB_ID
from ..system import ClassicalSystem, LocalSystem, ModelRef, System

if TYPE_CHECKING:
    from ..measure.record import Record

_ANSWERING = """\
import wattune as wt

system = wt.load_system("{title}")  # this folder
answer = wt.ask(system, "Your question?")
print(answer.text)"""

_MEASURING = 'record = wt.run([], wt.load_task("task-folder"), system)'

_MERGED = """\
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{title}")"""

_ADAPTER_ON_HUB = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}", revision="{revision}")
model = PeftModel.from_pretrained(base, "{title}", subfolder="adapter")"""

_ADAPTER = """\
import wattune as wt
from peft import PeftModel
from transformers import AutoModelForCausalLM
from wattune.answering.pool import model_folder

system = wt.load_system("{title}")
base = AutoModelForCausalLM.from_pretrained(model_folder(system.model))
model = PeftModel.from_pretrained(base, "{title}", subfolder="adapter")"""


def base_repo(model: ModelRef) -> str | None:
    """The hub's name of a model, without its revision; None where it is not from the hub."""
    if model.name in CATALOGUE:
        hub = CATALOGUE[model.name].hub
        return hub.repo if hub else None
    match = HUB_ID.fullmatch(model.name)
    return match["repo"] if match else None


def ancestor(model: ModelRef) -> str | None:
    """What the hub's tree of models shows it under: itself, or the model it was made of."""
    made_from = CATALOGUE[model.name].made_from if model.name in CATALOGUE else None
    return base_repo(model) or made_from


def loading(system: System, merged: bool, title: str) -> Iterator[str]:
    """Code that answers a question, and code that opens the weights alone, where there are any."""
    yield "One question, with prompt and sources:"
    yield _fenced("python", _ANSWERING.format(title=title))
    yield "All questions of a task, measured:"
    yield _fenced("python", _MEASURING)
    if merged:
        yield "The weights alone, without prompt and sources:"
        yield _fenced("python", _MERGED.format(title=title))
    elif isinstance(system, LocalSystem) and len(system.adapters) == 1 and not system.weights:
        yield "The adapter alone, without prompt and sources:"
        base = base_repo(system.model)
        if base:
            revision = system.model.revision
            code = _ADAPTER_ON_HUB.format(title=title, base=base, revision=revision)
            yield _fenced("python", code)
        else:
            yield _fenced("python", _ADAPTER.format(title=title))
            yield (
                "The hub does not have this base, so wattune says where it lies. For programs "
                "that know transformers only, save the system merged, where its adapter can be "
                "(`wattune save --merge`)."
            )


def prompt(system: System) -> Iterator[str]:
    """The prompt's templates, for a System that has a prompt."""
    if isinstance(system, ClassicalSystem):
        return
    given = {name: value for name, value in system.prompt.plain().items() if value}
    yield "## Prompt"
    examples = " The worked examples before the question are in `prompt.yaml`."
    yield f'`{{refusal}}` is "{system.refusal}"' + (examples if system.shots else "")
    # Blocks, so that lines stand as the model reads them.
    yield _fenced("yaml", _yaml(given, style="|"))


def settings(record: Record) -> Iterator[str]:
    """What a recipe would say to make it again: the seed, and each step as the record has it."""
    runs = record.recipe.get("runs")
    if not runs:
        return
    yield "## Settings"
    yield "The steps as a recipe has them, defaults included; settings that are null are left out:"
    yield _fenced("yaml", _yaml({"seed": record.seed, "runs": _told(runs)}))


def _told(value: Any) -> Any:
    """Settings without those that are null; of a folder of this machine its name alone."""
    if isinstance(value, dict):
        return {name: _told(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_told(inner) for inner in value]
    if isinstance(value, str) and os.path.isabs(value) and os.path.exists(value):
        return Path(value).name
    return value


def _yaml(content: dict[str, Any], style: str | None = None) -> str:
    return yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, width=90, default_style=style
    )


def _fenced(language: str, text: str) -> str:
    longest = max((len(ticks) for ticks in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.strip()}\n{fence}"
