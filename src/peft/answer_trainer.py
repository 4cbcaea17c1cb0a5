"""TRL's SFTTrainer with the loss taken where an answer token is predicted, and nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..measure.work import Tally
from ..ranks import joined
from .batches import IGNORED
from .beginnings import after_beginning, read_beginning
from .checkpoints import PREFIX, SEAL, Done, Seal, found, rotate, saving, sealed

if TYPE_CHECKING:
    from ..effort import Effort


@functools.cache
def answer_trainer() -> Any:
    """The class; made when asked for, because TRL takes seconds to import."""
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler
    from trl.trainer.sft_trainer import SFTTrainer

    base: Any = SFTTrainer

    class AnswerTrainer(base):  # type: ignore[misc]
        """Computes the head's logits for answer columns only, and no other metrics.

        Evaluates by the same loss, orders the examples of an epoch by its number (so that a resumed
        training meets the same batches) and seals its checkpoints.
        """

        tally = Tally()
        validation_tally = Tally()
        tokens: Any = 0
        paused_s = 0.0
        validation: Sequence[dict[str, Any]] = ()
        names: Sequence[Sequence[str]] = ()
        numbers: list[Any] = []
        training = ""
        effort: Effort | None = None
        control: Any
        virtual: tuple[int, int] = (0, 0)

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            total, scored, passed, outputs = self._summed(model, inputs)
            self.tally += passed
            self.tokens += inputs["lengths"].sum()
            self.numbers = [*self.numbers, inputs["number"]]
            loss = total / (scored if num_items_in_batch is None else num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # DDP and FSDP take the mean
            return (loss, outputs) if return_outputs else loss

        def _summed(self, model: Any, inputs: dict[str, Any]) -> tuple[Any, Any, Tally, Any]:
            """The summed loss, of how many tokens, the passes for the tally, and the outputs."""
            labels = inputs["labels"]
            rows, length = labels.shape
            scored = labels != IGNORED
            at: Any = scored.any(dim=0).nonzero()[:, 0]
            before, past = self.virtual
            passed = Tally()
            given: dict[str, Any]
            # Each is predicted one column earlier.
            if "position_ids" in inputs:  # packed: answers stand anywhere in the row
                keep, heads = at - 1, len(at)
                given = {"position_ids": inputs["position_ids"], "use_cache": False}
            else:
                at = slice(int(at[0]), None)
                keep = heads = length - at.start + 1
                given = {"attention_mask": inputs["attention_mask"], "use_cache": False}
            if "beginning" in inputs:
                cache = read_beginning(model, inputs["beginning"], rows)
                past = inputs["beginning"].shape[1]
                passed = Tally.of_pass(1, past, heads=1)
                given = after_beginning(cache, inputs["attention_mask"])
            outputs = model(input_ids=inputs["input_ids"], logits_to_keep=keep, **given)
            targets, wanted = labels[:, at], scored[:, at]
            logits = outputs.logits[:, : targets.shape[1]][wanted].float()
            total = torch.nn.functional.cross_entropy(logits, targets[wanted], reduction="sum")
            passed += Tally.of_pass(rows, before + length, heads=rows * heads, past=past)
            return total, wanted.sum(), passed, outputs

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            """The mean loss of all validation answer tokens, of all processes."""
            batches, world = self.validation, self.accelerator.num_processes
            sums = torch.zeros(2, device=self.args.device)
            self.model.eval()
            for first in range(0, len(batches), world):
                # Sharded weights want as many passes of each process: one too many counts nothing.
                number = first + self.accelerator.process_index
                inputs = self._prepare_inputs(dict(batches[min(number, len(batches) - 1)]))
                with torch.no_grad(), self.compute_loss_context_manager():
                    total, scored, passed, _ = self._summed(self.model, inputs)
                read = int(inputs["lengths"].sum())
                self.validation_tally += passed + Tally(tokens_in=read)
                if number < len(batches):
                    sums += torch.stack([total, scored.to(total.dtype)])
            summed = self.accelerator.reduce(sums, reduction="sum")
            metrics = {"eval_loss": float(summed[0] / summed[1])}
            self.log(metrics)
            self.control = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, metrics
            )
            return metrics

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            """With the energy spent by now, so that it stands in the history of a checkpoint."""
            joules = self.effort.spent().energy_j if self.effort is not None else None
            if joules is not None:
                logs["energy_j"] = joules
            super().log(logs, start_time)

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            rows = train_dataset if train_dataset is not None else self.train_dataset
            self.order = LengthGroupedSampler(
                self.args.train_batch_size
                * self.args.gradient_accumulation_steps
                * self.accelerator.num_processes,
                lengths=[len(ids) for ids in rows["input_ids"]],
                generator=torch.Generator(),
            )
            return self.order

        def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
            if self.control.should_training_stop:
                return
            self.order.generator.manual_seed(self.args.data_seed + kwargs["epoch"])
            super()._run_epoch(*args, **kwargs)

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """None: checkpoints are for this training alone."""

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            folder = Path(self.args.output_dir)
            checkpoint = folder / f"{PREFIX}{self.state.global_step}"
            main = self.accelerator.is_main_process
            if main:
                (checkpoint / SEAL).unlink(missing_ok=True)
            with saving(checkpoint):
                super()._save_checkpoint(model, trial)
                done = joined().each(self.done)  # all have written by then
                if main and self.effort is not None:
                    sealed(
                        checkpoint,
                        Seal(
                            training=self.training,
                            step=self.state.global_step,
                            files={},
                            done=tuple(done),
                            spent=self.effort.spent(),
                            paused_s=self.paused_s,
                            best=Path(self.state.best_model_checkpoint or "").name,
                        ),
                    )
            if main:
                best = self.state.best_model_checkpoint
                rotate(folder, Path(best) if best else None)

        def done(self) -> Done:
            """What this process has done by now."""
            return Done(
                tokens=int(self.tokens), tally=self.tally, validation_tally=self.validation_tally
            )

        def count_virtual_tokens(self) -> None:
            """For the tally: prompt tuning computes positions before the text's own, prefix tuning
            has keys without positions."""
            from peft import PeftModel

            config = self.model.active_peft_config if isinstance(self.model, PeftModel) else None
            if config is not None and config.is_prompt_learning:
                prefix = config.peft_type.value == "PREFIX_TUNING"
                count = int(config.num_virtual_tokens)
                self.virtual = (0, count) if prefix else (count, 0)

        def example_ids(self) -> list[str]:
            """The ids of the examples of the last step, of all processes."""
            mine = [
                name for batch in self.numbers for row in batch.tolist() for name in self.names[row]
            ]
            return [name for names in joined().each(lambda: mine) for name in names]

        def last_good(self) -> str:
            """Where the last checkpoint lies."""
            whole = found(Path(self.args.output_dir)) if self.effort is not None else []
            return (
                f"The last good checkpoint lies in {whole[0]}"
                if whole
                else "No checkpoint was kept before"
            )

    return AnswerTrainer
