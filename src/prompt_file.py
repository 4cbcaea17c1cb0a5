"""Prompt files: `*.prompt.yaml` holds a whole prompt, with name, version, shots and decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationInfo, field_serializer, field_validator

from .errors import RecipeError, did_you_mean
from .files import shipped_folder
from .prompt import Message, Passage, PromptTemplate, Shot, checked_template
from .system import Decoding
from .values import digest
from .yaml_lines import LineFaults, read_mapping

ENDING = ".prompt.yaml"


class PromptFile(PromptTemplate):
    """A prompt as a file holds it: the templates, and what belongs to them.

    Only what the file says is part of the prompt: without `instruction` there is no system text.
    `shots` are the same in every prompt. Of `decoding` only the keys that are given count; the rest
    stays as it was. `notes` are for people.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,60}$")
    version: int = Field(default=1, ge=1, strict=True)
    instruction: str = ""
    shots: tuple[Shot, ...] = ()
    decoding: Decoding | None = None
    notes: str = ""

    @field_validator("instruction", "question", "passages")
    @classmethod
    def _plain_placeholders(cls, template: str, info: ValidationInfo) -> str:
        try:
            return checked_template(str(info.field_name), template)
        except RecipeError as error:  # as a fault of the file, told with its line
            raise ValueError(str(error)) from error

    @field_validator("shots", mode="before")
    @classmethod
    def _numbered(cls, shots: Any) -> Any:
        if not isinstance(shots, list):
            return shots
        return [
            {"id": f"shot-{number}", **shot} if isinstance(shot, dict) else shot
            for number, shot in enumerate(shots, start=1)
        ]

    @field_serializer("decoding")
    def _given(self, decoding: Decoding | None) -> dict[str, Any] | None:
        return given(decoding)

    @property
    def template(self) -> PromptTemplate:
        """The templates alone, as a System has them."""
        return PromptTemplate(**{name: getattr(self, name) for name in PromptTemplate.model_fields})

    def messages(
        self, question: str, *, refusal: str, passages: tuple[Passage, ...] = ()
    ) -> list[Message]:
        """One question as the model is asked it, the shots before it."""
        return self.render(question, refusal=refusal, passages=passages, shots=self.shots)

    def digest(self) -> str:
        """Content digest of all but the notes: they change nothing that a model reads."""
        return digest({key: value for key, value in self.plain().items() if key != "notes"})

    def text(self) -> str:
        """The prompt as the text of a prompt file; what is left out has its default."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        ordered = {"name": self.name, "version": self.version, **content}
        if self.shots:
            ordered["shots"] = [{"question": s.question, "answer": s.answer} for s in self.shots]
        return yaml.dump(ordered, Dumper=_Blocks, sort_keys=False, allow_unicode=True, width=100)


class _Blocks(yaml.SafeDumper):
    """Writes text of several lines as a block, as a person would."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text.strip("\n") else None
    )


_Blocks.add_representer(str, _block)


def given(decoding: Decoding | None) -> dict[str, Any] | None:
    """The settings that somebody gave, without the defaults of the others."""
    return decoding.model_dump(mode="json", exclude_unset=True) if decoding else None


def decoded(decoding: Decoding, *changes: Decoding | None) -> Decoding:
    """`decoding` with what each change gives, the later over the earlier."""
    merged = decoding.plain()
    for change in changes:
        merged |= given(change) or {}
    return Decoding(**merged)


def shipped_prompts() -> dict[str, Path]:
    """The prompt files that ship with wattune, by name."""
    return prompt_files(shipped_folder() / "prompts")


def prompt_files(folder: Path) -> dict[str, Path]:
    """The prompt files of a folder, by their names without the ending."""
    return {path.name.removesuffix(ENDING): path for path in sorted(folder.glob(f"*{ENDING}"))}


def load_prompt(where: str | Path, folder: Path | None = None) -> PromptFile:
    """A shipped prompt by its name, or a prompt file, looked for in `folder` first.

    Raises `RecipeError` with every fault of the file, each with its line.
    """
    shipped = shipped_prompts()
    if str(where) in shipped:
        return read_prompt(shipped[str(where)])
    places = [folder / where] if folder else []
    for path in (*places, Path(where)):
        if path.is_file():
            return read_prompt(path)
    raise RecipeError(
        f"{where}: there is no such prompt file, and no shipped prompt of that name"
        + did_you_mean(str(where), shipped)
    )


def read_prompt(path: Path) -> PromptFile:
    """The prompt of a file; its name is that of the file where it gives none.

    Raises `RecipeError` with every fault, each with its line, `StorageError` where the file cannot
    be read.
    """
    content, lines = read_mapping(
        path, RecipeError, what="a prompt file is a mapping of keys (name, question, shots, ...)"
    )
    faults = LineFaults(str(path), lines)
    prompt = faults.validate(PromptFile, {"name": path.name.removesuffix(ENDING), **content})
    faults.raise_any(RecipeError)
    assert prompt is not None
    return prompt
