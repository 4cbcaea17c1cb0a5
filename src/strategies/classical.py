"""Classical: TF-IDF and logistic regression. The honest answer may be "no language model"."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, ClassVar, Literal

from ..errors import CannotRun
from ..models.classical import ClassicalModel, ClassicalSettings, warm_up
from ..system import ClassicalSystem, Decoding, LocalSystem, System
from .base import Context, Part, Stage, Strategy

EXAMPLES_A_LABEL = 2
"""On average; with fewer, answers are no labels and a classifier would only guess at them."""


class Classical(Strategy, ClassicalSettings):
    """Train a linear classifier on the training questions, with their first answers as labels.

    It takes the language model's place, so it is the only step of its run that answers. Fitting
    draws nothing, so it needs no seeds.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"train"})

    type: Literal["classical"] = "classical"

    def identity(self) -> dict[str, Any]:
        """As every step's, with the version of the library that fits."""
        return {**super().identity(), "scikit-learn": version("scikit-learn")}

    def prepare(self, system: System, ctx: Context) -> System:
        """As every step's; `CannotRun` after a step that customised what is replaced."""
        customised = bool(system.sources) or isinstance(system, ClassicalSystem)
        if isinstance(system, LocalSystem):
            customised |= bool(system.weights or system.adapters)
        if customised:
            raise CannotRun(
                "classical takes the language model's place, so what the steps before it did would "
                "not be used; let it be the only step of its run"
            )
        return super().prepare(system, ctx)

    def warm_up(self, system: System, ctx: Context) -> None:
        """scikit-learn, which takes some seconds to import."""
        warm_up()

    def build(self, system: System, ctx: Context) -> None:
        """Fit the classifier and save it as JSON and safetensors."""
        texts = [example.question for example in ctx.task.train]
        answers = [example.answers[0] for example in ctx.task.train]
        labels = len(set(answers))
        if labels < 2 or len(texts) < EXAMPLES_A_LABEL * labels:
            raise CannotRun(
                f"classical chooses among answers that come again, and the {len(texts)} training "
                f"questions have {labels} different ones; there must be two at least, and "
                f"{EXAMPLES_A_LABEL} questions for each on average"
            )
        names = ClassicalSettings.model_fields
        settings = ClassicalSettings(**{name: getattr(self, name) for name in names})
        model = ClassicalModel.fit(texts, answers, settings)
        ctx.open(system).book_account(model.fitting)
        model.save(ctx.workdir)
        ctx.details.update(
            examples=len(texts), labels=labels, terms=model.terms, converged=model.converged
        )

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the classifier; what is decoded does not concern it."""
        return ClassicalSystem(stage=stage.ref, refusal=system.refusal, decoding=Decoding())
