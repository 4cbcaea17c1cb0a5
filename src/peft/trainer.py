"""The one trainer, by which all tuning goes; the methods differ in the model they bring.

examples -> rows -> AnswerTrainer <- newest whole checkpoint; again with fewer rows a pass
                                     where GPU memory runs out -> TrainingResult, `keep`
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ranks import joined
from .attempt import Training
from .batches import TokenisedExample, checked
from .checkpoints import check_space, found
from .packing import check_packing, packed
from .quiet import as_it_was, quiet_training
from .settings import TrainingResult, TrainingSettings
from .watch import check_stopping

if TYPE_CHECKING:
    from ..effort import Effort

__all__ = ["TrainingResult", "TrainingSettings", "train"]


def train(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TokenisedExample],
    settings: TrainingSettings,
    *,
    validation: Sequence[TokenisedExample] = (),
    seed: int,
    bf16: bool,
    use_cpu: bool,
    output_dir: Path,
    effort: Effort | None = None,
    hold: Callable[[], str] = lambda: "",
    keep: Callable[[Any, dict[str, Any] | None], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> TrainingResult:
    """Train `model` in place on `examples`; a collective where several processes were launched.

    `bf16` runs the operations in bfloat16 under autocast; the trained parameters stay in the
    float32 they came in, because small updates vanish below bfloat16's resolution. With `effort`
    checkpoints are kept in its folder, and a training that was killed goes on from the newest whole
    one; else nothing is kept, and `output_dir` is for scratch. `hold` is asked after each step why
    to pause. `keep` is given, on the main process, the trained model, and its whole state dict
    where the weights are sharded over processes. `progress` is told each step and of how many,
    `say` when a training goes on from a checkpoint or pauses.

    Raises `InputError` for examples that cannot be trained on, `CannotRun` where memory or disk do
    not suffice or the loss stops being a number, `StorageError` where a checkpoint is not written.
    """
    checked(examples, settings.max_length)
    checked(validation, settings.max_length, "validation")
    check_stopping(settings, validation, effort)
    with quiet_training(), as_it_was(model):
        if settings.packing:
            check_packing(model)
            rows = packed(examples, settings.max_length)
        else:
            rows = [(example,) for example in examples]
        folder = effort.folder if effort is not None else output_dir
        training = Training(
            model, tokenizer, settings, rows, validation, seed, bf16, use_cpu, folder, effort, say
        )
        if effort is not None:
            joined().same(lambda: check_space(folder, model))
        trainer = training.run(hold, progress)
        _hand_over(trainer, keep)
        result = training.result(trainer, len(examples))
        trainer.accelerator.free_memory()
    if effort is None and trainer.accelerator.is_main_process:
        for path in found(output_dir):
            shutil.rmtree(path, ignore_errors=True)
    return result


def _hand_over(trainer: Any, keep: Callable[[Any, dict[str, Any] | None], None] | None) -> None:
    accelerator = trainer.accelerator
    state = None
    if keep is not None and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        state = accelerator.get_state_dict(trainer.model_wrapped)
    if keep is not None and accelerator.is_main_process:
        keep(accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False), state)
    accelerator.wait_for_everyone()
