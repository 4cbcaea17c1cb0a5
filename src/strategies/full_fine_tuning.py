"""Full fine-tuning: all weights are trained on the task's questions."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .tuning import QuestionTuning, WeightTuning


class FullFineTuning(QuestionTuning, WeightTuning):
    """Train all weights, as float32 masters; only deployable weights are kept."""

    version: ClassVar[int] = 2

    type: Literal["full_fine_tuning"] = "full_fine_tuning"
    learning_rate: float = Field(default=1e-4, gt=0)
