"""Merge: adapters become part of the weights, so that a server loads one folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from ..errors import CannotRun
from ..system import System, with_weights
from ..tasks.task import Task
from .base import Context, Part, Stage, Strategy
from .tuning import check_weights
from .weights import base_model


class Merge(Strategy):
    """Merge all adapters into the weights, in float32, and keep these as the model answers."""

    reads: ClassVar[frozenset[Part]] = frozenset({"system", "machine"})

    type: Literal["merge"] = "merge"

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """The adapter must be such as can be merged."""
        check_weights(system, before, self.type)

    def prepare(self, system: System, ctx: Context) -> System:
        """As every step's; `CannotRun` for a System without adapters."""
        if not with_weights(system, self.type).adapters:
            raise CannotRun(
                "merge: there is no adapter to merge; put it after a step that makes one, such as "
                "lora"
            )
        return super().prepare(system, ctx)

    def build(self, system: System, ctx: Context) -> None:
        """Merge and save as safetensors."""
        session = ctx.open(system)
        model, _ = base_model(session, trains_base=False)
        session.save_weights(model, ctx.workdir)

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the merged weights."""
        return system.model_copy(update={"weights": stage.ref, "adapters": ()})
