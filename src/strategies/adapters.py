"""LoRA and PEFT's other methods: an adapter is trained, the weights beneath it stay."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ..answering.session import Session
from ..errors import CannotRun, InputError
from ..measure.memory import release_memory
from ..models.devices import preferred_device, preferred_dtype
from ..models.quantization import check_quantizer, quantize
from ..peft.adapters import (
    LoraSettings,
    adapter_config,
    add_adapter,
    changes_base,
    check_unsharded,
    save_adapter,
    trained_adapter,
)
from ..system import Quantization, System, with_weights
from ..tasks.task import Task
from .base import Context, Stage, Strategy
from .tuning import QuestionTuning
from .weights import base_model

INITIAL = "initial"
"""Folder of the adapter as it was before training, beside the trainer's files."""
NF4 = Quantization(method="bnb_4bit")
RATES = {
    # The best of three on the validation questions of two tasks (docs/tuning.md). The 3e-3 of its
    # paper (Liu et al. 2022, arXiv 2205.05638, "T-Few") is for far more steps.
    "ia3": 3e-2,
    # A tenth of that of Lester et al. 2021, arXiv 2104.08691, who trained with Adafactor.
    "prompt_tuning": 3e-2,
}
"""Learning rates of methods for which one is known to do."""


class AdapterTuning(QuestionTuning):
    """Trains an adapter on the frozen weights; adapters that came in are merged into them."""

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the adapter on top."""
        ours = with_weights(system, self.type)
        return ours.model_copy(update={"adapters": (*ours.adapters, stage.ref)})

    @abstractmethod
    def adapter(self) -> Any:
        """What is trained, as PEFT's configuration."""

    def _base(self, session: Session, ctx: Context) -> tuple[Any, bool]:
        return base_model(session, trains_base=False)

    def _model(
        self, session: Session, ctx: Context, tokenizer: Any, scratch: Path
    ) -> tuple[Any, bool]:
        if ctx.previous is not None:
            base, bf16 = self._base(session, ctx)
            return trained_adapter(base, ctx.previous.folder, seed=ctx.seed), bf16
        config = self.adapter()
        if changes_base(config):
            check_unsharded(f"init_lora_weights {config.init_lora_weights}")
        base, bf16 = self._base(session, ctx)
        model = add_adapter(base, config, seed=ctx.seed)
        if changes_base(config) and ctx.ranks.main:
            save_adapter(model, scratch / INITIAL)
        return model, bf16

    def _save(
        self,
        session: Session,
        model: Any,
        state: dict[str, Any] | None,
        tokenizer: Any,
        folder: Path,
    ) -> None:
        changed = changes_base(model.peft_config["default"])
        initial = folder / "trainer" / INITIAL if changed else None
        save_adapter(model, folder, initial=initial, state_dict=state)


class LoRA(AdapterTuning, LoraSettings):
    """Train a low-rank adapter (arXiv 2106.09685) on a frozen base.

    With `load_in_4bit` the base is held in 4 bits while it is trained on (QLoRA, arXiv 2305.14314),
    which needs a GPU. What is saved is a plain LoRA over the weights as they came in, in every
    case, and answers are given with these.
    """

    version: ClassVar[int] = 2

    type: Literal["lora"] = "lora"
    learning_rate: float = Field(default=2e-3, gt=0)
    load_in_4bit: bool = False

    @model_validator(mode="after")
    def _can_be_held_in_4_bits(self) -> Self:
        if self.load_in_4bit and str(self.init_lora_weights).startswith(("pissa", "olora")):
            raise ValueError(
                f"load_in_4bit with init_lora_weights {self.init_lora_weights}: 4 bits do not hold "
                "exactly what that leaves of the weights; take another start"
            )
        return self

    def adapter(self) -> Any:
        """What is trained, as PEFT's configuration."""
        names = LoraSettings.model_fields
        return LoraSettings(**{name: getattr(self, name) for name in names}).config()

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """For 4 bits there must be a GPU and the package, too."""
        super().check(system, task, before)
        if self.load_in_4bit:
            try:
                check_quantizer(NF4, preferred_device())
            except CannotRun as error:
                raise CannotRun(f"lora.load_in_4bit: {error}") from error

    def _base(self, session: Session, ctx: Context) -> tuple[Any, bool]:
        if not self.load_in_4bit:
            return super()._base(session, ctx)
        import peft

        device = preferred_device()
        with tempfile.TemporaryDirectory(dir=ctx.workdir if ctx.ranks.main else None) as merged:
            model, bf16 = super()._base(session, ctx)
            session.save_weights(model, Path(merged))
            del model
            release_memory()
            made = quantize(Path(merged), NF4, device=device, dtype=preferred_dtype(device))
        ready: Any = peft.prepare_model_for_kbit_training
        # Checkpointing is the trainer's to decide, by the memory there is.
        return ready(made, use_gradient_checkpointing=False), bf16


class PeftMethod(AdapterTuning):
    """Train with any method of PEFT: `peft_type` is PEFT's name for it, `config` its own fields.

    Methods that need a hook at every step, data beforehand or other adapters are refused. A
    `learning_rate` is needed for methods whose paper names none that would serve as a default.
    """

    type: Literal["peft"] = "peft"
    peft_type: str = "ia3"
    config: dict[str, Any] = {}
    learning_rate: float = Field(default=RATES["ia3"], gt=0)

    @model_validator(mode="before")
    @classmethod
    def _rate_of_the_method(cls, given: Any) -> Any:
        if isinstance(given, dict) and "learning_rate" not in given:
            kind = given.get("peft_type", "ia3")
            if kind in RATES:
                return {**given, "learning_rate": RATES[kind]}
        return given

    @model_validator(mode="after")
    def _known_to_peft(self) -> Self:
        if self.peft_type == "ia3" and not self.config:
            return self  # known to be right, and PEFT need not be loaded for it
        try:
            self.adapter()
        except InputError as error:  # as a fault of the recipe, told with its line
            raise ValueError(str(error)) from error
        if self.peft_type not in RATES and "learning_rate" not in self.model_fields_set:
            raise ValueError(f"{self.peft_type} has no learning_rate of its own here; give one")
        return self

    @property
    def learns_prompt(self) -> bool:
        """Whether the method is prompt tuning or one of its kin."""
        return self.peft_type != "ia3" and bool(self.adapter().is_prompt_learning)

    def adapter(self) -> Any:
        """What is trained, as PEFT's configuration."""
        return adapter_config(self.peft_type, self.config)
