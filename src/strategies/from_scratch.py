"""From scratch: a small model of its own, with its own vocabulary, made from the task alone.

The row of the table that says what a pretrained model is worth.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ..answering.pool import model_folder
from ..answering.session import Session
from ..models.devices import preferred_device, preferred_dtype
from ..models.head import flatten_head_input
from ..models.quiet import quiet_transformers
from ..peft.vocabulary import SMALLEST, learn_tokenizer
from ..system import LocalSystem, System, with_weights
from ..tasks.task import Example
from .base import Context, Part, Stage
from .pretraining import full_text, windows
from .tuning import Material, QuestionTuning
from .weights import whole


class FromScratch(QuestionTuning):
    """Train a small model of the base's architecture from random weights.

    Its vocabulary is learnt from the documents and the training examples. It then learns, in one
    training, to predict the documents and to answer the questions. The fields that give its size
    are those of transformers' configurations.
    """

    starts_from_weights: ClassVar[bool] = False
    reads: ClassVar[frozenset[Part]] = QuestionTuning.reads | {"documents"}

    type: Literal["from_scratch"] = "from_scratch"
    # nanoGPT's rate for a model of ten million parameters (config/train_shakespeare_char.py).
    learning_rate: float = Field(default=1e-3, gt=0)
    num_train_epochs: float = Field(default=10.0, gt=0)
    vocab_size: int = Field(default=4096, ge=SMALLEST)
    hidden_size: int = Field(default=256, ge=8)
    num_hidden_layers: int = Field(default=4, ge=1)
    num_attention_heads: int = Field(default=4, ge=1)
    intermediate_size: int = Field(default=1024, ge=8)
    max_position_embeddings: int = Field(default=2048, ge=64)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of twice num_attention_heads "
                f"({self.num_attention_heads}): heads are equally wide, and of an even width"
            )
        if self.max_length > self.max_position_embeddings:
            raise ValueError(
                f"max_length {self.max_length} is more than max_position_embeddings "
                f"({self.max_position_embeddings}), the window of the new model"
            )
        return self

    def _material(self, session: Session, ctx: Context) -> Material:
        examples, report = self._questions(session, ctx)
        tokenizer = learn_tokenizer(_texts(session, examples, ctx), self.vocab_size)
        read = windows(ctx.task.documents, tokenizer, self.max_length)
        asked = self._trained(session, examples, tokenizer, ctx.seed, report)
        judged = self._tokenised(session, self._judged_by(ctx), tokenizer)
        report = {**report, "windows": len(read), "vocabulary": len(tokenizer)}
        return Material([*read, *asked], judged, report, tokenizer)

    def _model(
        self, session: Session, ctx: Context, tokenizer: Any, scratch: Path
    ) -> tuple[Any, bool]:
        import torch
        from transformers import AutoModelForCausalLM

        session.free()
        device = preferred_device()
        torch.manual_seed(ctx.seed)
        classes: Any = AutoModelForCausalLM
        with quiet_transformers():
            model = classes.from_config(
                self._config(with_weights(session.system, self.type), tokenizer),
                dtype=torch.float32,
            )
        return flatten_head_input(model).to(device), preferred_dtype(device) == "bfloat16"

    def _config(self, system: LocalSystem, tokenizer: Any) -> Any:
        """The base's configuration, with the size and the vocabulary of the new model."""
        from transformers import AutoConfig

        read: Any = AutoConfig.from_pretrained(model_folder(system.model), local_files_only=True)
        made = copy.deepcopy(read.get_text_config())
        depth = made.num_hidden_layers
        for name, value in list(vars(made).items()):  # what is said of each layer
            if isinstance(value, list) and len(value) == depth:
                setattr(made, name, [value[n % depth] for n in range(self.num_hidden_layers)])
        changes = {
            "vocab_size": len(tokenizer),
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        if getattr(made, "num_key_value_heads", None) is not None:
            changes["num_key_value_heads"] = self.num_attention_heads
        if getattr(made, "head_dim", None) is not None:
            changes["head_dim"] = self.hidden_size // self.num_attention_heads
        for name, value in changes.items():
            setattr(made, name, value)
        return made

    def _save(
        self,
        session: Session,
        model: Any,
        state: dict[str, Any] | None,
        tokenizer: Any,
        folder: Path,
    ) -> None:
        import torch

        dtype = preferred_dtype(preferred_device())
        with quiet_transformers():
            whole(model, state).to(getattr(torch, dtype)).save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the new model; nothing of the base is left but its name."""
        changes = {"weights": stage.ref, "adapters": (), "quantization": None}
        return system.model_copy(update=changes)


def _texts(session: Session, examples: list[Example], ctx: Context) -> Iterator[str]:
    """All that the vocabulary is learnt from."""
    yield session.system.prompt.instruction
    yield from map(full_text, ctx.task.documents)
    for example in examples:
        yield from (example.question, *example.answers)
