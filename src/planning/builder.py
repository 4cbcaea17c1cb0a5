"""Builds stages as a run would, in a folder of scratch, with models that weigh nothing.

What is cheap is really done (chunks are cut, shots chosen, words indexed): prompts are made of it.
What costs (embedding, writing, training) is tallied.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..builder import Builder, now
from ..effort import Effort
from ..errors import CannotRun
from ..measure.bill import Bill
from ..measure.predicted import NOTHING, Expected
from ..measure.work import Tally
from ..models.account import skeleton
from ..models.devices import preferred_device, preferred_dtype
from ..models.pruning import decoder_layers, drop_layers
from ..rag.shot_index import write_shots
from ..stages import StageManifest, StageStore
from ..strategies import (
    Classical,
    Context,
    FromScratch,
    LoRA,
    Merge,
    PeftMethod,
    Prompt,
    PromptSearch,
    Prune,
    Quantize,
    Strategy,
)
from ..strategies.adapters import AdapterTuning
from ..strategies.base import no_progress
from ..strategies.shots import choose_shots, shots_of
from ..strategies.tuning import Tuning
from ..strategies.weights import UNMERGEABLE
from ..system import LocalSystem, System, with_float_weights
from ..values import digest
from .pool import PlannedPool
from .quantised_trial import slower
from .skeletons import adapted, dtype_of, held_bytes, of_config, shares_beginnings
from .training import PlannedTraining, planned_training
from .weightless import Account3, Ways, virtual_tokens

TRIAL = 4
"""A classifier is fitted on one training question of so many, to see what fitting takes."""


@dataclass
class PlannedStage:
    """What making a stage would do: the work of each model, `other_s` seconds of what needs none,
    how many bytes of weights are opened and saved, and bytes of memory `held` at most. `found`
    is its bill where it has been made before."""

    key: str
    strategy: str
    work: list[tuple[Account3, Ways]]
    other_s: float = 0.0
    opened_bytes: int = 0
    saved_bytes: int = 0
    held: Expected = NOTHING
    notes: tuple[str, ...] = ()
    found: Bill | None = None

    @property
    def trains(self) -> bool:
        """Whether weights are trained in it."""
        return any(account.rates.startswith("training") for account, _ in self.work)


class PlannedBuilder(Builder):
    """A `Builder` that plans: `planned` are the stages by their keys, each once. `known` is the
    store in which those lie that have been made."""

    def __init__(self, pool: PlannedPool, stages: StageStore, known: StageStore) -> None:
        super().__init__(pool.meter, pool, stages, no_progress)
        self.planned: dict[str, PlannedStage] = {}
        self._dry, self._known = pool, known

    def _build(
        self,
        strategy: Strategy,
        system: System,
        ctx: Context,
        inputs: dict[str, Any],
        partial: Path,
        phase_name: str,
    ) -> tuple[StageManifest, Bill]:
        key = digest(inputs)
        made = PlannedStage(key, strategy.type, [])
        effort = Effort(self.stages.unfinished_folder(key), writes=False)
        given = replace(ctx, workdir=partial, details={}, effort=effort)
        heavy = isinstance(strategy, Tuning | Quantize | Merge | Prune | Classical)
        if not heavy:
            strategy.warm_up(system, ctx)
        mark, dry_s, began = self._dry.marks(), self._dry.dry_s, time.perf_counter()
        self._way_of(strategy)(strategy, system, given, made)
        if not heavy:
            made.other_s = time.perf_counter() - began - (self._dry.dry_s - dry_s)
        made.work += self._dry.since(mark)
        if isinstance(strategy, PromptSearch):
            sooner = min(1.0, strategy.first / _raced(strategy, ctx))
            made.work = [
                (account, ways._replace(short=ways.short.times(sooner)))
                for account, ways in made.work
            ]
            made.notes = (
                "prompt_search: how soon its races end, and who wins, is not known before; reckoned"
                " is that every prompt is asked all questions and that the first one wins",
            )
        if (manifest := self._known.manifest(key)) is not None:
            made.found = manifest.bill
        self.planned[key] = made
        blank = StageManifest(
            key=key, strategy=strategy.type, inputs=inputs, bill=Bill(), created_at=now()
        )
        return self.stages.finish(partial, blank), Bill()

    def _way_of(self, strategy: Strategy) -> Callable[[Any, System, Context, PlannedStage], None]:
        if isinstance(strategy, Tuning):
            return self._train
        if isinstance(strategy, Quantize):
            return self._quantise
        if isinstance(strategy, Prune):
            return self._prune
        if isinstance(strategy, Merge):
            return self._merge
        if isinstance(strategy, Classical):
            return self._fit
        if isinstance(strategy, Prompt) and strategy.selection == "diverse":
            return self._choose
        if isinstance(strategy, PromptSearch):  # all answers are alike here, which ends a race
            return lambda strategy, system, ctx, made: strategy.model_copy(
                update={"first": _raced(strategy, ctx)}
            ).build(system, ctx)
        return lambda strategy, system, ctx, made: strategy.build(system, ctx)

    def _float_skeleton(self, system: System, step: str) -> Any:
        """A copy of its own of what the weights of a System look like."""
        model = self._dry.skeleton(with_float_weights(system, step))
        if virtual_tokens(model):
            raise CannotRun(UNMERGEABLE)
        return skeleton(model)

    def _train(self, strategy: Tuning, system: System, ctx: Context, made: PlannedStage) -> None:
        session = ctx.open(system)
        material = strategy._material(session, ctx)
        tokenizer = material.tokenizer or session.tokenizer
        device = preferred_device()
        dtype = preferred_dtype(device)
        adapter = isinstance(strategy, AdapterTuning)
        if isinstance(strategy, FromScratch):
            assert isinstance(system, LocalSystem)
            model = of_config(strategy._config(system, tokenizer))
            self._dry.skeletons[made.key] = skeleton(model.to(dtype_of(dtype)))
            model = skeleton(model.float())
            model.config.save_pretrained(ctx.workdir)
            tokenizer.save_pretrained(ctx.workdir)
        else:
            model = self._float_skeleton(system, strategy.type)
            made.opened_bytes = _bytes(model)
        if isinstance(strategy, LoRA | PeftMethod):
            model = adapted(model, strategy, ctx.seed)
            if virtual_tokens(model):
                self._dry.skeletons[made.key] = model
        elif not isinstance(strategy, FromScratch):
            self._dry.skeletons[made.key] = skeleton(model)
            model = model.float()
        for weight in () if adapter else model.parameters():
            weight.requires_grad_(True)
        planned: PlannedTraining = planned_training(
            model,
            tokenizer,
            strategy.settings(),
            material.examples,
            material.validation,
            seed=ctx.seed,
            bf16=dtype == "bfloat16",
            shares=shares_beginnings(model, strategy, ctx.seed),
            on_cpu=device == "cpu",
        )
        trained = Account3(model, "training", "training_adapter" if adapter else "training_all")
        judged = Account3(model, "answering", "answering")
        made.work += [(trained, planned.trained), (judged, planned.judged)]
        made.saved_bytes, made.held = planned.saved_bytes, planned.held
        if planned.ends_early:
            made.notes = ("the training may end early; the range begins with the earliest end",)

    def _quantise(
        self, strategy: Quantize, system: System, ctx: Context, made: PlannedStage
    ) -> None:
        import torch

        model = self._float_skeleton(system, strategy.type)
        held = {
            id(module.weight)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and "lm_head" not in name
        }
        bits = 4 if "4" in strategy.method else 8
        for weight in model.parameters():
            if id(weight) in held:
                weight.stored_bytes = weight.numel() * bits // 8
        made.opened_bytes, made.held = 2 * _bytes(model), held_bytes(model).times(2)
        stored = sum(getattr(weight, "stored_bytes", 0) for weight in model.parameters())
        plain = sum(w.nbytes for w in model.parameters() if not hasattr(w, "stored_bytes"))
        made.saved_bytes = stored + plain
        device = preferred_device()
        config = model.config.get_text_config()
        tried = slower(strategy.quantization, config, device, preferred_dtype(device))
        if tried is not None:  # the head and the embeddings stay as they are
            share = stored / made.saved_bytes
            model.slower = tried._replace(byte=1 + share * (tried.byte - 1))
        else:
            made.notes = (
                f"{strategy.type}: operations are timed as those of the float weights; what "
                f"{strategy.method} changes about it is not calibrated",
            )
        self._dry.skeletons[made.key] = model

    def _prune(self, strategy: Prune, system: System, ctx: Context, made: PlannedStage) -> None:
        session = ctx.open(system)
        model = self._float_skeleton(system, strategy.type)
        dropped = list(strategy.layers or ())
        if not dropped:
            if not ctx.task.train:
                raise CannotRun("prune.drop chooses layers by training questions; there are none")
            asked = ctx.task.train[:: max(1, len(ctx.task.train) // strategy.prompts)]
            chats = session.render(asked[: strategy.prompts])
            ids = [len(session.encode(one.messages)) for one in chats]
            passes = (Tally.of_pass(1, length, heads=1) for length in ids)
            done = sum(passes, Tally(tokens_in=sum(ids)))
            made.work.append((Account3(skeleton(model), "answering", "answering"),
                              Ways.certain(done)))  # fmt: skip
            dropped = list(range(strategy.drop))
        if max(dropped) >= len(decoder_layers(model)) or len(dropped) >= len(decoder_layers(model)):
            raise CannotRun(f"prune would drop {len(dropped)} layers and one must stay")
        made.opened_bytes, made.held = _bytes(model), held_bytes(model)
        drop_layers(model, dropped)
        made.saved_bytes = sum(weight.nbytes for weight in model.parameters())
        # When what is left is opened again its layers are numbered anew, as a cache wants them.
        self._dry.skeletons[made.key] = of_config(model.config).to(model.dtype).eval()

    def _merge(self, strategy: Merge, system: System, ctx: Context, made: PlannedStage) -> None:
        model = self._float_skeleton(system, strategy.type)
        made.opened_bytes, made.held = _bytes(model), held_bytes(model)
        made.saved_bytes = sum(weight.nbytes for weight in model.parameters())
        self._dry.skeletons[made.key] = model

    def _fit(self, strategy: Classical, system: System, ctx: Context, made: PlannedStage) -> None:
        """The classifier is fitted on a part, as a trial: how often its solver looks at the texts
        cannot be counted beforehand."""
        strategy.warm_up(system, ctx)
        train = ctx.task.train
        began = time.perf_counter()
        labels = {example.answers[0] for example in train}
        first = {next(n for n, e in enumerate(train) if e.answers[0] == label) for label in labels}
        part = [e for n, e in enumerate(train) if n in first or n % TRIAL == 0]
        few = len(part) < 2 * len(labels)
        asked = train if few else tuple(part)
        strategy.build(system, replace(ctx, task=replace(ctx.task, train=asked)))
        made.other_s = (time.perf_counter() - began) * len(train) / len(asked)
        made.notes = (f"classical: fitted on {len(asked)} of {len(train)} questions as a trial",)

    def _choose(self, strategy: Prompt, system: System, ctx: Context, made: PlannedStage) -> None:
        """Shots drawn in place of the diverse ones, which an embedder would find."""
        shots = shots_of(ctx.task.train)
        ctx.embedder(strategy.embedder).encode_queries([shot.question for shot in shots])
        write_shots(ctx.workdir, choose_shots(ctx.task.train, strategy.shots, ctx.seed, "seeded"))


def _bytes(model: Any) -> int:
    return sum(weight.nbytes for weight in model.parameters())


def _raced(strategy: PromptSearch, ctx: Context) -> int:
    """How many questions a prompt is asked that stays in a race to its end."""
    there = len(ctx.task.validation)
    return max(1, min(strategy.questions or there, there))
