"""What is looked at while a training runs: how far it is, when it stops, pauses or is saved."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CannotRun
from ..ranks import joined
from .batches import TokenisedExample
from .settings import TrainingSettings

if TYPE_CHECKING:
    from ..effort import Effort

POLL_S = 0.5
"""Seconds between two questions whether a pause is over."""


def check_stopping(
    settings: TrainingSettings, validation: Sequence[TokenisedExample], effort: Effort | None
) -> None:
    """Raise `CannotRun` where what a stopping rule looks at is not there. A collective."""
    frugal = settings.frugal_gain_per_kj is not None
    name = "frugal_gain_per_kj" if frugal else "early_stopping_patience"
    asked = frugal or settings.early_stopping_patience is not None
    if asked and (not validation or settings.eval_strategy == "no"):
        raise CannotRun(f"{name} needs evaluations, and validation examples for them")
    if frugal and joined().same(lambda: effort is None or effort.spent().energy_j is None):
        raise CannotRun(f"{name} needs the energy of the training, and it is not known here")


def verdict(
    history: Sequence[Mapping[str, Any]], settings: TrainingSettings
) -> Literal["", "early_stopping", "frugal"]:
    """Why to stop after the evaluations in `history` (rows with `eval_loss` and `energy_j`)."""
    rows = [row for row in history if "eval_loss" in row]
    losses = [row["eval_loss"] for row in rows]
    patience = settings.early_stopping_patience
    if patience is not None and losses and len(losses) - 1 - losses.index(min(losses)) >= patience:
        return "early_stopping"
    if settings.frugal_gain_per_kj is not None:
        slow = 0
        for before, after in itertools.pairwise(rows):
            joules = [row.get("energy_j") for row in (before, after)]
            if joules[0] is None or joules[1] is None:
                continue
            asked = settings.frugal_gain_per_kj * (joules[1] - joules[0]) / 1000
            slow = slow + 1 if before["eval_loss"] - after["eval_loss"] < asked else 0
        if slow >= settings.frugal_patience:
            return "frugal"
    return ""


def watch(
    trainer: Any,
    settings: TrainingSettings,
    *,
    effort: Effort | None,
    hold: Callable[[], str],
    progress: Callable[[int, int], None] | None,
    say: Callable[[str], None],
) -> Any:
    """The callback that does all this, for `trainer` (an AnswerTrainer)."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        saved_at_s = 0.0
        paused = False

        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.saved_at_s = time.monotonic()
            if state.global_step:
                say(f"goes on from step {state.global_step} of {state.max_steps}")
            # It may have been killed between its last step and its end.
            if state.global_step >= state.max_steps or verdict(state.log_history, settings):
                control.should_training_stop = True

        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            trainer.numbers = []
            if self.paused:
                kept = "; a checkpoint of it is kept" if effort is not None else ""
                say(f"paused after step {state.global_step} of {state.max_steps}{kept}")
                began = time.monotonic()
                while self.paused:
                    time.sleep(POLL_S)
                    if effort is not None:
                        effort.note()
                    self.paused = joined().same(lambda: bool(hold()))
                trainer.paused_s += time.monotonic() - began

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if progress is not None:
                progress(state.global_step, state.max_steps)
            if effort is not None:
                effort.note()
            self.paused, late = joined().same(lambda: (bool(hold()), self._late()))
            due = settings.save_steps is not None and state.global_step % settings.save_steps == 0
            # At the end of an epoch comes an evaluation or a checkpoint anyway, and a checkpoint
            # from before it would let a resumed training pass the evaluation over.
            ends = args.save_strategy == "epoch" and state.global_step in (
                state.max_steps,
                self._epoch_end(args, state, more),
            )
            if effort is not None and (self.paused or late or due) and not ends:
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.saved_at_s = time.monotonic()

        def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if joined().same(lambda: verdict(state.log_history, settings)):
                control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            logs = more.get("logs") or {}
            figures = ("loss", "training loss"), ("grad_norm", "gradient"), (
                "eval_loss", "validation loss",
            )  # fmt: skip
            for name, what in figures:
                found = logs.get(name)
                # Before a checkpoint is saved: of such a gradient the weights are no numbers now.
                if found is not None and not math.isfinite(found):
                    rate = logs.get("learning_rate", trainer._get_learning_rate())
                    raise CannotRun(
                        f"the {what} became {found} at step {state.global_step}; lower "
                        f"learning_rate (it stood at {rate:.3g}) or max_grad_norm. The step's "
                        f"examples: {', '.join(trainer.example_ids())}. {trainer.last_good()}"
                    )

        def _late(self) -> bool:
            return time.monotonic() - self.saved_at_s >= 60 * settings.checkpoint_minutes

        @staticmethod
        def _epoch_end(args: Any, state: Any, more: Mapping[str, Any]) -> int:
            a_step = args.gradient_accumulation_steps
            steps: int = -(
                -len(more["train_dataloader"]) // a_step
            )  # batches may not fill the last
            return steps * -(-int(state.global_step) // steps)

    return Watch()
