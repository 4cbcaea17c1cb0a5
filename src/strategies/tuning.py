"""What all tuning shares: examples in, a model trained, what was learnt kept in the stage.

examples ─▶ the model to train ─▶ the one trainer ─▶ adapter or weights
"""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ..answering.answer import Rendered
from ..answering.quotes import quoting, targets
from ..answering.session import Session
from ..answering.training_passages import PassageSettings, check_passages, training_prompts
from ..errors import CannotRun
from ..measure.refresh import How
from ..models.chat import chat_ids
from ..models.fetch import resolve
from ..peft.batches import TokenisedExample, tokenise
from ..peft.curation import DataSettings, curated
from ..peft.optimizers import check_optimizer
from ..peft.paraphrases import paraphrased
from ..peft.quiet import quiet_training
from ..peft.settings import TrainingSettings
from ..peft.trainer import train
from ..prompt import Message
from ..system import Decoding, LocalSystem, ModelRef, System, with_float_weights, with_weights
from ..tasks.revision import changed_questions, to_train_on, withdrawn_questions
from ..tasks.task import Example, Task
from .base import Context, Part, Previous, Stage, Strategy
from .weights import UNMERGEABLE, base_model, same_weights, whole

PARAPHRASING = Decoding(max_tokens=64, temperature=0.8, top_p=0.95)
"""How rewordings are drawn: alike they would teach nothing new."""


class Material(NamedTuple):
    """What is trained on, what it is judged by meanwhile, and a report on where it is from.

    `tokenizer` is one of its own, where the model has a new vocabulary.
    """

    examples: list[TokenisedExample]
    validation: list[TokenisedExample]
    report: dict[str, Any]
    tokenizer: Any = None


class Tuning(Strategy, TrainingSettings):
    """A step that trains. TRL's and PEFT's field names pass through unchanged.

    Under several processes all of them train; the main one writes.
    """

    distributed: ClassVar[bool] = True
    starts_from_weights: ClassVar[bool] = True
    """Whether the incoming weights are trained on, adapters merged."""
    reads: ClassVar[frozenset[Part]] = frozenset(
        {"system", "train", "validation", "seed", "machine"}
    )

    def depends_on(self) -> frozenset[Part]:
        """Without the validation split where nothing is evaluated on it."""
        return self.reads - ({"validation"} if self.eval_strategy == "no" else set())

    @property
    def learns_prompt(self) -> bool:
        """Whether what is learnt is a prompt, which cannot be merged into weights."""
        return False

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """The weights must be such as can be trained, and the optimizer installed."""
        if self.starts_from_weights:
            check_weights(system, before, self.type)
        check_optimizer(self.optim)

    def warm_up(self, system: System, ctx: Context) -> None:
        """The training libraries, which take some seconds to import."""
        with quiet_training():
            import datasets  # type: ignore[import-untyped]  # noqa: F401
            import peft  # noqa: F401
            import trl.trainer.sft_trainer  # noqa: F401

    def prepare(self, system: System, ctx: Context) -> System:
        """As every step's; `CannotRun` for a System whose weights are not ours."""
        return super().prepare(with_weights(system, self.type), ctx)

    def settings(self) -> TrainingSettings:
        """The fields that go to the trainer."""
        return TrainingSettings(
            **{name: getattr(self, name) for name in TrainingSettings.model_fields}
        )

    def build(self, system: System, ctx: Context) -> None:
        """Train, and write what was learnt."""
        session = ctx.open(system)
        scratch = ctx.workdir / "trainer"
        made = ctx.ranks.same(lambda: self._material(session, ctx))
        tokenizer = made.tokenizer or session.tokenizer
        loading = f"{self.type}: loading the model"
        ctx.progress(loading, 0, 1)
        model, bf16 = self._model(session, ctx, tokenizer, scratch)
        ctx.progress(loading, 1, 1)
        kept: list[tuple[Any, dict[str, Any] | None]] = []
        result = train(
            model,
            tokenizer,
            made.examples,
            self.settings(),
            validation=made.validation,
            seed=ctx.seed,
            bf16=bf16,
            use_cpu=next(model.parameters()).device.type == "cpu",
            output_dir=scratch,
            effort=ctx.effort,
            hold=ctx.hold,
            keep=lambda trained, state: kept.append((trained, state)),
            progress=lambda done, of: ctx.progress(f"{self.type}: training", done, of),
            say=lambda line: ctx.progress(f"{self.type}: {line}", 0, 0),
        )
        session.book(model, "training", result.tally)  # before saving casts the weights
        session.book(model, "answering", result.validation_tally)
        for trained, state in kept:
            self._save(session, trained, state, tokenizer, ctx.workdir)
        if ctx.ranks.main:
            shutil.rmtree(scratch, ignore_errors=True)
        tallies = {"tally", "validation_tally"}
        ctx.details.update({k: v for k, v in result.plain().items() if k not in tallies})
        ctx.details["data"] = made.report

    @abstractmethod
    def _material(self, session: Session, ctx: Context) -> Material:
        """What to train on; asked on the main process, and handed to all."""

    @abstractmethod
    def _model(
        self, session: Session, ctx: Context, tokenizer: Any, scratch: Path
    ) -> tuple[Any, bool]:
        """The model to train, and whether to compute in bfloat16; asked on every process."""

    @abstractmethod
    def _save(
        self,
        session: Session,
        model: Any,
        state: dict[str, Any] | None,
        tokenizer: Any,
        folder: Path,
    ) -> None:
        """Write what was learnt; `state` holds the weights where `model` has only a part of them.

        Asked on the main process.
        """


