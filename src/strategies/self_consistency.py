"""Self-consistency: each question is answered several times, and the most frequent answer counts.

Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models", 2022,
arXiv 2203.11171.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ..prompt_file import decoded
from ..system import Decoding, System
from .base import Context, Part, Strategy


class SelfConsistency(Strategy):
    """Draw `samples` answers to each question and vote; see `voting`.

    The temperature is the paper's for its larger models. `top_p` and `top_k` stay the System's
    where they are not given. Only the decoding changes: there is nothing to build.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"seed"})

    type: Literal["self_consistency"] = "self_consistency"
    samples: int = Field(default=5, ge=2, le=64)
    temperature: float = Field(default=0.7, gt=0.0, le=2.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    top_k: int | None = Field(default=None, ge=0)

    def prepare(self, system: System, ctx: Context) -> System:
        """The system that draws and votes."""
        given = {name: value for name, value in self.plain().items() if value is not None}
        del given["type"]
        return system.model_copy(update={"decoding": decoded(system.decoding, Decoding(**given))})
