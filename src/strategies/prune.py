"""Prune: a shallower model, by dropping decoder layers, healed by a short tuning where asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..errors import CannotRun
from ..measure.work import Tally
from ..models.pruning import block_distances, decoder_layers, drop_layers
from ..system import System
from ..tasks.task import Task
from .adapters import LoRA
from .base import Context, Part, Stage, Strategy
from .full_fine_tuning import FullFineTuning
from .tuning import check_weights


class Prune(Strategy):
    """Drop `layers`, or else the `drop` neighbouring ones that turn a prompt's last token least.

    The distance is measured on `prompts` training questions, asked as the incoming System asks
    them; see `block_distances`. `heal` tunes what is left, as a step of its own would.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"system", "train", "machine"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset({"drop", "layers", "prompts"})

    type: Literal["prune"] = "prune"
    drop: int = Field(default=3, ge=1)
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)
    prompts: int = Field(default=32, ge=1)
    heal: Annotated[LoRA | FullFineTuning, Field(discriminator="type")] | None = None

    def identity(self) -> dict[str, Any]:
        """As every step's, with that of the tuning it holds."""
        return {**super().identity(), "heal": self.heal.identity() if self.heal else None}

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """The weights must be such as can be pruned."""
        check_weights(system, before, self.type)

    def prepare(self, system: System, ctx: Context) -> System:
        """Prune, then heal: two stages, each with its bill."""
        pruned = super().prepare(system, ctx)
        return ctx.fold(pruned, [self.heal]) if self.heal else pruned

    def build(self, system: System, ctx: Context) -> None:
        """Choose the layers, and save the weights without them, adapters merged."""
        session = ctx.open(system)
        dropped = list(self.layers or ())
        ids: list[list[int]] = []
        if not dropped:
            if not ctx.task.train:
                raise CannotRun(
                    "prune.drop chooses layers by training questions and the task has none; name "
                    "them yourself (`layers: [20, 21]`)"
                )
            # At even steps, so that the slice keeps the mix of the whole.
            asked = ctx.task.train[:: max(1, len(ctx.task.train) // self.prompts)][: self.prompts]
            ids = [session.encode(one.messages) for one in session.render(asked)]
        model, _ = session.training_model(trains_base=False)
        count = len(decoder_layers(model))
        if max(dropped, default=0) >= count or len(set(dropped) or range(self.drop)) >= count:
            raise CannotRun(
                f"prune would drop {f'layers {dropped}' if dropped else f'{self.drop} layers'} and "
                f"the model has {count}, counted from 0; one must stay"
            )
        if not dropped:
            distances = block_distances(model, ids, self.drop)
            first = min(range(len(distances)), key=distances.__getitem__)
            dropped = list(range(first, first + self.drop))
            ctx.details["distances"] = [round(distance, 4) for distance in distances]
            session.book(model, "answering", _tally(ids))
        drop_layers(model, dropped)
        session.save_weights(model, ctx.workdir)
        ctx.details.update(dropped=sorted(set(dropped)), layers=count - len(set(dropped)))

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the weights that are left."""
        return system.model_copy(update={"weights": stage.ref, "adapters": ()})


def _tally(prompts: list[list[int]]) -> Tally:
    """One pass for each prompt, read and not answered."""
    passes = (Tally.of_pass(1, len(ids), heads=1) for ids in prompts)
    return sum(passes, Tally(tokens_in=sum(map(len, prompts))))