class QuestionTuning(Tuning):
    """Tuning on the task's training questions, asked as the incoming System would ask them; with
    `passages`, by a mix of such as help and such as do not (RAFT)."""

    data: DataSettings = DataSettings()
    passages: PassageSettings | None = None

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """There must be questions to train on, too."""
        super().check(system, task, before)
        if not task.train:
            raise CannotRun(f"{self.type} needs training examples and the task has none")
        if self.passages is not None:
            check_passages(self.type, self.passages, system, task)

    def refreshes(self, system: System, task: Task, previous: Previous) -> How:
        """Kept where no question changed, else trained on; anew where the weights beneath did, or
        questions were withdrawn: what they taught is not to stay."""
        anew = not self.starts_from_weights or not same_weights(system, previous)
        if anew or withdrawn_questions(previous.task, task, "train"):
            return "rebuilt"
        return "updated" if changed_questions(previous.task, task, "train") else "kept"

    def identity(self) -> dict[str, Any]:
        """As every step's, with a paraphrasing model by its weights, wherever they lie."""
        known = super().identity()
        if self.data.paraphrases and self.data.paraphraser is not None:
            revision = resolve(self.data.paraphraser, kind="causal_lm").revision
            known["data"] = {**known["data"], "paraphraser": revision}
        return known

    @property
    def _quotes(self) -> bool:
        return self.passages is not None and self.passages.quote

    def prepare(self, system: System, ctx: Context) -> System:
        """As every step's; a model that learnt to quote is read accordingly."""
        tuned = super().prepare(system, ctx)
        return quoting(tuned) if self._quotes else tuned

    def _material(self, session: Session, ctx: Context) -> Material:
        examples, report = self._questions(session, ctx)
        return Material(
            self._trained(session, examples, session.tokenizer, ctx.seed, report),
            self._tokenised(session, self._judged_by(ctx), session.tokenizer),
            report,
        )

    def _questions(self, session: Session, ctx: Context) -> tuple[list[Example], dict[str, Any]]:
        """The training questions that are left after curation, and the rewordings of them. Where
        an older training goes on, they are those that changed and as many of the others."""
        given, of = ctx.task.train, {}
        if ctx.previous is not None:
            changed, others = to_train_on(ctx.previous.task, ctx.task, seed=ctx.seed)
            given, of = (*changed, *others), {"changed": len(changed), "repeated": len(others)}
        examples, report = curated(given, self.data, seed=ctx.seed)
        if self.data.paraphrases:
            asked = ctx.open(self._paraphraser(session))
            examples, written = paraphrased(
                examples,
                self.data,
                lambda chats: [reply.text for reply in asked.generate([*map(list, chats)])],
                seed=ctx.seed,
            )
            report = {**report, "paraphrasing": written}
        return examples, {**report, **of}

    def _paraphraser(self, session: Session) -> LocalSystem:
        system = with_weights(session.system, "paraphrasing")
        plain: dict[str, Any] = {"sources": (), "decoding": PARAPHRASING}
        if (name := self.data.paraphraser) is not None:
            found = resolve(name, kind="causal_lm")
            model = ModelRef(name=name, revision=found.revision)
            plain |= {"model": model, "weights": None, "adapters": (), "quantization": None}
        return system.model_copy(update=plain)

    def _judged_by(self, ctx: Context) -> Sequence[Example]:
        return () if self.eval_strategy == "no" else ctx.task.validation

    def _trained(
        self,
        session: Session,
        examples: Sequence[Example],
        tokenizer: Any,
        seed: int,
        report: dict[str, Any],
    ) -> list[TokenisedExample]:
        """The examples to train on; what passages were chosen for them goes into the report."""
        if self.passages is None:
            return self._tokenised(session, examples, tokenizer)
        rendered, report["passages"] = training_prompts(session, examples, self.passages, seed=seed)
        return self._tokenised(session, examples, tokenizer, rendered)

    def _tokenised(
        self,
        session: Session,
        examples: Sequence[Example],
        tokenizer: Any,
        rendered: Sequence[Rendered] | None = None,
    ) -> list[TokenisedExample]:
        """Each example as the session's System would be asked it, with its canonical answer."""
        if not examples:
            return []
        rendered = rendered or session.render(examples)
        chats: list[Sequence[Message]] = [one.messages for one in rendered]
        prompts = [chat_ids(tokenizer, chat, add_generation_prompt=True) for chat in chats]
        plain = [example.answers[0] for example in examples]
        answers = targets(session, examples, rendered) if self._quotes else plain
        names = [example.id for example in examples]
        return tokenise(prompts, answers, tokenizer, self.max_length, names)


class WeightTuning(Tuning):
    """Tuning of all weights, as float32 masters; the weights that answer are kept."""

    def _model(
        self, session: Session, ctx: Context, tokenizer: Any, scratch: Path
    ) -> tuple[Any, bool]:
        start = ctx.open(ctx.previous.system) if ctx.previous else session
        return base_model(start, trains_base=True)

    def _save(
        self,
        session: Session,
        model: Any,
        state: dict[str, Any] | None,
        tokenizer: Any,
        folder: Path,
    ) -> None:
        session.save_weights(whole(model, state), folder)

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the new weights; adapters were merged into them before training."""
        return system.model_copy(update={"weights": stage.ref, "adapters": ()})


def check_weights(system: System, before: Sequence[Strategy], step: str) -> None:
    """Raise `CannotRun` where `step` could not change the weights that `before` will leave."""
    ours = with_float_weights(system, step)
    last = next((each for each in reversed(before) if isinstance(each, Tuning)), None)
    if ours.adapters and last is not None and last.learns_prompt:
        raise CannotRun(UNMERGEABLE)
