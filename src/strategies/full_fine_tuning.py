"""Full fine-tuning: all weights are trained on the task's questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..answering.session import Session
from ..system import System
from .base import Context, Stage
from .tuning import QuestionTuning, base_model, whole


class FullFineTuning(QuestionTuning):
    """Train all weights, as float32 masters; only deployable weights are kept."""

    version: ClassVar[int] = 2

    type: Literal["full_fine_tuning"] = "full_fine_tuning"
    learning_rate: float = Field(default=1e-4, gt=0)

    def _model(
        self, session: Session, ctx: Context, tokenizer: Any, scratch: Path
    ) -> tuple[Any, bool]:
        return base_model(session, trains_base=True)

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
