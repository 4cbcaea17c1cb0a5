"""One training: its rows, its trainer, and what to do when memory runs out.

A training that was killed goes on from its newest whole checkpoint; one for which GPU memory does
not suffice starts again with a smaller micro-batch.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CannotRun
from ..measure.memory import available_memory_bytes
from ..measure.processes import launch
from ..measure.work import Tally
from ..ranks import joined
from .answer_trainer import answer_trainer
from .arguments import sft_config
from .batches import AnswerCollator, TokenisedExample, columns
from .beginnings import can_share
from .checkpoints import Done, Seal, found, newest, training_digest
from .memory import can_recompute, fitting, smaller
from .quiet import autocast_decides
from .settings import TrainingResult, TrainingSettings
from .watch import verdict, watch

if TYPE_CHECKING:
    from ..effort import Effort


@dataclass
class Training:
    """One training, of one attempt or, where GPU memory runs out, of several."""

    model: Any
    tokenizer: Any
    settings: TrainingSettings
    rows: Sequence[Sequence[TokenisedExample]]
    validation: Sequence[TokenisedExample]
    seed: int
    bf16: bool
    use_cpu: bool
    folder: Path
    effort: Effort | None
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    resumed_from: int | None = None
    trained: int = 0
    batch: int = 0
    checkpointing: bool = False

    def run(self, hold: Callable[[], str], progress: Callable[[int, int], None] | None) -> Any:
        """The trainer when it is done."""
        import torch

        self.trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.batch = self.settings.per_device_train_batch_size
        self.checkpointing = bool(self.settings.gradient_checkpointing)
        if self.checkpointing and not can_recompute(self.model):
            raise CannotRun(
                "prefix tuning cannot be trained with gradient_checkpointing; leave it out"
            )
        fresh: dict[str, Any] = {}
        if self.use_cpu:
            self.batch, self.checkpointing = self._fitting()
        elif joined().size == 1:
            # Where memory runs out as an exception, training can start again from these.
            named = self.model.named_parameters()
            fresh = {n: p.detach().to("cpu", copy=True) for n, p in named if p.requires_grad}
        name = training_digest(
            self.settings, [e for row in self.rows for e in row], self.validation,
            seed=self.seed, bf16=self.bf16,
        )  # fmt: skip
        resumes = self.effort is not None
        for retries in itertools.count():
            path, seal, said = (
                joined().same(lambda: newest(self.folder, name)) if resumes else (None, None, ())
            )
            self.notes += said
            trainer = self._trainer(hold, progress)
            trainer.training = name
            self._go_on(trainer, seal, again=bool(retries))
            try:
                with autocast_decides(self.model, self.bf16):
                    trainer.train(resume_from_checkpoint=str(path) if path else None)
                return trainer
            except torch.cuda.OutOfMemoryError as error:
                self._less_memory(error)
            finally:
                if trainer.is_in_train:
                    trainer.accelerator.free_memory()
                    if (noise := getattr(trainer, "neftune_hook_handle", None)) is not None:
                        noise.remove()  # else the next attempt's comes on top
            done = trainer.state.global_step
            del trainer
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if fresh:
                self.model.load_state_dict(fresh, strict=False)
            elif done and not found(self.folder):
                raise CannotRun("memory ran out in the middle of the training; start it again")

    def _fitting(self) -> tuple[int, bool]:
        """Micro-batch and gradient checkpointing by the memory that is free, for all processes."""
        free = available_memory_bytes() // launch().local_world_size
        told = joined().each(
            lambda: fitting(self.model, self.settings, self.rows, free=free, bf16=self.bf16)
        )
        return min(size for size, _ in told), any(also for _, also in told)

    def _less_memory(self, error: Exception) -> None:
        """Half the rows in each pass and twice as many passes; at last gradient checkpointing."""
        said = str(error).split("\n")[0]
        if joined().size > 1:
            raise CannotRun(
                f"GPU memory ran out on one of several processes ({said}); halve "
                "per_device_train_batch_size and double gradient_accumulation_steps"
            ) from error
        if self.batch > 1:
            self.batch = smaller(self.batch)
        elif (
            self.settings.gradient_checkpointing is None
            and not self.checkpointing
            and can_recompute(self.model)
        ):
            self.checkpointing = True
        else:
            raise CannotRun(
                f"GPU memory does not suffice for one row of {self.settings.max_length} tokens at "
                f"most ({said}); lower max_length"
            ) from error
        self.notes.append(
            f"GPU memory ran out; went on with {self.batch} rows a pass"
            + (" and gradient checkpointing" if self.checkpointing else "")
        )

    def _go_on(self, trainer: Any, seal: Seal | None, *, again: bool) -> None:
        """Take up what was done by the time of a checkpoint."""
        if seal is None:
            return
        rank, size = trainer.accelerator.process_index, trainer.accelerator.num_processes
        done = seal.done[rank] if len(seal.done) == size else Done()
        trainer.tokens, trainer.tally = done.tokens, done.tally
        trainer.validation_tally, trainer.paused_s = done.validation_tally, seal.paused_s
        if not again and self.effort is not None:
            self.resumed_from = seal.step
            if seal.spent is not None:
                self.effort.carry(seal.spent)

    @property
    def accumulation(self) -> int:
        """Passes a step, such that a step sees as many rows as was asked."""
        asked = self.settings.per_device_train_batch_size
        return self.settings.gradient_accumulation_steps * asked // self.batch

    @property
    def steps(self) -> int:
        """Optimizer steps in all, if nothing ends the training early."""
        if self.settings.max_steps > 0:
            return self.settings.max_steps
        batches = math.ceil(len(self.rows) / (self.batch * joined().size))
        return math.ceil(math.ceil(batches / self.accumulation) * self.settings.num_train_epochs)

    def _trainer(self, hold: Callable[[], str], progress: Callable[[int, int], None] | None) -> Any:
        import datasets  # type: ignore[import-untyped]
        from transformers import PrinterCallback, ProgressCallback

        only = self.settings.completion_only_loss
        by_length = sorted(self.validation, key=lambda example: example.length)
        held_out = columns([(one,) for one in by_length], completion_only=only)
        collate = self._collator()
        trainer = answer_trainer()(
            model=self.model,
            args=sft_config(
                self.settings,
                folder=self.folder,
                batch=self.batch,
                accumulation=self.accumulation,
                checkpointing=self.checkpointing,
                evaluates=bool(self.validation),
                resumes=self.effort is not None,
                steps=self.steps,
                seed=self.seed,
                bf16=self.bf16,
                use_cpu=self.use_cpu,
            ),
            train_dataset=datasets.Dataset.from_dict(columns(self.rows, completion_only=only)),
            eval_dataset=datasets.Dataset.from_dict(held_out) if self.validation else None,
            processing_class=self.tokenizer,
            data_collator=collate,
        )
        each = [
            dict(zip(held_out, row, strict=True)) for row in zip(*held_out.values(), strict=True)
        ]
        alone = dataclasses.replace(collate, packing=False)
        trainer.validation = [
            alone(each[n : n + self.batch]) for n in range(0, len(each), self.batch)
        ]
        trainer.names = [
            [one.id or f"row {n}" for one in row] for n, row in enumerate(self.rows, 1)
        ]
        trainer.effort = self.effort
        trainer.model_accepts_loss_kwargs = True  # our loss is of all tokens of a step, always
        trainer.count_virtual_tokens()
        # They would print every log line; ours are in the result.
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(
            watch(
                trainer, self.settings,
                effort=self.effort, hold=hold, progress=progress, say=self.say,
            )
        )  # fmt: skip
        return trainer

    def _collator(self) -> AnswerCollator:
        from peft import PeftModel

        adapted = self.model.active_peft_config if isinstance(self.model, PeftModel) else None
        pad = self.tokenizer.pad_token_id
        # Several processes wrap the model, and a wrapper wants one pass for each backward one.
        # NEFTune's noise goes by the length of what is read.
        noisy = self.settings.neftune_noise_alpha is not None
        plain = self.settings.packing or self.checkpointing or noisy or joined().size > 1
        return AnswerCollator(
            self.tokenizer.eos_token_id if pad is None else pad,
            packing=self.settings.packing,
            pads_right=adapted is not None and adapted.is_prompt_learning,
            shares=not plain and can_share(self.model),
        )

    def result(self, trainer: Any, examples: int) -> TrainingResult:
        """What the curves and counters say."""
        history, steps = trainer.state.log_history, int(trainer.state.global_step)

        def curve(name: str, beside: str) -> tuple[tuple[int, float], ...]:
            rows = [row for row in history if name in row and beside in row]
            return tuple((int(row["step"]), float(row[name])) for row in rows)

        losses, evaluated = curve("loss", "loss"), curve("eval_loss", "eval_loss")
        best = min(evaluated, key=lambda pair: pair[1], default=None)
        early = verdict(history, self.settings) if steps < trainer.state.max_steps else ""
        last = losses[-max(1, round(len(losses) * 0.1)) :]
        done = trainer.done()
        return TrainingResult(
            steps=steps,
            examples=examples,
            tokens=sum(joined().each(lambda: done.tokens)),
            trainable_parameters=self.trained,
            final_loss=sum(loss for _, loss in last) / len(last),
            losses=losses,
            validation_losses=evaluated,
            energy_curve=curve("energy_j", "loss"),
            best_step=best[0] if best else None,
            best_validation_loss=best[1] if best else None,
            stopped=early or "finished",
            per_device_train_batch_size=self.batch,
            gradient_accumulation_steps=self.accumulation,
            gradient_checkpointing=self.checkpointing,
            resumed_from_step=self.resumed_from,
            paused_s=trainer.paused_s,
            notes=tuple(self.notes),
            tally=done.tally + Tally(steps=steps, tokens_in=done.tokens),
            validation_tally=done.validation_tally,
        )
