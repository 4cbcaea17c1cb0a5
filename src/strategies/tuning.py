"""LoRA and full fine-tuning: training examples formatted through the incoming System."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..errors import CannotRun
from ..measure.memory import available_memory_bytes
from ..peft.adapters import LoraSettings, add_lora
from ..peft.batches import TokenisedExample, tokenise
from ..peft.memory import fitting_batch
from ..peft.trainer import TrainingResult, TrainingSettings, quiet_training, train
from ..system import System, with_weights
from .base import Context, Part, Stage, Strategy


class Tuning(Strategy, TrainingSettings):
    """What LoRA and full fine-tuning share. TRL's and PEFT's field names pass through unchanged."""

    reads: ClassVar[frozenset[Part]] = frozenset({"system", "train", "seed", "machine"})

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

    def _examples(self, system: System, ctx: Context) -> tuple[Any, list[TokenisedExample]]:
        """The tokenizer, and every training example as this System would be asked it."""
        if not ctx.task.train:
            raise CannotRun(f"{self.type} needs training examples and the task has none")
        session = ctx.open(system)
        rendered = session.render(ctx.task.train)
        tokenizer = session.tokenizer
        prompts = [session.encode(messages.messages) for messages in rendered]
        answers = [example.answers[0] for example in ctx.task.train]
        return tokenizer, tokenise(prompts, answers, tokenizer, self.max_length)

    def _train(
        self, model: Any, tokenizer: Any, examples: list[TokenisedExample], ctx: Context, bf16: bool
    ) -> TrainingResult:
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        total = sum(p.numel() for p in model.parameters())
        settings = self.settings()
        device = next(model.parameters()).device.type
        if device == "cpu":
            size = fitting_batch(
                settings.per_device_train_batch_size,
                max(example.length for example in examples),
                free=available_memory_bytes(),
                parameters=total,
                trained=trained,
                config=model.config,
                bf16=bf16,
            )
            shrunk = settings.per_device_train_batch_size // size
            settings = settings.model_copy(
                update={
                    "per_device_train_batch_size": size,
                    "gradient_accumulation_steps": settings.gradient_accumulation_steps * shrunk,
                }
            )
        scratch = ctx.workdir / "trainer"
        result = train(
            model,
            tokenizer,
            examples,
            settings,
            seed=ctx.seed,
            bf16=bf16,
            use_cpu=device == "cpu",
            output_dir=scratch,
            progress=lambda done, of: ctx.progress(f"{self.type}: training", done, of),
        )
        shutil.rmtree(scratch, ignore_errors=True)
        ctx.details.update({k: v for k, v in result.plain().items() if k != "tally"})
        return result

    @abstractmethod
    def build(self, system: System, ctx: Context) -> None: ...


class LoRA(Tuning, LoraSettings):
    """Train a low-rank adapter (arXiv 2106.09685) on a frozen base."""

    type: Literal["lora"] = "lora"
    learning_rate: float = Field(default=2e-3, gt=0)

    def build(self, system: System, ctx: Context) -> None:
        """Train the adapter and save it as safetensors."""
        tokenizer, examples = self._examples(system, ctx)
        session = ctx.open(system)
        settings = LoraSettings(**{name: getattr(self, name) for name in LoraSettings.model_fields})
        base, bf16 = session.training_model(trains_base=False)
        model = add_lora(base, settings, seed=ctx.seed)
        result = self._train(model, tokenizer, examples, ctx, bf16)
        session.book(model, "training", result.tally)
        model.save_pretrained(str(ctx.workdir))
        # Its template names the folder it was trained from, which is nobody's business.
        (ctx.workdir / "README.md").unlink(missing_ok=True)

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the adapter on top."""
        ours = with_weights(system, self.type)
        return ours.model_copy(update={"adapters": (*ours.adapters, stage.ref)})


class FullFineTuning(Tuning):
    """Train all weights, as float32 masters; only deployable weights are kept."""

    type: Literal["full_fine_tuning"] = "full_fine_tuning"
    learning_rate: float = Field(default=1e-4, gt=0)

    def build(self, system: System, ctx: Context) -> None:
        """Train and save the weights in the precision that answers."""
        tokenizer, examples = self._examples(system, ctx)
        session = ctx.open(system)
        model, bf16 = session.training_model(trains_base=True)
        result = self._train(model, tokenizer, examples, ctx, bf16)
        session.book(model, "training", result.tally)  # before saving casts the weights
        session.save_weights(model, ctx.workdir)

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the new weights; adapters were merged into them before training."""
        return system.model_copy(update={"weights": stage.ref, "adapters": ()})
