"""PromptSearch: the best of several variants of a prompt, found on the validation split."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ..errors import CannotRun, InputError
from ..files import read_text, write_json
from ..measure.quality import better
from ..system import System
from ..tasks.task import Task
from ..values import Value
from .base import Context, Part, Strategy
from .prompt import Prompt
from .race import Ending, Entrant, race
from .trials import Trials, check_metric
from .variants import (
    SHOWN,
    changed,
    checked,
    identity_of,
    shown,
    standing,
    together,
    without_each_sentence,
)

WINNER = "winner.json"


class Tried(Entrant):
    """A variant in a report: what was changed, shortened, and how it did."""

    value: str


class Choice(Value):
    """One race of a search: what was varied, the variants (the first is what stood already), the
    number of the one that was adopted, and why the race ended."""

    varied: str
    ablation: bool = False
    variants: tuple[Tried, ...]
    adopted: int
    ended: Ending


class SearchReport(Value):
    """What a prompt search found out: its races, on `questions` validation questions; `asked`
    counts the answers of all variants."""

    metric: str
    better: Literal["higher", "lower"]
    questions: int
    asked: int
    choices: tuple[Choice, ...]


class PromptSearch(Strategy):
    """Try the values in `vary` for the settings of the prompt `start`, and keep the best.

    Keys of `vary` are settings of `prompt`, with dots for nested ones. With `changes` "one" the
    settings are varied one after the other, each with what was found best so far; with "all" every
    combination is a variant. Then, with `ablate`, each sentence of the best instruction is left out
    in turn. What stood before is always a variant, and variants are raced: see `race` for `first`
    and `keep`. Only validation questions are asked, at most `questions` of them.
    """

    reads: ClassVar[frozenset[Part]] = frozenset(
        {"system", "decoding", "train", "validation", "seed", "machine", "scoring"}
    )

    type: Literal["prompt_search"] = "prompt_search"
    start: Prompt = Prompt()
    vary: dict[str, tuple[Any, ...]] = {}
    changes: Literal["one", "all"] = "one"
    ablate: bool = True
    metric: str | None = None
    questions: int | None = Field(default=None, ge=4)
    first: int = Field(default=16, ge=4)
    keep: float = Field(default=0.5, gt=0, lt=1)

    @field_validator("vary")
    @classmethod
    def _can_be_tried(
        cls, vary: dict[str, tuple[Any, ...]], info: ValidationInfo
    ) -> dict[str, tuple[Any, ...]]:
        if "start" not in info.data:
            return vary  # it is at fault, which is told
        return checked(info.data["start"], vary, (info.context or {}).get("folder"))

    @field_validator("metric")
    @classmethod
    def _by_question(cls, metric: str | None) -> str | None:
        try:
            if metric is not None:
                check_metric(metric)
        except InputError as error:  # as a fault of the recipe, told with its line
            raise ValueError(str(error)) from error
        return metric

    @model_validator(mode="after")
    def _something_to_do(self) -> PromptSearch:
        if not self.vary and not self.ablate:
            raise ValueError("there is nothing to try: give values in `vary`, or `ablate: true`")
        return self

    def identity(self) -> dict[str, Any]:
        """With prompt files by their content but for their notes, and `vary` in its order."""
        tried = [
            [field, [changed(self.start, {field: value}).identity() for value in values]]
            for field, values in self.vary.items()
        ]
        return {**super().identity(), "start": self.start.identity(), "vary": tried}

    def prepare(self, system: System, ctx: Context) -> System:
        """The System with the best prompt; the variants' shots are stages of their own."""
        if not ctx.task.validation:
            raise CannotRun(
                "prompt_search compares prompts on validation questions and the task has none "
                "(`validation:` of a task folder)"
            )
        self._metric(ctx.task)
        for variant in self._with_stages():  # before the search is metered, so not billed twice
            ctx.fold(system, [variant])
        found = read_text(ctx.stage(self, system).folder / WINNER)
        return ctx.fold(system, [Prompt.model_validate(json.loads(found))])

    def warm_up(self, system: System, ctx: Context) -> None:
        """The model, and what chooses shots; opening them is charged to answering."""
        for variant in self._with_stages():
            ctx.open(ctx.fold(system, [variant])).load()

    def build(self, system: System, ctx: Context) -> None:
        """Search; leaves the settings of the best prompt, and the report in the details."""
        metric = self._metric(ctx.task)
        trials = Trials(system, ctx, metric, self.questions)
        choices: list[Choice] = []
        best = self.start

        def choose(
            varied: str, changes: Iterable[tuple[str, Mapping[str, Any]]], ablation: bool = False
        ) -> Prompt:
            named = {identity_of(best): (standing(best, varied), best)}
            for name, change in changes:
                variant = together(best, change)
                named.setdefault(identity_of(variant), (name, variant))
            values, variants = zip(*named.values(), strict=True)
            found = race(
                len(variants),
                lambda number, count: trials.ask(variants[number], count),
                questions=len(trials.examples),
                first=self.first,
                keep=self.keep,
                better=better(metric),
                seed=ctx.seed,
                progress=lambda what, done, total: ctx.progress(
                    f"prompt search: {varied}, {what}", done, total
                ),
            )
            if found.ended != "alone" and found.entrants[found.winner].mean is None:
                raise CannotRun(
                    f"prompt_search compares by {metric}, and no answer has a score by it: it "
                    "applies to none of the validation questions asked, or no answer came"
                )
            rows = zip(values, found.entrants, strict=True)
            choices.append(
                Choice(
                    varied=varied,
                    ablation=ablation,
                    variants=tuple(Tried(value=name, **row.plain()) for name, row in rows),
                    adopted=found.winner,
                    ended=found.ended,
                )
            )
            winner: Prompt = variants[found.winner]
            return winner

        for varied, changes in self._changes():
            best = choose(varied, changes)
        if self.ablate:
            sentences = without_each_sentence(best.applied(system).prompt.instruction)
            shorter = [(f"without: {shown(one)}", {"instruction": rest}) for one, rest in sentences]
            best = choose("instruction", shorter, ablation=True)
        write_json(ctx.workdir / WINNER, best.plain())
        report = SearchReport(
            metric=metric,
            better=better(metric),
            questions=len(trials.examples),
            asked=trials.answers,
            choices=tuple(choices),
        )
        ctx.details["search"] = report.plain()

    def _changes(self) -> list[tuple[str, list[tuple[str, dict[str, Any]]]]]:
        """Each race: what is varied, and the changes with their names."""
        if self.changes == "one":
            return [
                (field, [(shown(value), {field: value}) for value in values])
                for field, values in self.vary.items()
            ]
        grid = [
            dict(zip(self.vary, v, strict=True)) for v in itertools.product(*self.vary.values())
        ]
        width = SHOWN // max(1, len(self.vary))
        named = [(", ".join(f"{k}={shown(v, width)}" for k, v in one.items()), one) for one in grid]
        return [(", ".join(self.vary), named)] if self.vary else []

    def _with_stages(self) -> list[Prompt]:
        """Variants that have among them every stage that any variant can need."""
        builds = Prompt.settings_that_build or frozenset()
        choices = [
            [{}, *({field: value} for value in values)]
            for field, values in self.vary.items()
            if field.partition(".")[0] in builds
        ]
        combined = [
            together(self.start, {k: v for part in parts for k, v in part.items()})
            for parts in itertools.product(*choices)
        ]
        return list({identity_of(variant): variant for variant in combined}.values())

    def _metric(self, task: Task) -> str:
        metric = self.metric or task.metrics[0]
        check_metric(metric)
        return metric
